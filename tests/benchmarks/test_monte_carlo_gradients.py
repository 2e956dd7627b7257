"""The survey's benchmark prints its table and writes JSON."""

import json

import pytest

from benchmarks import monte_carlo_gradients


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    out = tmp_path / "report.json"
    monte_carlo_gradients.main(["--draws", "50", "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 72
    assert all(row["standard_error"] > 0 for row in rows)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 74  # and the heading, and the summary
    assert "72 cells" in printed[-1]
