"""Times forward and backward of each sampling layer beside its peers.

Run `python -m benchmarks.layers [--device GPU:0]`. Every contender maps logits
to a sample y; one call computes Σ w·y for a fixed random w and its gradient
with respect to the logits, and returns these two. Contenders take turns in one
run, in graph mode and under XLA, on the CPU or on a GPU:

* `tf.nn.softmax`: without noise and temperature, the yardstick;
* the Gumbel-softmax as one writes it with `tf.random.stateless_uniform`;
* `RelaxedOneHotCategorical` of TensorFlow Probability;
* `torch.nn.functional.gumbel_softmax`, eager, if PyTorch is installed;
* random bits, uniform and Gumbel noise alone, without any gradient: what none
  of them can do without.

`ReinforceSampler` has no gradient through y; its loss is Σ w·y + Σ v·log q(y).

The peak memory of a call is measured in a process of its own for each
contender, mode and shape: what the resident memory rises to above what it was
with logits and w, results included. On a GPU it is what the allocator counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import _memory, _timing
from benchmarks._draws import (
    BITS,
    COMPOSED,
    GUMBEL,
    LAYERS,
    SOFTMAX,
    TEMPERATURE,
    TFP,
    TORCH,
    UNIFORM,
    Draw,
    make_draw,
)

SHAPES = [(5120, 10), (4096, 1000), (64, 100_000)]
OUT = Path(__file__).parent / "results" / "layers.json"
OUT_GPU = OUT.with_stem("layers_gpu")
PACKAGES = ["tensorflow", "keras", "tensorflow-probability", "numpy", "torch"]

MODES = {"graph": False, "xla": True}
# Ratios of the time on the clock, and of processor time.
FIGURES = {"to_": "median_ms", "cpu_to_": "cpu_ms", "peak_to_": "peak_mib"}
PEAK_SECONDS = 600.0
WARM_UP = (8, 16)


def tf_step(
    draw: Draw, logits: np.ndarray, weights: np.ndarray, jit_compile: bool
) -> Callable[[], Any]:
    """One call: draw, Σ w·y, and its gradient.

    A log-probability, one an example, is weighted by the example's first w.
    """
    scale, start = tf.constant(weights), tf.constant(logits)
    first = tf.reshape(scale, [len(logits), -1])[:, 0]
    # Seeds vary, lest noise of a constant seed be folded into a constant.
    seeds = itertools.count()

    @tf.function(jit_compile=jit_compile)
    def loss_and_gradient(
        logits: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            drawn = draw(logits, seed)
            log_prob = None
            if isinstance(drawn, tuple):
                drawn, log_prob = drawn
            loss = tf.reduce_sum(scale * drawn)
            if log_prob is not None:
                loss += tf.tensordot(first, log_prob, 1)
        return loss, tape.gradient(loss, logits)

    step = loss_and_gradient.get_concrete_function(
        start, tf.TensorSpec([2], tf.int32)
    )

    def call() -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.constant([next(seeds), 1], tf.int32)
        result = step(start, seed)
        tf.test.experimental.sync_devices()
        return result

    return call


def torch_step(
    logits: np.ndarray, weights: np.ndarray, device: str = "CPU:0"
) -> Callable[[], Any]:
    """The same for PyTorch, which runs op by op."""
    import torch

    gpu = _timing.on_gpu(device)
    place = "cuda" if gpu else "cpu"
    start = torch.tensor(logits, requires_grad=True, device=place)
    scale = torch.tensor(weights, device=place)

    def call() -> tuple[Any, Any]:
        y = torch.nn.functional.gumbel_softmax(start, TEMPERATURE)
        loss = torch.sum(scale * y)
        result = loss.detach(), torch.autograd.grad(loss, start)[0]
        if gpu:
            torch.cuda.synchronize()
        return result

    return call


def available() -> list[str]:
    """The names of all contenders that can run here, yardstick first."""
    names = [SOFTMAX, BITS, UNIFORM, GUMBEL, *LAYERS, COMPOSED]
    if importlib.util.find_spec("tensorflow_probability"):
        names.append(TFP)
    if importlib.util.find_spec("torch"):
        names.append(TORCH)
    return names


def contenders(
    shape: tuple[int, int],
    names: Sequence[str],
    modes: Mapping[str, bool] = MODES,
    device: str = "CPU:0",
) -> dict[tuple[str, str], Callable[[], Any]]:
    """What to time at a shape, by (name, mode)."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=shape).astype("float32")
    weights = generator.normal(size=shape).astype("float32")
    steps: dict[tuple[str, str], Callable[[], Any]] = {}
    for name in names:
        if name == TORCH:
            steps[name, "eager"] = torch_step(logits, weights, device)
            continue
        for mode, jit_compile in modes.items():
            draw = make_draw(name, jit_compile)
            steps[name, mode] = tf_step(draw, logits, weights, jit_compile)
    return steps


