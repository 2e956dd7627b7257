"""Peak memory of a call, each in a process of its own, or on a GPU.

A peak is a mark of the process: what its resident memory rises to during a
call, less what it was before. Linux keeps the mark in `/proc`, to about a
quarter of a MiB. The memory of a GPU is counted by the allocators of TensorFlow
and of PyTorch, to the byte.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

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


def clear_peak() -> None:
    """Sets the mark of the highest memory back to the present memory."""
    _CLEAR.write_text("5")


def peak(call: Callable[[], Any]) -> float:
    """MiB that a call takes at the most, its results included.

    Call it before any other call of this size: allocators keep what is freed,
    and a later call takes that without a mark.
    """
    gc.collect()
    _return_what_is_free()
    before = resident("VmRSS")
    clear_peak()
    call()
    return resident("VmHWM") - before


def peak_on_gpu(call: Callable[[], Any], torch: Any = None) -> float:
    """MiB of the GPU that a call takes at the most, its results included.

    Args:
        call: What has been called before, so that all is compiled.
        torch: The module, if it is PyTorch that allocates.
    """
    gc.collect()
    if torch is not None:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    memory = tf.config.experimental
    memory.reset_memory_stats("GPU:0")
    before = memory.get_memory_info("GPU:0")["current"]
    call()
    return (memory.get_memory_info("GPU:0")["peak"] - before) / 2**20


def _return_what_is_free() -> None:
    # What glibc keeps of freed memory would hide as much of the call's.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def in_process(arguments: Sequence[str], timeout: float) -> dict[str, Any]:
    """What `python ARGUMENTS` prints last, as JSON; or why it does not."""
    try:
        result = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {timeout:.0f} s"}
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or [""]
        return {"failed": f"exit status {result.returncode} {last[0]}".strip()}
    return json.loads(result.stdout.splitlines()[-1])
