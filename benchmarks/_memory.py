"""Peak memory of a call, each in a process of its own, or on a GPU.

A peak is a mark of the process: what its resident memory rises to during a
call, less what it was before, results included. Linux keeps the mark in
`/proc`, to about a quarter of a MiB. The memory of a GPU is counted by the
allocators of TensorFlow and of PyTorch, to the byte.
"""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks import _runner, _timing
from benchmarks._runner import Call, Options, Row

_CLEAR = Path("/proc/self/clear_refs")


def measurable() -> bool:
    """Whether the system keeps the mark."""
    return _CLEAR.exists()


def resident(field: str) -> float:
    """MiB of resident memory: now (`VmRSS`), or at the most (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}.")


def peak(call: Call) -> float:
    """MiB that a call takes at the most.

    Call it before any other call of this size: allocators keep what is freed,
    and a later call takes that without a mark.
    """
    gc.collect()
    # What glibc keeps of freed memory would hide as much of the call's.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    before = resident("VmRSS")
    _CLEAR.write_text("5")  # The mark falls to the present memory.
    call()
    return resident("VmHWM") - before


def peak_on_gpu(call: Call, of_torch: bool = False) -> float:
    """MiB of the GPU that a call takes at the most, once all is compiled."""
    gc.collect()
    if of_torch:
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    memory = tf.config.experimental
    memory.reset_memory_stats("GPU:0")
    before = memory.get_memory_info("GPU:0")["current"]
    call()
    return (memory.get_memory_info("GPU:0")["peak"] - before) / 2**20


def in_process(arguments: Sequence[str], timeout: float, **options: Any) -> Row:
    """What `python ARGUMENTS` prints last, as JSON; or why it does not."""
    command = [sys.executable, *arguments]
    for name, value in options.items():
        command += _runner.option(name, value)
    how: Row = {"capture_output": True, "text": True, "timeout": timeout}
    try:
        result = subprocess.run(command, **how)
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {timeout:.0f} s"}
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or [""]
        return {"failed": f"exit status {result.returncode} {last[0]}".strip()}
    return json.loads(result.stdout.splitlines()[-1])


def report(call: Call, count: int) -> Row:
    """Prints the peak of a first call, and the times of `count` more."""
    found = None
    if measurable():
        found = peak(call)
    else:
        call()
    times = [_timing.clock(call) for _ in range(count)]
    return _runner.of_contender({"times": times, "peak": found})


def in_turns(
    names: Iterable[str], options: Options, *same: str, **words: Any
) -> dict[str, Row]:
    """The summary of each contender, from `options.processes` of its own.

    These have `same` of the options, and the words.
    """
    words |= {name: getattr(options, name) for name in same}
    found: dict[str, list[Row]] = {name: [] for name in names}
    command = ["-m", f"benchmarks.{options.benchmark}"]
    for _ in range(options.processes):
        for name, runs in found.items():
            words["contender"] = name
            runs.append(in_process(command, options.timeout, **words))
    return {name: summary(runs) for name, runs in found.items()}


def summary(runs: Sequence[Row]) -> Row:
    """Medians over the calls of all processes, and the median peak."""
    if failed := [run for run in runs if "failed" in run]:
        return failed[0]
    times = [time for run in runs for time in run["times"]]
    peaks = [run["peak"] for run in runs if run["peak"] is not None]
    found = _timing.summary(times)
    calls = found.pop("repeats")
    return {
        **found,
        "least_cpu_ms": round(1e3 * min(cpu for _, cpu in times), 4),
        "peak_mib": round(statistics.median(peaks), 1) if peaks else None,
        "calls": calls,
    }
