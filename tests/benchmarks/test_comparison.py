"""The comparison of estimators runs, and goes on where it stopped."""

import json
import re

import pytest

from benchmarks import _runner, comparison
from docs.scripts import tables
from tests.benchmarks.runs import run

RESULTS = _runner.RESULTS / "comparison.json"


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


def points():
    for problem, rows in json.loads(RESULTS.read_text())["rows"].items():
        for label, row in rows.items():
            yield problem, label, row["point"]


def test_every_bias_has_a_verdict():
    # Seen, or below a tenth of the gradient's norm.
    for problem, label, point in points():
        found, low, high = (
            point[f"relative_bias{end}"] for end in ("", "_lower", "_upper")
        )
        assert low <= found <= high, (problem, label)
        if point["unbiased"]:
            assert not point["bias_detected"], (problem, label)
            assert tables.bias(point) == "none"
        else:
            assert point["bias_detected"] or high < 0.1, (problem, label)


def test_what_is_exact_for_a_quadratic_is_so_here():
    rows = json.loads(RESULTS.read_text())["rows"]["quadratic"]
    for label in ("reinmax, tau 1", "zgr", "mve, tau 1e6"):
        assert not rows[label]["point"]["bias_detected"]


def test_no_bias_is_typed_by_hand():
    # "Which estimator?" has its figures from the same file.
    text = (tables.ROOT / "docs" / "which-estimator.md").read_text()
    filled = (
        r"<!-- \w+: [^\n]*?<!-- end -->|<!-- table: .*?<!-- end of table -->"
    )
    text = re.sub(filled, "", text, flags=re.DOTALL)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert not any("±" in row for row in rows)


@pytest.mark.slow
def test_a_second_run_repeats_nothing(tmp_path, capsys):
    arguments = ["--only", "st, tau 1", "arm", "--seeds", "0"]
    arguments += ["--steps", "3", "--draws", "10"]
    first = run(comparison, tmp_path, *arguments)
    assert "seed 0" in capsys.readouterr().out
    assert set(first["rows"]["quadratic"]) == {"st, tau 1", "arm"}
    assert set(first["rows"]["vae"]) == {"st, tau 1"}
    again = run(comparison, tmp_path, *arguments)
    assert "seed 0" not in capsys.readouterr().out
    assert again["rows"] == first["rows"]