def peak(shape: tuple[int, int], name: str, mode: str) -> dict[str, Any]:
    """The peak of one contender's call, in a process of its own."""
    found = _memory.in_process(
        ["-m", "benchmarks.layers", "--peak", mode, "--only", name]
        + ["--shapes", "x".join(map(str, shape))],
        PEAK_SECONDS,
    )
    if "failed" in found:
        print(f"peak of {name}, {mode}: {found['failed']}", flush=True)
    return {"peak_mib": found.get("peak_mib")}


def own_peak(shape: tuple[int, int], name: str, mode: str) -> dict[str, Any]:
    """The peak of one contender's call, in this process.

    A small call before brings in what TensorFlow loads but once. Nothing else
    is made: what it leaves to the allocator would hide as much of the call's.
    """
    modes = {mode: MODES[mode]} if mode in MODES else {}
    with tf.device("CPU:0"):
        contenders(WARM_UP, [name], modes)[name, mode]()
        call = contenders(shape, [name], modes)[name, mode]
        return {"peak_mib": round(_memory.peak(call), 2)}


def peak_on_gpu(name: str, call: Callable[[], Any]) -> dict[str, Any]:
    """The peak of one contender's call on the GPU."""
    torch = importlib.import_module("torch") if name == TORCH else None
    return {"peak_mib": round(_memory.peak_on_gpu(call, torch), 2)}


