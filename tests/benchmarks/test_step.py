import json

import pytest

from benchmarks import epoch, step


@pytest.mark.slow
def test_every_contender_trains_and_is_compared(tmp_path):
    out = tmp_path / "step.json"
    report = step.main(["--repeats", "2", "--out", str(out)])
    assert json.loads(out.read_text()) == report
    rows = {row["name"]: row for row in report["results"]}
    assert set(rows) >= {epoch.OURS, epoch.HAND, step.NVIL}
    assert rows[epoch.HAND]["to_hand"] == 1.0
    assert all(row["median_ms"] > 0 for row in rows.values())
    assert len(report["targets"]) == len(step.LIMITS)
