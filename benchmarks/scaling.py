"""How the cost of a layer grows with batch, variables and categories.

Each layer maps logits `[B, D, K]` to a sample; one call is the loss Σ w·y and
its gradient, in graph mode. One size at a time grows from the base by factors
of two while the others stay. The slope of log time against log size, by least
squares over the sizes, says how the cost grows: 1 is linear, less is linear
plus a fixed part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _runner, _samplers, _timing
from benchmarks._runner import Arguments, Call, Options, Row

BASE = {"B": 64, "D": 16, "K": 128}
LIMIT = 1.05
COLUMNS = ["name", "grows", "slope"]
CATEGORICAL = ("st", "st_gumbel", "reinmax", "zgr", "gapped", "gumbel_rao")
SHARED = ("GumbelSoftmax", "BinaryConcrete", "ReparamGaussian")
LAYERS: dict[str, Call] = {
    **{name: _samplers.LAYERS[name] for name in SHARED},
    **{
        f"StraightThroughCategorical {name}": partial(
            tg.StraightThroughCategorical, name, 1.0
        )
        for name in CATEGORICAL
    },
    "SubsetSampler": partial(tg.SubsetSampler, 4),
    "StraightThroughBernoulli": partial(tg.StraightThroughBernoulli, "st"),
    "ReinforceSampler": _samplers.LAYERS["ReinforceSampler"],
}


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Of log time against log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def measure(name: str, letter: str, options: Options) -> Row:
    """Times along one size, and their slope."""
    values = [BASE[letter] * factor for factor in options.factors]
    steps = {}
    for value in values:
        arrays = _samplers.arrays([*(BASE | {letter: value}).values()])
        draw = _samplers.draw_with(LAYERS[name]())
        steps[value] = _samplers.step(draw, *arrays, jit_compile=False)
    rows = _timing.compare(steps, options.repeats)
    times = [row["min_ms"] for row in rows.values()]
    row = {"name": name, "grows": letter, "sizes": values, "min_ms": times}
    return {**row, "slope": round(slope(values, times), 3)}


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("scaling", __doc__, repeats=15)
    parser.add_defaults(layers=list(LAYERS), factors=[1, 2, 4, 8, 16])
    options = _runner.parse(parser, arguments)
    rows = []
    with tf.device("CPU:0"):
        for name, letter in itertools.product(options.layers, BASE):
            rows.append(measure(name, letter, options))
            print(f"{name}, {letter}: slope {rows[-1]['slope']}", flush=True)
    targets = []
    for row in rows:
        text = f"slope of {row['name']} in {row['grows']}"
        targets.append(_runner.target(text, row["slope"], LIMIT))
    return _runner.finish(options, COLUMNS, rows, targets, base=BASE)


if __name__ == "__main__":
    main()
