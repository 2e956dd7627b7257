"""Times forward and backward of each sampling layer beside its peers.

Every contender maps logits to a sample y; one call computes Σ w·y for a fixed
random w and its gradient in the logits. Contenders take turns in one run, in
graph mode and under XLA, on the CPU or on a GPU (`--device GPU:0`), quick ones
several times in a row:

* `tf.nn.softmax`: without noise and temperature, the yardstick;
* the Gumbel-softmax as one writes it with `tf.random.stateless_uniform`;
* the relaxed distributions of TensorFlow Probability, as they are and made hard
  by hand, each beside the layers that do the same;
* `torch.nn.functional.gumbel_softmax`, eager, if PyTorch is installed;
* random bits, uniform and Gumbel noise alone, without any gradient.

`ReinforceSampler` has no gradient through y; its loss is Σ w·y + Σ v·log q(y).

The peak memory of a call is measured in a process of its own for each
contender, mode and shape. On a GPU it is what the allocator counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from benchmarks import _memory, _runner, _samplers, _timing
from benchmarks._runner import Arguments, Call, Options, Row
from benchmarks._samplers import RIVALS, SOFTMAX, TFP, TORCH

Shape = tuple[int, int]
SHAPES = [(5120, 10), (4096, 1000), (64, 100_000)]
PACKAGES = [*_runner.PACKAGES, "tensorflow-probability", "torch"]
MODES = {"graph": False, "xla": True}
# Ratios of the time on the clock, of processor time, and of memory.
FIGURES = {"to_": "median_ms", "cpu_to_": "cpu_ms", "peak_to_": "peak_mib"}
YARDSTICKS: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "softmax": lambda name, mode: (SOFTMAX, mode),
    "tfp": lambda name, mode: (RIVALS.get(name, TFP), mode),
    "torch": lambda name, mode: (TORCH, "eager"),
    "graph": lambda name, mode: (name, "graph"),
}
# Mode, least length of a row: target, figure and limit. Of the relatives of
# `GumbelSoftmax`, only the time beside what TFP has in their place.
OURS = "GumbelSoftmax"
CHECKS = [
    ("graph", 0, "graph: time / TFP", "to_tfp", 1.0),
    ("graph", 1000, "graph: time / softmax", "to_softmax", 2.5),
    ("graph", 1000, "graph: peak memory / TFP", "peak_to_tfp", 1.0),
    ("xla", 0, "xla: time / TFP", "to_tfp", 0.1),
    ("xla", 0, "XLA time / graph time", "to_graph", 1.5),
    ("xla", 1000, "xla: peak memory / TFP", "peak_to_tfp", 1.0),
]
PEAK_SECONDS = 600.0
ROW_SECONDS = 0.02
WARM_UP = (8, 16)
COLUMNS = ["shape", "name", "mode", "median_ms", "to_softmax", "to_tfp"]
COLUMNS += ["to_torch", "peak_mib"]


def available() -> list[str]:
    """The names of all contenders that can run here, yardstick first."""
    names = [SOFTMAX, _samplers.BITS, _samplers.UNIFORM, _samplers.GUMBEL]
    names += [*_samplers.LAYERS, _samplers.COMPOSED]
    of_tfp = dict.fromkeys([TFP, *RIVALS.values()], "tensorflow_probability")
    peers = {**of_tfp, TORCH: "torch"}
    return names + [n for n, m in peers.items() if _runner.installed(m)]


def contenders(
    shape: Shape,
    names: Sequence[str],
    modes: Mapping[str, bool] = MODES,
    device: str = "CPU:0",
) -> dict[tuple[str, str], Call]:
    """What to time at a shape, by (name, mode)."""
    arrays = _samplers.arrays(shape)
    steps: dict[tuple[str, str], Call] = {}
    for name in names:
        if name == TORCH:
            step = _samplers.torch_step(
                _samplers.torch_softmax, *arrays, device
            )
            steps[name, "eager"] = step
            continue
        for mode, compiled in modes.items():
            draw = _samplers.make_draw(name, compiled)
            steps[name, mode] = _samplers.step(draw, *arrays, compiled)
    return steps


def peak(shape: Shape, name: str, mode: str) -> Row:
    """The peak of one contender's call, in a process of its own."""
    words = {"peak": mode, "only": name, "shapes": "x".join(map(str, shape))}
    command = ["-m", "benchmarks.layers"]
    found = _memory.in_process(command, PEAK_SECONDS, **words)
    if "failed" in found:
        print(f"peak of {name}, {mode}: {found['failed']}", flush=True)
    return {"peak_mib": found.get("peak_mib")}


