"""Time and memory of `StraightThroughEmbedding` beside one-hot × matrix.

Both map logits `[B, K]` to rows `[B, dim]` of a table of K rows; one call
computes the loss Σ w·y for a fixed random w and its gradients in the logits and
in the table. The peer is `StraightThroughCategorical(estimator)`, then
`Dense(dim, use_bias=False)`.

Each contender has a process to itself, and the processes of a pair take turns.
The peak is that of a first call, when logits, table and graph were there
already; with the logits, which both need, counted in, the peaks are those less
favourable to us. A time is the median over all further calls. A contender that
does not fit into memory or time is reported as such.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _memory, _runner, _samplers
from benchmarks._runner import Arguments, Options, Row
from benchmarks._timing import Call

ESTIMATORS = ["st", "st_gumbel", "reinmax", "zgr", "gapped"]
MANY = 1_000_000
OURS, PEER = "StraightThroughEmbedding", "one-hot × matrix"
SPEEDUP, MEMORY = 1.5, 0.7
MODES = ["graph", "xla"]
COLUMNS = ["estimator", "mode", "categories", "speedup", "cpu_speedup"]
COLUMNS += ["memory", "memory_with_logits"]


def make_step(options: Options) -> Call:
    """One call of the contender."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> tf.Tensor:
        return tf.constant(generator.standard_normal(shape, dtype="float32"))

    logits = normal(options.batch, options.categories)
    weights = normal(options.batch, options.dim)
    layers = make_layers(options)

    def loss_and_gradients(logits: tf.Tensor, weights: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = logits
            for layer in layers:
                y = layer(y, training=True)
            loss = tf.reduce_sum(weights * y)
        table = layers[-1].trainable_variables[0].value
        return loss, *tape.gradient(loss, [logits, table])

    xla = options.mode == "xla"
    return _samplers.compiled(
        loss_and_gradients, logits, weights, jit_compile=xla
    )


def make_layers(options: Options) -> list[Any]:
    """The contender's layers, built."""
    how = {"estimator": options.estimator, "temperature": options.temperature}
    if options.contender == OURS:
        sizes = options.categories, options.dim
        layers = [tg.StraightThroughEmbedding(*sizes, **how)]
    else:
        dense = keras.layers.Dense(options.dim, use_bias=False)
        layers = [tg.StraightThroughCategorical(**how), dense]
    for layer in layers:
        layer.build((None, options.categories))
    return layers


def measure(
    categories: int, estimator: str, mode: str, options: Options
) -> Row:
    """One row: both contenders in turns, and their ratios."""
    facts = {
        "batch": options.batch,
        "categories": categories,
        "dim": options.dim,
        "estimator": estimator,
        "temperature": options.temperature,
        "mode": mode,
    }
    words, names = {"calls": options.calls, **facts}, (OURS, PEER)
    found = _memory.in_turns("benchmarks.large_k", names, options, **words)
    ours, peer = (found[name] for name in names)
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
            speed, memory = row["speedup"], row["memory"]
            found += [
                _runner.target("speed", speed, SPEEDUP, True, **where),
                _runner.target("peak memory", memory, MEMORY, **where),
            ]
    return found


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("large_k", __doc__)
    add = parser.add_argument
    parser.add_defaults(estimators=ESTIMATORS)
    add("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_defaults(batch=256, categories=100_000, dim=64, temperature=1.0)
    add("--many", type=int, default=MANY, help="K of the last rows; 0: none")
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
    sizes, names = [options.categories], options.estimators
    jobs = list(itertools.product(sizes, names, options.modes))
    if options.many:
        jobs += [(options.many, name, "graph") for name in names]
    for job in jobs:
        rows.append(measure(*job, options))
        print(rows[-1], flush=True)
    return _runner.finish(options, COLUMNS, rows, targets(rows))


if __name__ == "__main__":
    main()
