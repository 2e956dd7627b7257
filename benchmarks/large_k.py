"""Time and memory of `StraightThroughEmbedding` beside one-hot × matrix.

Run `python -m benchmarks.large_k`. Both map logits `[B, K]` to rows `[B, dim]`
of a table of K rows; one call computes the loss Σ w·y for a fixed random w and
its gradients with respect to the logits and the table. The peer is
`StraightThroughCategorical(estimator)`, then `Dense(dim, use_bias=False)`.

Each contender has a process to itself, since a peak is a mark of the process:
it is what the resident memory rises to during the calls, less what it was
before, when logits, table and graph were there already. With the logits, which
both need, counted in, the peaks are those less favourable to us. The processes
of a pair take turns; a figure is the median over all calls. A contender that
does not fit into memory or time is reported as such.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _memory, _timing

OUT = Path(__file__).parent / "results" / "large_k.json"
PACKAGES = ["tensorflow", "keras", "numpy"]
ESTIMATORS = ["st", "st_gumbel", "reinmax", "zgr", "gapped"]
BATCH, CATEGORIES, DIM = 256, 100_000, 64
MANY = 1_000_000
OURS, PEER = "StraightThroughEmbedding", "one-hot × matrix"
SPEEDUP, MEMORY = 1.5, 0.7
MODES = ["graph", "xla"]


def contender(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one contender; run in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    step = make_step(options)
    before = _memory.resident("VmRSS")
    _memory.clear_peak()
    wall, cpu = [], []
    for call in range(options.calls + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        tf.test.experimental.sync_devices()
        if call:  # the first one warms up
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    return {
        "wall": wall,
        "cpu": cpu,
        "peak": _memory.resident("VmHWM") - before,
    }


def make_step(options: argparse.Namespace) -> Any:
    import numpy as np
    import tensorflow as tf

    generator = np.random.default_rng(0)

    def normal(*shape: int) -> tf.Tensor:
        return tf.constant(generator.standard_normal(shape, dtype="float32"))

    logits = normal(options.batch, options.categories)
    weights = normal(options.batch, options.dim)
    layers = make_layers(options)

    @tf.function(jit_compile=options.mode == "xla")
    def loss_and_gradients(logits: tf.Tensor, weights: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = logits
            for layer in layers:
                y = layer(y, training=True)
            loss = tf.reduce_sum(weights * y)
        table = layers[-1].trainable_variables[0].value
        return loss, *tape.gradient(loss, [logits, table])

    call = loss_and_gradients.get_concrete_function(logits, weights)
    return lambda: call(logits, weights)


def make_layers(options: argparse.Namespace) -> list[Any]:
    import keras

    import tfgumbel as tg

    if options.contender == OURS:
        layers = [
            tg.StraightThroughEmbedding(
                options.categories,
                options.dim,
                estimator=options.estimator,
                temperature=options.temperature,
            )
        ]
    else:
        layers = [
            tg.StraightThroughCategorical(
                options.estimator, options.temperature
            ),
            keras.layers.Dense(options.dim, use_bias=False),
        ]
    for layer in layers:
        layer.build((None, options.categories))
    return layers


def measure(
    batch: int,
    categories: int,
    dim: int,
    estimator: str,
    mode: str,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """One row: both contenders in turns, and their ratios."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PEER: []}
    for _ in range(options.processes):
        for name, found in runs.items():
            command = ["-m", "benchmarks.large_k"]
            command += ["--contender", name, "--estimator", estimator]
            command += ["--mode", mode, "--calls", str(options.calls)]
            command += ["--batch", str(batch), "--dim", str(dim)]
            command += ["--categories", str(categories)]
            command += ["--temperature", str(options.temperature)]
            found.append(_memory.in_process(command, options.timeout))
    logits = batch * categories * 4 / 2**20
    row: dict[str, Any] = {
        "batch": batch,
        "categories": categories,
        "dim": dim,
        "estimator": estimator,
        "temperature": options.temperature,
        "mode": mode,
        "logits_mib": round(logits, 1),
        "ours": summary(runs[OURS]),
        "one_hot": summary(runs[PEER]),
    }
    ours, peer = row["ours"], row["one_hot"]
    if "failed" not in ours and "failed" not in peer:
        row["speedup"] = round(peer["median_ms"] / ours["median_ms"], 3)
        row["cpu_speedup"] = round(peer["cpu_ms"] / ours["cpu_ms"], 3)
        row["memory"] = round(ours["peak_mib"] / peer["peak_mib"], 3)
        row["memory_with_logits"] = round(
            (ours["peak_mib"] + logits) / (peer["peak_mib"] + logits), 3
        )
    return row


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the calls of all processes, and the median peak."""
    failed = [run["failed"] for run in runs if "failed" in run]
    if failed:
        return {"failed": failed[0]}
    wall = [seconds for run in runs for seconds in run["wall"]]
    cpu = [seconds for run in runs for seconds in run["cpu"]]
    peak = statistics.median(run["peak"] for run in runs)
    return {
        "median_ms": round(1e3 * statistics.median(wall), 2),
        "min_ms": round(1e3 * min(wall), 2),
        "cpu_ms": round(1e3 * statistics.median(cpu), 2),
        "peak_mib": round(peak, 1),
        "calls": len(wall),
    }


def targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether the rows reach what they have to."""
    found = []
    for row in rows:
        where = {key: row[key] for key in ("categories", "estimator", "mode")}
        if row["categories"] >= MANY:
            ran = "failed" not in row["ours"]
            found.append({"target": "runs", **where, "reached": ran})
        elif "speedup" in row:
            for target, key, reached in (
                ("speed", "speedup", row["speedup"] >= SPEEDUP),
                ("peak memory", "memory", row["memory"] <= MEMORY),
            ):
                found.append(
                    {
                        "target": target,
                        **where,
                        "limit": SPEEDUP if key == "speedup" else MEMORY,
                        "measured": row[key],
                        "reached": reached,
                    }
                )
    return found


