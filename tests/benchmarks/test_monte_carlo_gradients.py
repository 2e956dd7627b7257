"""The survey's benchmark prints its table and writes JSON."""

import pytest

from benchmarks import monte_carlo_gradients
from tests.benchmarks.runs import run


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    rows = run(monte_carlo_gradients, tmp_path, "--draws", "50")["rows"]
    assert len(rows) == 72
    assert all(row["standard_error"] > 0 for row in rows)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 74  # and the heading, and the summary
    assert "72 cells" in printed[-1]
