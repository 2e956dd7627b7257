"""Checks of an estimator's value and gradients against the exact ones."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfgumbel import estimators
from tfgumbel.testing import _measure
from tfgumbel.testing._problem import EXAMPLES, Problem, linear, quadratic, step
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    check,
    in_errors,
    shortened,
)

POWER = 0.15
"""The bias, relative to the largest entry, that a check must be able to see."""


def _distance(found: np.ndarray, exact: np.ndarray) -> float:
    """Of the means of one example, in standard errors, if they are small."""
    error = found.std(axis=0) / np.sqrt(len(found))
    largest = np.max(np.abs(exact.mean(axis=0)))
    hidden = _measure.STANDARD_ERRORS * np.max(error)
    if hidden > POWER * largest:
        raise NotApplicable(
            f"its variance hides a bias of {hidden / largest:.0%}: take "
            "full=True, or other inputs"
        )
    if len(exact) == 1:
        return _measure.from_mean(found, exact[0])
    return _measure.between_means(found, exact)


def _unbiased(problem: Problem, estimator: object, part: str) -> Finding:
    """One part of the estimates, against the exact one, of each example."""
    found, exact = problem.estimates(estimator, problem.many), problem.exact
    figures = [
        _distance(getattr(found.of(i), part), getattr(exact.of(i), part))
        for i in range(EXAMPLES)
    ]
    return in_errors(
        figures, f"two examples, of which each shows a bias of {POWER:.0%}"
    )


@check(
    "gradient",
    "The gradient is that of the objective, without bias",
    "compare with the formula by hand at one variable: a baseline may not "
    "depend on its own sample, signs and factors of 1/S, and rows "
    "(row s·B + i is sample s of example i)",
)
def gradient(problem: Problem) -> Finding:
    if not problem.estimator.unbiased:
        return _direction(problem)
    return _unbiased(problem, problem.make(), "parameters")


def _direction(problem: Problem) -> Finding:
    """A biased gradient points the right way, for a linear cost."""
    if problem.estimator.objective != "expected cost":
        raise NotApplicable("it says that it is biased, for another objective")
    found = problem.estimates(problem.make(), problem.many, cost=linear)
    exact = problem.exact_of(linear)
    cosines = []
    for example in range(EXAMPLES):
        pair = [e.of(example).parameters.mean(axis=0) for e in (found, exact)]
        lengths = [np.linalg.norm(g) for g in pair]
        if not lengths[0]:
            raise Fault("it is zero")
        cosines.append(pair[0] @ pair[1] / np.prod(lengths))
    return Finding(
        "it says that it is biased; 1 - cosine of the mean with the exact "
        "gradient",
        float(1.0 - min(cosines)),
        0.5,
    )


def _is_relaxed(problem: Problem) -> bool:
    """Whether the value may be that of samples that are not exact."""
    estimator = problem.estimator
    biased = not estimator.unbiased and estimator.needs_gradient
    return biased and estimator.objective == "expected cost"


@check(
    "baseline",
    "No baseline of an example contains the cost of its own sample",
    "take the baseline from the other samples, or the other examples, and "
    "update a moving one after it was used",
)
def baseline(problem: Problem) -> Finding:
    estimator = problem.estimator
    if estimator.needs_gradient or not estimator.unbiased or estimator.exact:
        raise NotApplicable("it is no unbiased score function")
    one = {"samples": 1} if estimator.least_samples == 1 else {}
    if estimator.objective != "expected cost":
        raise NotApplicable("its objective is another")
    if problem.make(**one).evaluations > 1:
        raise NotApplicable("it evaluates the cost several times")
    # g = (f - b) ∇log q: where one example's f is larger by 1, g is by ∇log q.
    first = tf.one_hot(0, 2 * EXAMPLES)
    drawn: list[tf.Tensor] = []

    def larger(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        drawn.append(z)
        return quadratic(z, w) + first

    pair = [
        problem.estimates(problem.make(**one), 2, seed=[1, 2], cost=cost)
        for cost in (quadratic, larger)
    ]
    found = pair[1].parameters[0] - pair[0].parameters[0]
    return Finding(
        "relative difference from the score, where one cost is larger by one",
        _measure.relative(found, problem.scores(drawn[0], 2)[0]),
        1e-3,
    )


@check(
    "several samples",
    "With more samples the estimate is their mean",
    "divide the sum over an example's samples by their number",
)
def several_samples(problem: Problem) -> Finding:
    if (
        problem.estimator.exact
        or problem.estimator.objective != "expected cost"
    ):
        raise NotApplicable("its objective is another with more samples")
    samples = problem.estimator.samples + 2
    estimator = problem.make(samples=samples)
    if not estimator.unbiased:
        one = problem.estimates(problem.make(), problem.many)
        more = problem.estimates(estimator, problem.many)
        figures = [
            _measure.between_means(one.of(i).parameters, more.of(i).parameters)
            for i in range(EXAMPLES)
        ]
        return in_errors(figures)
    return _unbiased(problem, estimator, "parameters")


@check(
    "value",
    "The value is an estimate of the objective",
    "return the cost, not the surrogate: `algebra.attach` keeps the value",
)
def value(problem: Problem) -> Finding:
    if _is_relaxed(problem):
        samples = problem.estimates(problem.make(), 64).value
        if not np.all(np.isfinite(samples)):
            raise Fault("it is not finite")
        raise NotApplicable("it is that of a relaxed sample")
    return _unbiased(problem, problem.make(), "value")


@check(
    "cost's own weights",
    "The weights of the cost get their exact gradient",
    "leave the value its own gradient, and keep control variates and "
    "baselines out of it (`tf.stop_gradient`, `algebra.attach_weights`)",
)
def weights_of_the_cost(problem: Problem) -> Finding:
    if _is_relaxed(problem):
        raise NotApplicable("the cost is that of a relaxed sample")
    return _unbiased(problem, problem.make(), "weights")


@check(
    "incoming gradient",
    "The incoming gradient scales each example's estimate",
    "multiply by what comes in (`algebra.attach` does): it carries 1/B, "
    "sample weights, masks and the loss scale",
)
def incoming_gradient(problem: Problem) -> Finding:
    upstream = tf.constant([0.5, -2.0, 0.0, 1.0])
    plain = problem.estimates(problem.make(), 2, seed=[1, 2])
    scaled = problem.estimates(
        problem.make(), 2, seed=[1, 2], upstream=upstream
    )
    differs = [
        np.max(np.abs(one * upstream[:, None] - other))
        / (np.max(np.abs(one)) + 1e-6)
        for one, other in zip(plain[1:], scaled[1:], strict=True)
    ]
    return Finding("relative difference", float(max(differs)), 1e-4)


@check(
    "cost without gradient",
    "A cost without a gradient is served, or refused by name",
    "say `needs_gradient = True`, and ask `require_gradient` for it",
)
def cost_without_gradient(problem: Problem) -> Finding:
    try:
        found = problem.estimates(problem.make(), 4, cost=step)
    except ValueError as error:
        if "gradient" not in str(error):
            raise
        return Finding(f"refused: {shortened(error, 60)}")
    if problem.estimator.needs_gradient and not np.any(found.parameters):
        raise Fault("it needs a gradient, and gave zero without a word")
    if not np.all(np.isfinite(found.parameters)):
        raise Fault("the estimate is not finite")
    return Finding("served")


@check(
    "NaN",
    "A cost that is NaN stays with its example",
    "leave costs that are not finite out of running means, and out of what "
    "examples share",
)
def nan(problem: Problem) -> Finding:
    bad = np.arange(8) == 2
    rows = tf.constant(np.where(bad, np.nan, 0.0), tf.float32)

    def cost(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return quadratic(z, w) + estimators.tile_context(rows, z)

    estimator = problem.make()
    found = problem.estimates(estimator, 4, cost=cost)
    if np.all(np.isfinite(found.value[bad])):
        raise Fault("the value of the example itself is finite")
    spoilt = np.sum(~np.isfinite(found.parameters[~bad]).all(axis=1))
    for variable in estimator.variables:
        if not np.all(np.isfinite(variable)):
            raise Fault(f"it is in {variable.path} for ever")
    return Finding("other examples of 7 that it reached", float(spoilt))


CHECKS = (
    gradient,
    baseline,
    several_samples,
    value,
    weights_of_the_cost,
    incoming_gradient,
    cost_without_gradient,
    nan,
)
