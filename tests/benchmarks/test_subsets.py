import numpy as np
import pytest
import tensorflow as tf

from benchmarks import subsets
from tests.benchmarks.runs import run


def row(mode="graph", items=1000, size=50, **figures):
    key = {"name": subsets.EXACT, "mode": mode, "items": items, "size": size}
    return {**key, "cpu_ms": 1.0, "softmaxes": 1.0, **figures}


def test_each_target_is_reported():
    found = subsets.targets(
        [
            row(softmaxes=61.0, cpu_ms=10.0),
            row(items=2000, cpu_ms=20.0),
            row(size=100, cpu_ms=10.0),
            row(mode="xla", softmaxes=30.0),
            row(mode="xla", items=2000, failed="more than 1 s"),
        ]
    )
    assert [(t["target"], t["measured"], t["reached"]) for t in found] == [
        ("graph: softmaxes", 61.0, False),
        ("graph: slope in items", 1.0, True),
        ("graph: slope in size", 0.0, True),
        ("graph: slope in items * size", 0.5, True),
        ("xla: softmaxes", 30.0, True),
    ]


def test_the_recursion_is_the_sum_over_subsets():
    logits = tf.constant([[0.3, -1.0, 2.0, 0.5]])
    weights = np.exp(logits[0])
    pairs = (weights.sum() ** 2 - np.sum(weights**2)) / 2
    np.testing.assert_allclose(
        subsets.log_z_by_recursion(logits, 2), [np.log(pairs)], rtol=1e-6
    )


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(subsets, "BATCH", 2)
    monkeypatch.setattr(subsets, "ITEMS", 20)
    monkeypatch.setattr(subsets, "SIZE", 3)
    monkeypatch.setattr(subsets, "GRID", [(30, 3)])
    monkeypatch.setattr(subsets, "MODES", ["graph"])
    only = ["--repeats", "1", "--only", subsets.EXACT]
    rows = run(subsets, tmp_path, *only)["results"]
    assert [r["items"] for r in rows] == [20, 30]
    assert all(r["median_ms"] > 0 and r["softmaxes"] > 0 for r in rows)
    (out,) = (tmp_path / "results").iterdir()
    stamp = out.stat().st_mtime_ns
    subsets.main([*only, "--out", str(out)])  # all is there
    assert out.stat().st_mtime_ns == stamp
    assert "softmaxes" in capsys.readouterr().out
