import pytest

from benchmarks import large_k
from tests.benchmarks.runs import run


def row(categories, **figures):
    return {
        "categories": categories,
        "estimator": "st",
        "mode": "graph",
        "ours": {},
        "one_hot": {},
        **figures,
    }


def test_each_target_is_reported():
    found = large_k.targets(
        [
            row(100_000, speedup=1.6, memory=0.71),
            row(1_000_000, ours={"failed": "more than 600 s"}),
            row(1_000_000, one_hot={"failed": "exit status -9"}),
            row(100_000, one_hot={"failed": "exit status -9"}),
        ]
    )
    assert [(t["target"], t["reached"]) for t in found] == [
        ("speed", True),
        ("peak memory", False),
        ("runs", False),
        ("runs", True),
    ]


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    sizes = ["--batch", "8", "--categories", "50", "--dim", "4", "--many", "0"]
    once = ["--calls", "1", "--processes", "1", "--estimators", "st"]
    report = run(large_k, tmp_path, *sizes, *once, "--modes", "graph")
    (row,) = report["results"]
    for side in ("ours", "one_hot"):
        assert row[side]["median_ms"] > 0 and row[side]["calls"] == 1
    assert row["speedup"] > 0
    assert "speedup" in capsys.readouterr().out