def own_peak(shape: Shape, name: str, mode: str) -> Row:
    """The peak of one contender's call, in this process.

    A small call before brings in what TensorFlow loads but once. Nothing else
    is made: what it leaves to the allocator would hide as much of the call's.
    """
    modes = {mode: MODES[mode]} if mode in MODES else {}
    with tf.device("CPU:0"):
        contenders(WARM_UP, [name], modes)[name, mode]()
        call = contenders(shape, [name], modes)[name, mode]
        return {"peak_mib": round(_memory.peak(call), 2)}


def measure(shape: Shape, options: Options) -> list[Row]:
    """One row of figures for each contender and mode at a shape."""
    gpu = options.device == "GPU:0"
    with tf.device(options.device):
        calls = contenders(shape, options.only, device=options.device)
        rows = _timing.compare(calls, options.repeats, row_seconds=ROW_SECONDS)
        for key, row in rows.items():
            row["peak_mib"] = None
            if options.memory and gpu:
                found = _memory.peak_on_gpu(calls[key], key[0] == TORCH)
                row["peak_mib"] = round(found, 2)
    if options.memory and not gpu:
        for key, row in rows.items():
            row |= peak(shape, *key)
    print(f"{shape} is measured", flush=True)
    return [
        {"shape": list(shape), "name": key[0], "mode": key[1]}
        | row
        | ratios(rows, key)
        for key, row in rows.items()
    ]


def ratios(rows: dict[tuple[str, str], Row], key: tuple[str, str]) -> Row:
    """Each figure of a contender over that of each yardstick."""
    found: Row = {}
    for prefix, figure in FIGURES.items():
        for yardstick, choose in YARDSTICKS.items():
            ours = rows[key][figure]
            theirs = rows.get(choose(*key), {}).get(figure)
            ratio = round(ours / theirs, 4) if ours and theirs else None
            found[prefix + yardstick] = ratio
    return found


def targets(rows: list[Row]) -> list[Row]:
    """Whether the layers are as fast, and as small, as they have to be."""
    found = []
    for row in rows:
        name, cells = row["name"], row["shape"][1]
        for mode, least, label, key, limit in CHECKS:
            ours = name == OURS or (name in RIVALS and key == "to_tfp")
            here = ours and row["mode"] == mode and cells >= least
            if here and row[key] is not None:
                if name != OURS:
                    label = label.replace("time", name)
                facts = {"shape": row["shape"]}
                facts["measured_cpu"] = row.get("cpu_" + key)
                found.append(_runner.target(label, row[key], limit, **facts))
    return sorted(found, key=lambda target: target["target"])


def shape_argument(text: str) -> Shape:
    try:
        rows, categories = (int(size) for size in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a shape is written ROWSxCATEGORIES, as 4096x1000, not {text!r}"
        ) from None
    return rows, categories


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("layers", __doc__, device=True)
    add = parser.add_argument
    add("--repeats", type=int, default=30, help="rounds (default: 30)")
    parser.add_choices(only=available())
    add("--shapes", type=shape_argument, nargs="+", default=SHAPES)
    how: Row = {"action": argparse.BooleanOptionalAction}
    how["default"] = _memory.measurable()
    add("--memory", help="peaks of memory too, in a process each", **how)
    text = "only the peak of one contender and shape, in this process"
    add("--peak", choices=[*MODES, "eager"], help=text)
    options = _runner.parse(parser, arguments)
    if options.peak:
        (name,), (shape,) = options.only, options.shapes
        return _runner.of_contender(own_peak(shape, name, options.peak))
    rows = [row for shape in options.shapes for row in measure(shape, options)]
    facts = {"temperature": _samplers.TEMPERATURE, "device": options.device}
    reached = targets(rows)
    return _runner.finish(options, COLUMNS, rows, reached, PACKAGES, **facts)


if __name__ == "__main__":
    main()
