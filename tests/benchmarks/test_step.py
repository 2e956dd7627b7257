import pytest

from benchmarks import epoch, step
from tests.benchmarks.runs import run


@pytest.mark.slow
def test_every_contender_trains_and_is_compared(tmp_path):
    report = run(step, tmp_path, "--repeats", "2")
    rows = {row["name"]: row for row in report["results"]}
    assert set(rows) >= {epoch.OURS, epoch.HAND, step.NVIL}
    assert rows[epoch.HAND]["to_hand"] == 1.0
    assert all(row["median_ms"] > 0 for row in rows.values())
    assert len(report["targets"]) == len(step.LIMITS)
