"""Time and memory of exact subsets, in softmaxes of the same width.

Run `python -m benchmarks.subsets`. Every contender maps logits `[B, n]` to
k-hot values z; one call computes Σ w·z for a fixed random w and its gradient
with respect to the logits, and returns both.

* exact sample, marginal gradient: `sample_subset`, `straight_through_subset`;
* marginals: `subset_marginals`, and the gradient of these;
* exact sample alone: without a gradient;
* log-space recursion: the marginals as the gradient of log Z, the sum over
  subsets by n steps of log-sum-exp over k + 1 counts, by autodiff;
* Gumbel top-k: `relaxed_top_k`, hard, which is another distribution;
* relaxit: its `GumbelSoftmaxTopK`, which runs in PyTorch, eagerly.

Each row is measured in a process of its own, in turns with the softmax, forward
and backward, in the same mode; the peak of memory in another. A row that stands
in the JSON already is not measured again, unless `--again` is given, so that a
run that was cut short can be resumed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _memory, _timing

OUT = Path(__file__).parent / "results" / "subsets.json"
PACKAGES = ["tensorflow", "keras", "numpy", "torch", "relaxit"]
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
LIMIT, SLOPE = 60.0, 1.05
TEMPERATURE = 0.5

Call = Callable[[], Any]


def arrays(batch: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    logits, weights = generator.normal(size=(2, batch, items))
    return logits.astype("float32"), weights.astype("float32")


def log_z_by_recursion(logits: Any, k: int) -> Any:
    """log Σ_{|S|=k} exp(Σ_S logits), one item after the other."""
    import tensorflow as tf

    empty = tf.fill([tf.shape(logits)[0], k], -1e30)
    start = tf.concat([tf.zeros_like(logits[:, :1]), empty], axis=1)

    def add(step: Any, table: Any) -> Any:
        with_item = table[:, :-1] + tf.gather(logits, [step], axis=1)
        both = tf.reduce_logsumexp(tf.stack([table[:, 1:], with_item]), axis=0)
        return step + 1, tf.concat([table[:, :1], both], axis=1)

    items = logits.shape[1]
    _, table = tf.while_loop(
        lambda step, table: step < items,
        add,
        (0, start),
        maximum_iterations=items,
    )
    return table[:, -1]


def draws(k: int) -> dict[str, Callable[[Any, Any], Any]]:
    """The maps from (logits, seed) to z that run in TensorFlow."""
    import tensorflow as tf

    import tfgumbel as tg

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
        return tg.ops.relaxed_top_k(
            logits, noise, k=k, temperature=TEMPERATURE, hard=True
        )

    return {
        SOFTMAX: lambda logits, seed: tf.nn.softmax(logits),
        EXACT: exact,
        MARGINALS: lambda logits, seed: tg.ops.subset_marginals(logits, k=k),
        SAMPLE: sample,
        RECURSION: recursion,
        TOP_K: top_k,
    }


# Without a gradient: a sample, and marginals that are a gradient themselves.
FORWARD = (SAMPLE, RECURSION)


def tf_call(name: str, mode: str, options: argparse.Namespace) -> Call:
    import tensorflow as tf

    draw = draws(options.size)[name]
    logits, weights = map(tf.constant, arrays(options.batch, options.items))
    seeds = itertools.count()

    @tf.function(jit_compile=mode == "xla", autograph=False)
    def loss_and_gradient(logits: Any, seed: Any) -> Any:
        if name in FORWARD:
            return draw(logits, seed)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_sum(weights * draw(logits, seed))
        return loss, tape.gradient(loss, logits)

    def call() -> Any:
        seed = tf.constant([next(seeds), 1], tf.int32)
        result = loss_and_gradient(logits, seed)
        tf.test.experimental.sync_devices()
        return result

    return call


def torch_call(options: argparse.Namespace) -> Call:
    import torch
    from relaxit.distributions import GumbelSoftmaxTopK

    logits, weights = map(torch.tensor, arrays(options.batch, options.items))
    logits.requires_grad_()

    def call() -> Any:
        distribution = GumbelSoftmaxTopK(
            logits=logits,
            K=torch.tensor(options.size),
            tau=torch.tensor(TEMPERATURE),
            hard=True,
        )
        loss = torch.sum(weights * distribution.rsample())
        return loss.detach(), torch.autograd.grad(loss, logits)[0]

    return call


def contender(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one contender; run in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name, mode = options.contender, options.mode
    call = torch_call(options) if name == RELAXIT else tf_call(*_at(options))
    if options.peak:
        return {"peak_mib": round(_memory.peak(call), 1)}
    yardstick = tf_call(SOFTMAX, "graph" if mode == "eager" else mode, options)
    timings = _timing.interleave(
        {name: call, SOFTMAX: yardstick}, options.repeats, slow_repeats=5
    )
    row = _timing.summary(timings[name])
    softmax = _timing.summary(timings[SOFTMAX])
    row["softmax_ms"] = softmax["median_ms"]
    row["softmaxes"] = round(row["median_ms"] / softmax["median_ms"], 2)
    row["least_softmaxes"] = round(row["min_ms"] / softmax["min_ms"], 2)
    row["cpu_softmaxes"] = round(row["cpu_ms"] / softmax["cpu_ms"], 2)
    return row


def _at(options: argparse.Namespace) -> tuple[str, str, argparse.Namespace]:
    return options.contender, options.mode, options


def measure(key: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """One row, by two processes."""
    command = ["-m", "benchmarks.subsets", "--contender", key["name"]]
    for name in ("mode", "batch", "items", "size"):
        command += [f"--{name}", str(key[name])]
    command += ["--repeats", str(options.repeats)]
    row = {**key, **_memory.in_process(command, options.timeout)}
    if "failed" not in row and _memory.measurable():
        found = _memory.in_process([*command, "--peak"], options.timeout)
        row["peak_mib"] = found.get("peak_mib")
    return row


def jobs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What is to be measured: all at one size, ours at several."""
    sizes = [(ITEMS, SIZE)]
    found = []
    for name in options.only:
        grid = GRID if name in (EXACT, MARGINALS) else []
        for items, size in [*sizes, *grid]:
            for mode in ["eager"] if name == RELAXIT else MODES:
                key = {"batch": BATCH, "items": items, "size": size}
                found.append({"name": name, "mode": mode, **key})
    return found


