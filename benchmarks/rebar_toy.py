"""Cost and gradient variance of every estimator on the toy problem of REBAR.

E (b - t)², b Bernoulli with success probability sigmoid(φ), φ = 0 at the start:
t = 0.45 (Tucker et al. 2017) and t = 0.499 (Grathwohl et al. 2018), where the
two sides of the problem differ by 0.1 and 0.002: an estimator needs little
variance to find out which way to go. RESULTS.md has the rest of the set-up; a
variance is over 1,000 estimates.
"""

from __future__ import annotations

import itertools

import keras

from benchmarks import _runner, _training
from benchmarks._runner import Arguments, Options, Row
from tfgumbel import estimators
from tfgumbel.diagnostics import training
from tfgumbel.diagnostics.problems import Quadratic

ESTIMATORS = [
    name
    for name in estimators.available("bernoulli")
    if estimators.get(name, distribution="bernoulli").objective
    == "expected cost"
]


def run(target: float, name: str, seed: int, options: Options) -> Row:
    """One training run."""
    problem = Quadratic(1, target)
    estimator = problem.estimator(name, seed)
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


def main(arguments: Arguments = None) -> Row:
    """Trains what the JSON does not hold yet."""
    parser = _runner.parser("rebar_toy", __doc__, targets=[0.45, 0.499])
    parser.add_choices(estimators=ESTIMATORS)
    parser.add_defaults(seeds=[0], steps=5000)
    options = _runner.parse(parser, arguments)
    todo = itertools.product(options.seeds, options.targets, options.estimators)
    for seed, target, name in todo:
        key = f"{target:g}/{name}/{options.steps} steps/seed {seed}"
        if _training.recorded(options, key) is None:
            entry = run(target, name, seed, options)
            _training.record(options, key, entry)
            print(f"{key}: {entry['results']}", flush=True)
            keras.backend.clear_session()
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
