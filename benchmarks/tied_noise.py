"""REBAR and RELAX with tied noise against independent noise: variance and time.

The problems are the VAE of `benchmarks.comparison`, at its point, and the one
with 20 Bernoulli variables at a point found in the same way. The variance of
the gradient in the logits is relative to the squared norm of the gradient.
Seeds are those of initial weights and of noise. What the JSON holds is not
measured again.

The time is that of one estimate, in graph mode: the gradients in the logits,
in the weights of the decoder and in those of the control variate. The networks
are so small that for 100 images it is mostly that of launching operations.
"""

from __future__ import annotations

import itertools
import statistics
from functools import partial

import keras

from benchmarks import _runner, comparison
from benchmarks._runner import Arguments, Row, environment
from benchmarks._samplers import gradients
from benchmarks._timing import compare
from tfgumbel.diagnostics.estimates import seeded
from tfgumbel.diagnostics.problems import DigitsVae

PACKAGES = ["tensorflow", "keras", "scikit-learn", "numpy"]
PROBLEMS: dict[str, type[DigitsVae]] = {
    "bernoulli": DigitsVae,
    "categorical": comparison.CategoricalVae,
}
ESTIMATORS: dict[str, Row] = {
    "rebar": {},
    "relax": {},
    "relax, relaxed_cost": {"relaxed_cost": True},
}
NOISE = {"tied": True, "independent": False}


def contenders(problem: DigitsVae, seed: int = 0) -> Row:
    """Built estimators, by estimator and noise."""
    found = {}
    for label, arguments in ESTIMATORS.items():
        name = label.split(",")[0]
        for noise, tied in NOISE.items():
            made = problem.estimator(name, seed, **arguments, tied=tied)
            found[f"{label}/{noise}"] = made
    return found


def variances(problem: str, seed: int, draws: int) -> Row:
    """Relative variances by estimator and noise, at one point."""
    with seeded(seed):
        instance = PROBLEMS[problem]()
    comparison.approach(instance, seed)
    options = {"train_steps": 500, "progress": False, "seed": seed}
    made = contenders(instance, seed)
    result = comparison.compared(instance, made, draws, **options)
    norm = result.gradient_norm
    assert norm
    return {
        row.name: float(f"{row.variance / norm**2:.4g}")
        for row in result.rows
        if row.variance is not None
    }


def times(problem: str, batch: int, repeats: int) -> Row:
    """Milliseconds of one estimate, by estimator and noise."""
    with seeded(0):
        instance = PROBLEMS[problem]()
    images = instance.images[:batch]
    logits, cost = instance.logits(images), instance.cost_fn(images)
    calls = {}
    for label, estimator in contenders(instance).items():
        learned = [*instance.decoder.trainable_variables]
        learned += estimator.trainable_variables
        estimate = partial(estimator, cost, context=images)
        calls[label] = gradients(estimate, logits, [w.value for w in learned])
    return compare(calls, repeats)


def table(report: Row) -> str:
    """The ratios of tied to independent noise, as text."""
    lines = ["problem, estimator: variance ratio by seed; time ratio"]
    for problem, label in itertools.product(PROBLEMS, ESTIMATORS):
        names = [f"{label}/{noise}" for noise in NOISE]
        found = report["variances"].get(problem, {})
        ratios = [row[names[0]] / row[names[1]] for row in found.values()]
        text = " ".join(f"{ratio:.3f}" for ratio in ratios)
        if ratios:
            text += f", mean {statistics.mean(ratios):.3f}"
        for batch, time in report["times"].get(problem, {}).items():
            tied, apart = (time[name]["median_ms"] for name in names)
            text += f"; at batch {batch}: {tied / apart:.2f}"
        lines.append(f"{problem}, {label}: {text}")
    return "\n".join(lines)


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("tied_noise", __doc__)
    parser.add_choices(problems=PROBLEMS)
    parser.add_defaults(seeds=[0, 1, 2], draws=4000)
    parser.add_defaults(batches=[100, 1000], repeats=200)
    options = _runner.parse(parser, arguments)
    report = _runner.read(options.out, {"variances": {}, "times": {}})
    report |= {"environment": environment(PACKAGES), "draws": options.draws}
    for problem in options.problems:
        report["times"][problem] = {
            str(batch): times(problem, batch, options.repeats)
            for batch in options.batches
        }
        rows = report["variances"].setdefault(problem, {})
        for seed in options.seeds:
            if f"seed {seed}" not in rows:
                found = variances(problem, seed, options.draws)
                rows[f"seed {seed}"] = found
            _runner.write(options.out, report)
            keras.backend.clear_session()
    print(table(report), flush=True)
    return report


if __name__ == "__main__":
    main()