def line(row: dict[str, Any]) -> str:
    """A row of the table."""

    def cells(side: dict[str, Any]) -> str:
        if "failed" in side:
            return f"{side['failed'][:19]:>20}"
        return f"{side['median_ms']:>10.0f}{side['peak_mib']:>10.0f}"

    text = f"{row['categories']:>9}  {row['estimator']:<11}{row['mode']:<6}"
    text += cells(row["ours"]) + cells(row["one_hot"])
    if "speedup" in row:
        text += f"{row['speedup']:>9.2f}{row['memory']:>8.2f}"
        text += f"{row['memory_with_logits']:>8.2f}"
    return text


HEADER = (
    f"{'K':>9}  {'estimator':<17}{'ours: ms':>10}{'MiB':>10}"
    f"{'one-hot: ms':>11}{'MiB':>9}{'speedup':>9}{'memory':>8}{'+logits':>8}"
)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--estimators", nargs="+", default=ESTIMATORS)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--categories", type=int, default=CATEGORIES)
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument(
        "--many",
        type=int,
        default=MANY,
        help=f"K of the last rows; 0 for none (default: {MANY})",
    )
    parser.add_argument("--calls", type=int, default=5, help="per process")
    parser.add_argument("--processes", type=int, default=3, help="in turns")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--out", type=Path, default=OUT)
    one = parser.add_argument_group("one contender, in this process")
    one.add_argument("--contender", choices=[OURS, PEER])
    one.add_argument("--estimator", default="st")
    one.add_argument("--mode", default="graph", choices=MODES)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the table and the targets, writes JSON."""
    options = parsed(arguments)
    if options.contender:
        figures = contender(options)
        print(json.dumps(figures))
        return figures
    if not _memory.measurable():
        raise SystemExit("Peaks of memory are read from /proc, as on Linux.")
    report: dict[str, Any] = {
        "benchmark": "large_k",
        "command": "python -m benchmarks.large_k "
        + " ".join(sys.argv[1:] if arguments is None else arguments),
        "environment": _timing.environment(PACKAGES),
        "results": [],
    }
    jobs = [
        (options.categories, estimator, mode)
        for estimator in options.estimators
        for mode in options.modes
    ]
    if options.many:
        jobs += [(options.many, name, "graph") for name in options.estimators]
    print(HEADER)
    for categories, estimator, mode in jobs:
        row = measure(
            options.batch, categories, options.dim, estimator, mode, options
        )
        print(line(row), flush=True)
        report["results"].append(row)
    report["targets"] = targets(report["results"])
    for target in report["targets"]:
        verdict = "reached" if target["reached"] else "NOT REACHED"
        measured = target.get("measured", "")
        print(
            f"{target['target']:<12}{target['categories']:>9} "
            f"{target['estimator']:<10} {target['mode']:<6}{measured!s:>6} "
            + verdict
        )
    _timing.write_json(options.out, report)
    return report


if __name__ == "__main__":
    main()
