import pytest

from benchmarks import estimators
from tests.benchmarks.runs import run

FIGURES = {"median_ms", "evaluations", "overhead", "variance", "norm"}


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    names = ["reinforce", "rloo-4", "st"]
    few = ["--repeats", "1", "--draws", "3", "--batch", "4", "--no-peers"]
    report = run(estimators, tmp_path, *few, "--only", *names)
    first, *rows = report["results"]
    assert first["name"] == "f" and [r["name"] for r in rows] == names
    assert all(row.keys() >= FIGURES for row in rows)
    assert [row["evaluations"] for row in rows] == [1, 4, 1]
    printed = capsys.readouterr().out
    assert all(f"{name}, overhead" in printed for name in names)
