"""How the cost of a layer grows with batch, variables and categories.

Each layer maps logits `[B, D, K]` to a sample; one call is the loss Σ w·y and
its gradient, in graph mode. One size at a time grows from the base by factors
of two while the others stay. The slope of log time against log size, by least
squares over the sizes, says how the cost grows: 1 is linear, less is linear
plus a fixed part.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _runner, _samplers, _timing

BASE = {"B": 64, "D": 16, "K": 128}
FACTORS = (1, 2, 4, 8, 16)
LIMIT = 1.05
COLUMNS = ["name", "grows", "slope"]
CATEGORICAL = ("st", "st_gumbel", "reinmax", "zgr", "gapped", "gumbel_rao")
SHARED = ("GumbelSoftmax", "BinaryConcrete", "ReparamGaussian")
LAYERS: dict[str, Callable[[], Any]] = {
    **{name: _samplers.LAYERS[name] for name in SHARED},
    **{
        f"StraightThroughCategorical {name}": partial(
            tg.StraightThroughCategorical, name, 1.0
        )
        for name in CATEGORICAL
    },
    "SubsetSampler": lambda: tg.SubsetSampler(4),
    "StraightThroughBernoulli": lambda: tg.StraightThroughBernoulli("st"),
    "ReinforceSampler": _samplers.LAYERS["ReinforceSampler"],
}


def step(name: str, sizes: dict[str, int]) -> Callable[[], Any]:
    """One call of a layer at some sizes."""
    arrays = _samplers.arrays([sizes[letter] for letter in "BDK"])
    draw = _samplers.draw_with(LAYERS[name]())
    return _samplers.step(draw, *arrays, jit_compile=False)


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Of log time against log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def measure(
    name: str, letter: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Times along one size, and their slope."""
    values = [BASE[letter] * factor for factor in options.factors]
    steps = {value: step(name, BASE | {letter: value}) for value in values}
    rows = _timing.summaries(_timing.interleave(steps, options.repeats))
    times = [row["min_ms"] for row in rows.values()]
    return {
        "name": name,
        "grows": letter,
        "sizes": values,
        "min_ms": times,
        "slope": round(slope(values, times), 3),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the slopes, writes JSON."""
    parser = _runner.parser("scaling", __doc__)
    add = parser.add_argument
    add("--repeats", type=int, default=15, help="rounds")
    add("--layers", nargs="+", default=list(LAYERS))
    add("--factors", nargs="+", type=int, default=FACTORS)
    options = _runner.parse(parser, arguments)
    rows = []
    with tf.device("CPU:0"):
        for name, letter in itertools.product(options.layers, BASE):
            rows.append(measure(name, letter, options))
            print(f"{name}, {letter}: slope {rows[-1]['slope']}", flush=True)
    targets = [
        _runner.target(
            f"slope of {row['name']} in {row['grows']}", row["slope"], LIMIT
        )
        for row in rows
    ]
    return _runner.finish(options, COLUMNS, rows, targets, base=BASE)


if __name__ == "__main__":
    main()
