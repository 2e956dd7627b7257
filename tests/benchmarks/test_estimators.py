import json

import pytest

from benchmarks import estimators

FIGURES = {"median_ms", "evaluations", "overhead", "variance", "norm"}


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    out = tmp_path / "estimators.json"
    names = ["reinforce", "rloo-4", "st"]
    estimators.main(
        ["--repeats", "1", "--draws", "3", "--batch", "4", "--no-peers"]
        + ["--out", str(out), "--only", *names]
    )
    report = json.loads(out.read_text())
    first, *rows = report["results"]
    assert first["name"] == "f" and [r["name"] for r in rows] == names
    assert all(row.keys() >= FIGURES for row in rows)
    assert [row["evaluations"] for row in rows] == [1, 4, 1]
    printed = capsys.readouterr().out
    assert all(f"{name}, overhead" in printed for name in names)


def test_curves_of_both_toy_problems(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(estimators, "command_line", calls.append)
    estimators.main(["--curves", str(tmp_path), "--steps", "7"])
    assert [call[:4] for call in calls] == [
        ["compare", "toy", "--target", target] for target in ("0.45", "0.499")
    ]
    assert all(call[4:6] == ["--steps", "7"] for call in calls)
