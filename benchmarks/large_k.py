"""Time and memory of `StraightThroughEmbedding` beside one-hot × matrix.

Both map logits `[B, K]` to rows `[B, dim]` of a table of K rows; one call
computes the loss Σ w·y for a fixed random w and its gradients in the logits and
in the table. The peer is `StraightThroughCategorical`, then a `Dense` without a
bias.

Each contender has a process to itself, and the processes of a pair take turns.
The peak is that of a first call, when logits, table and graph were there
already; with the logits, which both need, counted in, the ratio is the less
favourable one. A time is the median over all further calls. A contender that
does not fit into memory or time is reported as such.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np

import tfgumbel as tg
from benchmarks import _memory, _runner, _samplers
from benchmarks._runner import Arguments, Call, Options, Row

ESTIMATORS = ["st", "st_gumbel", "reinmax", "zgr", "gapped"]
MANY = 1_000_000
OURS, PEER = "StraightThroughEmbedding", "one-hot × matrix"
SPEEDUP, MEMORY = 1.5, 0.7
MODES = ["graph", "xla"]
COLUMNS = ["estimator", "mode", "categories", "speedup", "cpu_speedup"]
COLUMNS += ["memory", "memory_with_logits"]


def make_step(options: Options) -> Call:
    """One call of the contender."""
    generator, sizes = (
        np.random.default_rng(0),
        (options.categories, options.dim),
    )
    logits, weights = (
        generator.standard_normal((options.batch, size), dtype="float32")
        for size in sizes
    )
    how = {"estimator": options.estimator, "temperature": options.temperature}
    if options.contender == OURS:
        layers: list[Any] = [tg.StraightThroughEmbedding(*sizes, **how)]
    else:
        dense = keras.layers.Dense(options.dim, use_bias=False)
        layers = [tg.StraightThroughCategorical(**how), dense]
    for layer in layers:
        layer.build((None, options.categories))
    table = layers[-1].trainable_variables[0].value

    def draw(logits: Any, seed: Any) -> Any:
        for layer in layers:
            logits = layer(logits, training=True)
        return logits

    return _samplers.step(draw, logits, weights, options.mode == "xla", [table])


def measure(
    categories: int, estimator: str, mode: str, options: Options
) -> Row:
    """One row: both contenders in turns, and their ratios."""
    facts: Row = {"batch": options.batch, "categories": categories}
    facts |= {"dim": options.dim, "estimator": estimator}
    facts |= {"temperature": options.temperature, "mode": mode}
    found = _memory.in_turns((OURS, PEER), options, "calls", **facts)
    ours, peer = found.values()
    logits = options.batch * categories * 4 / 2**20
    row = facts | {"logits_mib": round(logits, 1)}
    row |= {"ours": ours, "one_hot": peer}
    if "failed" in ours or "failed" in peer:
        return row
    more, less = ours["peak_mib"] + logits, peer["peak_mib"] + logits
    return row | {
        "speedup": round(peer["median_ms"] / ours["median_ms"], 3),
        "cpu_speedup": round(peer["cpu_ms"] / ours["cpu_ms"], 3),
        "memory": round(ours["peak_mib"] / peer["peak_mib"], 3),
        "memory_with_logits": round(more / less, 3),
    }


def targets(rows: list[Row]) -> list[Row]:
    """Whether the rows reach what they have to."""
    found: list[Row] = []
    for row in rows:
        where = {key: row[key] for key in ("categories", "estimator", "mode")}
        if row["categories"] >= MANY:
            ran = "failed" not in row["ours"]
            found.append({"target": "runs", **where, "reached": ran})
        elif "speedup" in row:
            speed = "speed", row["speedup"], SPEEDUP, True
            memory = "peak memory", row["memory"], MEMORY, False
            found += [_runner.target(*x, **where) for x in (speed, memory)]
    return found


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("large_k", __doc__, estimators=ESTIMATORS)
    parser.add_choices(modes=MODES)
    parser.add_defaults(batch=256, categories=100_000, dim=64, temperature=1.0)
    parser.add_argument(
        "--many", type=int, default=MANY, help="K of the last rows; 0: none"
    )
    parser.add_defaults(calls=5, processes=3, timeout=600.0)
    one = parser.add_argument_group("one contender, in this process")
    one.add_argument("--contender", choices=[OURS, PEER])
    one.add_argument("--estimator", default="st")
    one.add_argument("--mode", default="graph", choices=MODES)
    options = _runner.parse(parser, arguments)
    if options.contender:
        return _memory.report(make_step(options), options.calls)
    if not _memory.measurable():
        raise SystemExit("Peaks of memory are read from /proc, as on Linux.")
    rows: list[Row] = []
    names, many = options.estimators, [options.many] if options.many else []
    jobs = [*itertools.product([options.categories], names, options.modes)]
    jobs += itertools.product(many, names, ["graph"])
    for job in jobs:
        rows.append(measure(*job, options))
        print(rows[-1], flush=True)
    return _runner.finish(options, COLUMNS, rows, targets(rows))


if __name__ == "__main__":
    main()
