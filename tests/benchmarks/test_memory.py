import numpy as np
import pytest

from benchmarks import _memory

MIB = 2**20

pytestmark = pytest.mark.skipif(
    not _memory.measurable(), reason="needs Linux's /proc"
)


@pytest.mark.full
def test_peak_counts_what_a_call_frees():
    def call():
        first = np.ones(64 * MIB, "uint8")
        second = first + first  # 128 MiB
        del first
        return second[:1].copy()

    assert 120 < _memory.peak(call) < 160


def test_a_process_reports_or_says_why_not():
    code = "print(1); print('{\"a\": 2}')"
    assert _memory.in_process(["-c", code], 60.0) == {"a": 2}
    failed = _memory.in_process(["-c", "raise SystemExit('why')"], 60.0)
    assert failed == {"failed": "exit status 1 why"}
    slow = _memory.in_process(["-c", "import time; time.sleep(60)"], 0.1)
    assert slow == {"failed": "more than 0 s"}