KEY = ("name", "mode", "batch", "items", "size")


def targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether the exact sampler is as fast as it has to be."""
    found = []
    for mode in MODES:
        ours = [
            row
            for row in rows
            if row["name"] == EXACT
            and row["mode"] == mode
            and "failed" not in row
        ]
        for row in ours:
            if (row["items"], row["size"]) == (ITEMS, SIZE):
                found.append(
                    target(f"{mode}: softmaxes", row["softmaxes"], LIMIT)
                )
        for axis, other, at in (
            ("items", "size", SIZE),
            ("size", "items", ITEMS),
        ):
            line = [row for row in ours if row[other] == at]
            if len(line) > 1:
                slope = log_slope(line, axis)
                found.append(target(f"{mode}: slope in {axis}", slope, SLOPE))
    return found


def log_slope(rows: Sequence[dict[str, Any]], axis: str) -> float:
    """Of log processor time in the log of a size, by least squares."""
    x = np.log([row[axis] for row in rows])
    y = np.log([row["cpu_ms"] for row in rows])
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def target(name: str, measured: float, limit: float) -> dict[str, Any]:
    return {
        "target": name,
        "limit": limit,
        "measured": measured,
        "reached": measured <= limit,
    }


def line(row: dict[str, Any]) -> str:
    text = f"{row['name']:<33}{row['mode']:<6}{row['items']:>6}{row['size']:>5}"
    if "failed" in row:
        return f"{text}  {row['failed'][:40]}"
    peak = row.get("peak_mib")
    return (
        f"{text}{row['median_ms']:>10.1f}{row['softmaxes']:>10.1f}"
        f"{row['least_softmaxes']:>8.1f}{row['cpu_softmaxes']:>8.1f}"
        f"{'-' if peak is None else format(peak, '.0f'):>9}"
    )


HEADER = (
    f"{'':<39}{'n':>6}{'k':>5}{'ms':>10}{'softmaxes':>10}{'least':>8}"
    f"{'CPU':>8}{'peak MiB':>9}"
)


def available() -> list[str]:
    if importlib.util.find_spec("relaxit"):
        return CONTENDERS
    return [name for name in CONTENDERS if name != RELAXIT]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="+", default=available(), choices=CONTENDERS
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument(
        "--again", action="store_true", help="measure rows that are there, too"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    one = parser.add_argument_group("one contender, in this process")
    one.add_argument("--contender", choices=[SOFTMAX, *CONTENDERS])
    one.add_argument("--mode", default="graph", choices=[*MODES, "eager"])
    one.add_argument("--batch", type=int, default=BATCH)
    one.add_argument("--items", type=int, default=ITEMS)
    one.add_argument("--size", type=int, default=SIZE)
    one.add_argument("--peak", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures what is not in the JSON yet, prints the table and targets."""
    options = parsed(arguments)
    if options.contender:
        figures = contender(options)
        print(json.dumps(figures))
        return figures
    report: dict[str, Any] = {"benchmark": "subsets", "results": []}
    if options.out.exists():
        report = json.loads(options.out.read_text())
    report["command"] = "python -m benchmarks.subsets " + " ".join(
        sys.argv[1:] if arguments is None else arguments
    )
    report["environment"] = _timing.environment(PACKAGES)
    print(HEADER)
    for key in jobs(options):
        same = [
            row
            for row in report["results"]
            if all(row[name] == key[name] for name in KEY)
        ]
        if same and not options.again and "failed" not in same[0]:
            print(line(same[0]), flush=True)
            continue
        row = measure(key, options)
        print(line(row), flush=True)
        for old in same:
            report["results"].remove(old)
        report["results"].append(row)
        report["targets"] = targets(report["results"])
        _timing.write_json(options.out, report)
    for found in report.get("targets", []):
        verdict = "reached" if found["reached"] else "NOT REACHED"
        print(
            f"{found['target']:<25}{found['measured']:>8.2f}, at most "
            f"{found['limit']:g}: {verdict}"
        )
    return report


if __name__ == "__main__":
    main()
