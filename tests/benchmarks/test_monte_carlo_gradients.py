"""The survey's benchmark prints its table and writes JSON and figure."""

import json

import pytest

from benchmarks import monte_carlo_gradients


@pytest.mark.slow
def test_table_json_and_figure_are_complete(tmp_path, capsys):
    out, figure = tmp_path / "report.json", tmp_path / "images" / "figure.png"
    monte_carlo_gradients.main(
        ["--draws", "50", "--out", str(out), "--figure", str(figure)]
    )
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 72
    assert all(row["standard_error"] > 0 for row in rows)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 74  # and the heading, and the summary
    assert "72 cells" in printed[-1]
    assert figure.read_bytes().startswith(b"\x89PNG")
