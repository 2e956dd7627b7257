"""Timing that survives a busy machine: contenders take turns.

Each round calls every contender once, A B C A B C ..., so that what else the
machine does hits all of them alike. A figure is a median over rounds, and a
ratio compares two medians of one run. Processor time is kept beside the time
on the clock: other processes hardly change it.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

DEVICES = ["CPU:0", "GPU:0"]
# Thread pools spin for a moment after their work; let them come to rest.
PAUSE_SECONDS = 0.005


class Timing(NamedTuple):
    """Seconds of one call: on the clock, and of processor time."""

    wall: float
    cpu: float


def interleave(
    contenders: Mapping[Any, Callable[[], Any]],
    repeats: int,
    slow_seconds: float = 0.5,
    slow_repeats: int = 3,
) -> dict[Any, list[Timing]]:
    """Calls the contenders in turns and times each call.

    Two rounds warm up and are not counted: the first traces and compiles.

    Args:
        contenders: What to time, by name. Each call must finish its work
            before it returns.
        repeats: Number of rounds.
        slow_seconds: A contender whose second call took longer is slow.
        slow_repeats: Number of rounds in which slow contenders take part.

    Returns:
        For each contender its timings, one a round.
    """
    for contender in contenders.values():
        contender()
    warm = {name: _time(c).wall for name, c in contenders.items()}
    timings: dict[Any, list[Timing]] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name, contender in contenders.items():
            if turn < slow_repeats or warm[name] <= slow_seconds:
                timings[name].append(_time(contender))
    return timings


def _time(contender: Callable[[], Any]) -> Timing:
    time.sleep(PAUSE_SECONDS)
    start, cpu_start = time.perf_counter(), time.process_time()
    contender()
    return Timing(time.perf_counter() - start, time.process_time() - cpu_start)


def summary(timings: Sequence[Timing]) -> dict[str, Any]:
    """Medians, least and number of the timings, in milliseconds."""
    wall = [timing.wall for timing in timings]
    cpu = [timing.cpu for timing in timings]
    return {
        "median_ms": round(1e3 * statistics.median(wall), 4),
        "min_ms": round(1e3 * min(wall), 4),
        "cpu_ms": round(1e3 * statistics.median(cpu), 4),
        "repeats": len(timings),
    }


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on: versions, processors, threads, load, date.

    Args:
        packages: Distributions whose versions count; `None` stands for one
            that is not installed.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(
            timespec="seconds"
        ),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "platform": platform.system() + " " + platform.machine(),
        "cpu": _cpu_model(),
        "gpus": _gpu_models(),
        "threads": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else None,
    }


def on_gpu(device: str) -> bool:
    """Whether a TensorFlow device is a GPU."""
    return device.startswith("GPU")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _gpu_models() -> list[str]:
    return [
        tf.config.experimental.get_device_details(gpu)["device_name"]
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def write_json(path: str | Path, report: Mapping[str, Any]) -> None:
    """Writes the report as indented JSON, making the folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
