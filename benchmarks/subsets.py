"""Time and memory of exact subsets, in softmaxes of the same width.

Every contender maps logits `[B, n]` to k-hot values z; one call computes Σ w·z
for a fixed random w and its gradient in the logits, and returns both.

* exact sample, with the gradient of the marginals, or alone, without one;
* marginals: `subset_marginals`, and the gradient of these;
* log-space recursion: the marginals as the gradient of log Z, the sum over
  subsets by n steps of log-sum-exp over k + 1 counts, by autodiff;
* Gumbel top-k: `relaxed_top_k`, hard, which is another distribution;
* relaxit: its `GumbelSoftmaxTopK`, which runs in PyTorch, eagerly.

Each row is measured in a process of its own, in turns with the softmax, forward
and backward, in the same mode; the peak of memory in another.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import tensorflow as tf

import tfgumbel as tg
from benchmarks import _memory, _runner, _samplers, _timing
from benchmarks._runner import Arguments, Call, Options, Row
from benchmarks.scaling import slope

PACKAGES = [*_runner.PACKAGES, "torch", "relaxit"]
BATCH, ITEMS, SIZE = 256, 1000, 50
# The same at other sizes, for the slopes.
GRID = [(500, 50), (2000, 50), (4000, 50), (1000, 10), (1000, 250)]
MODES = ["graph", "xla"]
SOFTMAX = "softmax"
EXACT = "exact sample, marginal gradient"
MARGINALS = "marginals and their gradient"
SAMPLE = "exact sample alone"
RECURSION = "log-space recursion, autodiff"
TOP_K = "Gumbel top-k, relaxed"
RELAXIT = "relaxit GumbelSoftmaxTopK"
CONTENDERS = [EXACT, MARGINALS, SAMPLE, RECURSION, TOP_K, RELAXIT]
# Without a gradient: a sample, and marginals that are a gradient themselves.
FORWARD = (SAMPLE, RECURSION)
LIMIT, SLOPE = 60.0, 1.05
TEMPERATURE = 0.5
KEY = ("name", "mode", "batch", "items", "size")
COLUMNS = ["name", "mode", "items", "size", "median_ms", "softmaxes"]
COLUMNS += ["least_softmaxes", "cpu_softmaxes", "peak_mib"]


def log_z_by_recursion(logits: Any, k: int) -> Any:
    """log Σ_{|S|=k} exp(Σ_S logits), one item after the other."""
    empty = tf.fill([tf.shape(logits)[0], k], -1e30)
    start = tf.concat([tf.zeros_like(logits[:, :1]), empty], axis=1)

    def add(step: Any, table: Any) -> Any:
        with_item = table[:, :-1] + tf.gather(logits, [step], axis=1)
        both = tf.reduce_logsumexp(tf.stack([table[:, 1:], with_item]), axis=0)
        return step + 1, tf.concat([table[:, :1], both], axis=1)

    def more(step: Any, table: Any) -> Any:
        return step < items

    items, first = logits.shape[1], (0, start)
    table = tf.while_loop(more, add, first, maximum_iterations=items)[1]
    return table[:, -1]


def draws(k: int) -> dict[str, Callable[[Any, Any], Any]]:
    """The maps from (logits, seed) to z that run in TensorFlow."""

    def sample(logits: Any, seed: Any) -> Any:
        noise = tg.random.uniform64(tf.shape(logits), seed)
        return tg.ops.sample_subset(logits, noise, k=k)

    def exact(logits: Any, seed: Any) -> Any:
        z = sample(logits, seed)
        return tg.ops.straight_through_subset(logits, z, k=k)

    def recursion(logits: Any, seed: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            log_z = log_z_by_recursion(logits, k)
        return tape.gradient(log_z, logits)

    def top_k(logits: Any, seed: Any) -> Any:
        noise = tg.random.gumbel(tf.shape(logits), seed)
        how: Row = {"temperature": TEMPERATURE, "hard": True}
        return tg.ops.relaxed_top_k(logits, noise, k=k, **how)

    return {
        SOFTMAX: _samplers.softmax,
        EXACT: exact,
        MARGINALS: lambda logits, seed: tg.ops.subset_marginals(logits, k=k),
        SAMPLE: sample,
        RECURSION: recursion,
        TOP_K: top_k,
    }


def tf_call(name: str, mode: str, options: Options) -> Call:
    """One call of a contender that runs in TensorFlow."""
    draw, xla = draws(options.size)[name], mode == "xla"
    logits, weights = _samplers.arrays([options.batch, options.items])
    if name not in FORWARD:
        return _samplers.step(draw, logits, weights, xla)
    return _samplers.compiled(draw, logits, xla)


def torch_call(options: Options) -> Call:
    """One call of relaxit."""
    import torch

    peer: Any = importlib.import_module("relaxit.distributions")

    def draw(logits: Any) -> Any:
        how = {"K": torch.tensor(options.size), "hard": True}
        how["tau"] = torch.tensor(TEMPERATURE)
        return peer.GumbelSoftmaxTopK(logits=logits, **how).rsample()

    arrays = _samplers.arrays([options.batch, options.items])
    return _samplers.torch_step(draw, *arrays)


def contender(options: Options) -> Row:
    """Figures of one contender; run in a process of its own."""
    name, mode = options.contender, options.mode
    relaxit = name == RELAXIT
    call = torch_call(options) if relaxit else tf_call(name, mode, options)
    if options.peak:
        return {"peak_mib": round(_memory.peak(call), 1)}
    yardstick = tf_call(SOFTMAX, "graph" if relaxit else mode, options)
    calls = {name: call, SOFTMAX: yardstick}
    rows = _timing.compare(calls, options.repeats, slow_repeats=5)
    row, softmax = rows[name], rows[SOFTMAX]
    return row | {
        "softmax_ms": softmax["median_ms"],
        "softmaxes": round(row["median_ms"] / softmax["median_ms"], 2),
        "least_softmaxes": round(row["min_ms"] / softmax["min_ms"], 2),
        "cpu_softmaxes": round(row["cpu_ms"] / softmax["cpu_ms"], 2),
    }


def measure(key: Row, options: Options) -> Row:
    """One row, by two processes."""
    words = {name: key[name] for name in KEY[1:]}
    words |= {"contender": key["name"], "repeats": options.repeats}
    command = ["-m", "benchmarks.subsets"], options.timeout
    row = {**key, **_memory.in_process(*command, **words)}
    if "failed" not in row and _memory.measurable():
        found = _memory.in_process(*command, **words, peak=True)
        row["peak_mib"] = found.get("peak_mib")
    return row


def jobs(options: Options) -> list[Row]:
    """What is to be measured: all at one size, ours at several."""
    found = []
    for name in options.only:
        modes = ["eager"] if name == RELAXIT else MODES
        grid = GRID if name in (EXACT, MARGINALS) else []
        for (items, size), mode in product([(ITEMS, SIZE), *grid], modes):
            values = (name, mode, BATCH, items, size)
            found.append(dict(zip(KEY, values, strict=True)))
    return found


def targets(rows: list[Row]) -> list[Row]:
    """Whether the exact sampler is as fast as it has to be."""
    found = []
    exact = [r for r in rows if r["name"] == EXACT and "failed" not in r]
    for mode in MODES:
        ours = [row for row in exact if row["mode"] == mode]
        usual = [row for row in ours if row["items"] == ITEMS]
        for row in usual:
            if row["size"] == SIZE:
                text = f"{mode}: softmaxes"
                found.append(_runner.target(text, row["softmaxes"], LIMIT))
        # At the other's usual size; and of their product at all sizes.
        lines = {
            "items": [row for row in ours if row["size"] == SIZE],
            "size": usual,
            "items * size": ours,
        }
        for axis, line in lines.items():
            if len(line) > 1:
                names = axis.split(" * ")
                sizes = [math.prod(row[n] for n in names) for row in line]
                steep = slope(sizes, [row["cpu_ms"] for row in line])
                label = f"{mode}: slope in {axis}"
                found.append(_runner.target(label, round(steep, 3), SLOPE))
    return found


def main(arguments: Arguments = None) -> Row:
    """Measures what is not in the JSON yet."""
    parser = _runner.parser("subsets", __doc__)
    add = parser.add_argument
    peer = _runner.installed("relaxit")
    here = [name for name in CONTENDERS if peer or name != RELAXIT]
    add("--only", nargs="+", default=here, choices=CONTENDERS)
    parser.add_defaults(repeats=20, timeout=600.0)
    add("--again", action="store_true", help="measure what is there, too")
    one = "one alone, in this process:"
    add("--contender", choices=[SOFTMAX, *CONTENDERS], help=one)
    add("--mode", default="graph", choices=[*MODES, "eager"])
    parser.add_defaults(batch=BATCH, items=ITEMS, size=SIZE)
    add("--peak", action="store_true", help="its memory, not its time")
    options = _runner.parse(parser, arguments)
    if options.contender:
        return _runner.of_contender(contender(options))
    report = _runner.read(
        options.out, {"benchmark": "subsets", "results": [], "targets": []}
    )
    report["command"] = options.command
    report["environment"] = _runner.environment(PACKAGES)
    rows = {tuple(row[k] for k in KEY): row for row in report["results"]}
    for job in jobs(options):
        key = tuple(job.values())
        if key in rows and not options.again and "failed" not in rows[key]:
            continue
        rows.pop(key, None)
        rows[key] = measure(job, options)
        print(rows[key], flush=True)
        report["results"] = list(rows.values())
        report["targets"] = targets(report["results"])
        _runner.write(options.out, report)
    _runner.show(COLUMNS, report["results"], report["targets"])
    return report


if __name__ == "__main__":
    main()
