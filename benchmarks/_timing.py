"""Timing that survives a busy machine: contenders take turns.

Each round calls every contender once, A B C A B C ..., so that what else the
machine does hits all of them alike. A figure is a median over rounds, and a
ratio compares two medians of one run. Processor time is kept beside the time
on the clock: other processes hardly change it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks._runner import Call, Row

# Thread pools spin for a moment after their work; let them come to rest.
PAUSE_SECONDS = 0.005


class Timing(NamedTuple):
    """Seconds of one call: on the clock, and of processor time."""

    wall: float
    cpu: float


def interleave(
    contenders: Mapping[Any, Call],
    repeats: int,
    slow_seconds: float = 0.5,
    slow_repeats: int = 3,
    row_seconds: float = 0.0,
) -> dict[Any, list[Timing]]:
    """Calls the contenders in turns and times each call.

    Each call must finish its work before it returns. Two rounds warm up and
    are not counted: the first traces and compiles. A contender whose second
    call took more than `slow_seconds` takes part in `slow_repeats` rounds.
    Quick calls follow each other, as in a training loop, for some
    `row_seconds`, and their mean counts: the first wakes the processor up.
    """
    for contender in contenders.values():
        contender()
    warm = {name: clock(c).wall for name, c in contenders.items()}
    timings: dict[Any, list[Timing]] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name, contender in contenders.items():
            if turn < slow_repeats or warm[name] <= slow_seconds:
                count = 1 + int(row_seconds / warm[name])
                timings[name].append(clock(contender, count))
    return timings


def clock(call: Call, count: int = 1) -> Timing:
    """Times calls in a row: one of them, on average."""
    time.sleep(PAUSE_SECONDS)
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return Timing(wall / count, cpu / count)


def summary(timings: Sequence[Sequence[float]]) -> Row:
    """Medians, least and number of the timings, in milliseconds."""
    wall, cpu = zip(*timings, strict=True)
    return {
        "median_ms": round(1e3 * statistics.median(wall), 4),
        "min_ms": round(1e3 * min(wall), 4),
        "cpu_ms": round(1e3 * statistics.median(cpu), 4),
        "repeats": len(timings),
    }


def compare(
    contenders: Mapping[Any, Call], repeats: int, **options: Any
) -> dict[Any, Row]:
    """The summary of each contender's calls, in turns as in `interleave`."""
    timings = interleave(contenders, repeats, **options)
    return {name: summary(found) for name, found in timings.items()}
