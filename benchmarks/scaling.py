"""How the cost of a layer grows with batch, variables and categories.

Run `python -m benchmarks.scaling`. Each layer maps logits `[B, D, K]` to a
sample; one call is the loss Σ w·y and its gradient, in graph mode. One size at
a time grows from the base by factors of two while the others stay. The slope
of log time against log size, by least squares over the sizes, says how the
cost grows: 1 is linear, less is linear plus a fixed part.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _timing
from benchmarks.layers import tf_step

OUT = Path(__file__).parent / "results" / "scaling.json"
PACKAGES = ["tensorflow", "keras", "numpy"]
BASE = {"B": 64, "D": 16, "K": 128}
FACTORS = (1, 2, 4, 8, 16)
LIMIT = 1.05
LAYERS: dict[str, Callable[[], Any]] = {
    "GumbelSoftmax": lambda: tg.GumbelSoftmax(0.7),
    **{
        f"StraightThroughCategorical {name}": partial(
            tg.StraightThroughCategorical, name, 1.0
        )
        for name in (
            "st",
            "st_gumbel",
            "reinmax",
            "zgr",
            "gapped",
            "gumbel_rao",
        )
    },
    "SubsetSampler": lambda: tg.SubsetSampler(4),
    "BinaryConcrete": lambda: tg.BinaryConcrete(0.7),
    "StraightThroughBernoulli": lambda: tg.StraightThroughBernoulli("st"),
    "ReparamGaussian": tg.ReparamGaussian,
    "ReinforceSampler": lambda: tg.ReinforceSampler(
        baseline=None, return_log_prob=True
    ),
}


def step(name: str, sizes: dict[str, int]) -> Callable[[], Any]:
    """One call of a layer at some sizes."""
    generator = np.random.default_rng(0)
    shape = tuple(sizes[letter] for letter in "BDK")
    logits = generator.normal(size=shape).astype("float32")
    weights = generator.normal(size=shape).astype("float32")
    layer = LAYERS[name]()
    pair = name == "ReparamGaussian"

    def draw(logits: tf.Tensor, seed: tf.Tensor) -> Any:
        return layer((logits, logits) if pair else logits, training=True)

    return tf_step(draw, logits, weights, jit_compile=False)


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Of log time against log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def measure(name: str, letter: str, options: Any) -> dict[str, Any]:
    """Times along one size, and their slope."""
    values = [BASE[letter] * factor for factor in options.factors]
    steps = {value: step(name, BASE | {letter: value}) for value in values}
    timings = _timing.interleave(steps, options.repeats)
    times = [_timing.summary(timings[value])["min_ms"] for value in values]
    return {
        "name": name,
        "grows": letter,
        "sizes": values,
        "min_ms": times,
        "slope": round(slope(values, times), 3),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the slopes, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15, help="rounds")
    parser.add_argument("--layers", nargs="+", default=list(LAYERS))
    parser.add_argument("--factors", nargs="+", type=int, default=FACTORS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {
        "benchmark": "scaling",
        "base": BASE,
        "environment": _timing.environment(PACKAGES),
        "results": [],
    }
    print(f"{'slope in':<36}" + "".join(f"{letter:>8}" for letter in BASE))
    with tf.device("CPU:0"):
        for name in options.layers:
            rows = [measure(name, letter, options) for letter in BASE]
            report["results"] += rows
            slopes = "".join(f"{row['slope']:>8.2f}" for row in rows)
            print(f"{name:<36}{slopes}", flush=True)
    report["targets"] = [
        {
            "target": f"slope of {row['name']} in {row['grows']}",
            "limit": LIMIT,
            "measured": row["slope"],
            "reached": row["slope"] <= LIMIT,
        }
        for row in report["results"]
    ]
    missed = [t for t in report["targets"] if not t["reached"]]
    print(f"{len(missed)} of {len(report['targets'])} slopes above {LIMIT}")
    _timing.write_json(options.out, report)
    return report


if __name__ == "__main__":
    main()