def measure(
    shape: tuple[int, int],
    names: Sequence[str],
    repeats: int,
    memory: bool,
    device: str = "CPU:0",
) -> list[dict[str, Any]]:
    """One row of figures for each contender and mode at a shape."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    with tf.device(device):
        calls = contenders(shape, names, device=device)
        timings = _timing.interleave(calls, repeats)
        for key, found in timings.items():
            rows[key] = {**_timing.summary(found), "peak_mib": None}
            if memory and _timing.on_gpu(device):
                rows[key] |= peak_on_gpu(key[0], calls[key])
    if memory and not _timing.on_gpu(device):
        for key, row in rows.items():
            row |= peak(shape, *key)

    def ratio(
        key: tuple[str, str], to: tuple[str, str], figure: str
    ) -> float | None:
        if to not in rows or not rows[to][figure] or not rows[key][figure]:
            return None
        return round(rows[key][figure] / rows[to][figure], 4)

    yardsticks = {
        "softmax": lambda name, mode: (SOFTMAX, mode),
        "tfp": lambda name, mode: (TFP, mode),
        "torch": lambda name, mode: (TORCH, "eager"),
        "graph": lambda name, mode: (name, "graph"),
    }

    return [
        {
            "shape": list(shape),
            "name": key[0],
            "mode": key[1],
            **row,
            **{
                prefix + yardstick: ratio(key, choose(*key), figure)
                for prefix, figure in FIGURES.items()
                for yardstick, choose in yardsticks.items()
            },
        }
        for key, row in rows.items()
    ]


def targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether `GumbelSoftmax` is as fast and as small as it has to be."""
    found = []
    for row in rows:
        if row["name"] != "GumbelSoftmax":
            continue
        checks: list[tuple[str, str, float]] = []
        if row["mode"] == "graph":
            if row["shape"][1] >= 1000:
                checks.append(("graph: time / softmax", "to_softmax", 2.5))
            checks.append(("graph: time / TFP", "to_tfp", 0.6))
        else:
            checks.append(("XLA time / graph time", "to_graph", 1.5))
        if row["shape"][1] >= 1000:
            label = f"{row['mode']}: peak memory / TFP"
            checks.append((label, "peak_to_tfp", 1.0))
        for label, key, limit in checks:
            if row[key] is not None:
                found.append(
                    {
                        "target": label,
                        "shape": row["shape"],
                        "limit": limit,
                        "measured": row[key],
                        "measured_cpu": row.get("cpu_" + key),
                        "reached": row[key] <= limit,
                    }
                )
    return sorted(found, key=lambda target: target["target"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of one shape: milliseconds, and ratios in the same mode."""
    cells = {(row["name"], row["mode"]): row for row in rows}
    columns = [
        ("median_ms", "ms", 8),
        ("to_softmax", "/ softmax", 6),
        ("to_tfp", "/ TFP", 6),
        ("to_torch", "/ torch", 6),
        ("peak_mib", "peak MiB", 7),
    ]
    lines = [
        f"{tuple(rows[0]['shape'])!s:<31}"
        + "".join(f"{title:>{2 * width}}" for _, title, width in columns),
        " " * 31
        + "".join(
            f"{mode:>{width}}" for *_, width in columns for mode in MODES
        ),
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        line = f"{short(name):<31}"
        for key, _, width in columns:
            for mode in MODES:
                if name == TORCH and mode == "graph":
                    mode = "eager"
                value = cells.get((name, mode), {}).get(key)
                line += f"{cell(value):>{width}}"
        lines.append(line)
    return "\n".join(lines)


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def short(name: str) -> str:
    return name.replace("StraightThrough", "ST ")


def shape_argument(text: str) -> tuple[int, int]:
    try:
        rows, categories = (int(size) for size in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a shape is written ROWSxCATEGORIES, as 4096x1000, not {text!r}"
        ) from None
    return rows, categories


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the tables and the targets, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--repeats", type=int, default=30, help="rounds (default: 30)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=available(),
        choices=available(),
        metavar="NAME",
        help="contenders (default: all that are installed)",
    )
    parser.add_argument(
        "--shapes",
        type=shape_argument,
        nargs="+",
        default=SHAPES,
        metavar="BxK",
        help="shapes of the logits, as 4096x1000",
    )
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=_memory.measurable(),
        help="peaks of memory too, in a process each",
    )
    parser.add_argument(
        "--peak",
        choices=[*MODES, "eager"],
        help="only the peak of one contender and shape, in this process",
    )
    parser.add_argument(
        "--device", choices=_timing.DEVICES, default=_timing.DEVICES[0]
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=f"JSON file (default: {OUT.name}, {OUT_GPU.name} on a GPU)",
    )
    options = parser.parse_args(arguments)
    if options.peak:
        (name,), (shape,) = options.only, options.shapes
        found = own_peak(shape, name, options.peak)
        print(json.dumps(found))
        return found

    report = {
        "benchmark": "layers",
        "temperature": TEMPERATURE,
        "device": options.device,
        "environment": _timing.environment(PACKAGES),
        "results": [],
    }
    for shape in options.shapes:
        rows = measure(
            shape,
            options.only,
            options.repeats,
            options.memory,
            options.device,
        )
        print(table(rows), end="\n\n", flush=True)
        report["results"] += rows
    print("PyTorch runs eagerly; its time stands under graph.\n")
    report["targets"] = targets(report["results"])
    for target in report["targets"]:
        print(
            f"{target['target']:<24} at {tuple(target['shape'])!s:<13} "
            f"{target['measured']:5.2f} "
            f"(CPU time {cell(target['measured_cpu'])}), "
            f"at most {target['limit']}: "
            + ("reached" if target["reached"] else "NOT REACHED")
        )
    default = OUT_GPU if _timing.on_gpu(options.device) else OUT
    _timing.write_json(options.out or default, report)
    return report


if __name__ == "__main__":
    main()
