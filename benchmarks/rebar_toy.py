"""Cost and gradient variance of every estimator on the toy problem of REBAR.

E (b - t)², b Bernoulli with success probability sigmoid(φ), φ = 0 at the start:
t = 0.45 (Tucker et al. 2017) and t = 0.499 (Grathwohl et al. 2018). One sample
a step, Adam 0.01 for φ and for control variates, 5,000 steps. The minimum has
b = 0 for certain and costs t²: 0.2025 and 0.249001. From b = 1/2 the two sides
of the problem differ by 0.1 and 0.002: an estimator needs little variance to
find out which way to go.

The variance is that of the gradient in φ, measured at the run's own φ, over
1,000 estimates. A finished run is kept in the JSON and not done again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from benchmarks import _runner
from benchmarks._training import Record
from tfgumbel import estimators
from tfgumbel.diagnostics import training
from tfgumbel.diagnostics.estimates import seeded
from tfgumbel.diagnostics.problems import Quadratic

TARGETS = [0.45, 0.499]
ESTIMATORS = [
    name
    for name in estimators.available("bernoulli")
    if estimators.get(name, distribution="bernoulli").objective
    == "expected cost"
]


def run(
    target: float, name: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """One training run."""
    with seeded(seed):
        problem = Quadratic(1, target)
        estimator = estimators.get(name, distribution="bernoulli")
        context = problem.context(problem.probe)
        estimator.build(problem.logits(problem.probe).shape, context.shape)
    every = max(1, options.steps // 50)
    curve = training.train(problem, estimator, options.steps, every, seed)
    found = curve.to_dict()
    return {
        "target": target,
        "estimator": name,
        "seed": seed,
        "steps": options.steps,
        "evaluations": estimator.evaluations,
        "unbiased": estimator.unbiased,
        "milliseconds": curve.milliseconds,
        "curve": {key: found[key] for key in ("step", "cost", "variance")},
        "results": {"cost": curve.cost[-1], "minimum": target**2},
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what the JSON does not hold yet."""
    parser = _runner.parser("rebar_toy", __doc__)
    add = parser.add_argument
    add("--targets", nargs="+", type=float, default=TARGETS)
    add("--estimators", nargs="+", choices=ESTIMATORS, default=ESTIMATORS)
    add("--seeds", nargs="+", type=int, default=[0])
    add("--steps", type=int, default=5000)
    options = _runner.parse(parser, arguments)
    record = Record(options.out, options.command)
    todo = itertools.product(options.seeds, options.targets, options.estimators)
    for seed, target, name in todo:
        key = f"{target:g}/{name}/{options.steps} steps/seed {seed}"
        if record.entry(key) is None:
            entry = run(target, name, seed, options)
            record.write(key, entry)
            print(f"{key}: {entry['results']}", flush=True)
            keras.backend.clear_session()
    return record.read()


if __name__ == "__main__":
    main()
