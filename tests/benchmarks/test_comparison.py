"""The comparison of estimators runs, and goes on where it stopped."""

import json
import pathlib

import pytest

from benchmarks import comparison

RESULTS = pathlib.Path(comparison.OUT)


def test_the_recorded_table_is_complete():
    report = json.loads(RESULTS.read_text())
    for problem in comparison.PROBLEMS:
        rows = report["rows"][problem]
        expected = {
            label
            for label in comparison.ESTIMATORS
            if comparison.applicable(label, problem)
        }
        assert set(rows) == expected
        lines = comparison.table(report, problem).splitlines()
        assert len(lines) == 1 + len(expected)


def test_reinmax_is_ahead_of_straight_through_gumbel_as_published():
    rows = json.loads(RESULTS.read_text())["rows"]
    for problem, temperature in (("vae", "1.3"), ("quadratic", "1")):
        reinmax = rows[problem][f"reinmax, tau {temperature}"]["runs"].values()
        other = rows[problem]["st_gumbel, tau 0.5"]["runs"].values()
        assert max(r["cost"] for r in reinmax) < min(r["cost"] for r in other)


@pytest.mark.slow
def test_a_second_run_repeats_nothing(tmp_path, capsys):
    arguments = ["--only", "st, tau 1", "disarm", "--seeds", "0"]
    arguments += ["--steps", "3", "--draws", "10"]
    arguments += ["--out", str(tmp_path / "out.json")]
    first = comparison.main(arguments)
    assert "seed 0" in capsys.readouterr().out
    assert set(first["rows"]["quadratic"]) == {"st, tau 1", "disarm"}
    assert set(first["rows"]["vae"]) == {"st, tau 1"}
    again = comparison.main(arguments)
    assert "seed 0" not in capsys.readouterr().out
    assert again["rows"] == first["rows"]
