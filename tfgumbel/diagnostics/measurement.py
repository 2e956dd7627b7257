"""One estimator, measured."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import estimates
from tfgumbel.diagnostics.comparison import DETECTED, Row
from tfgumbel.diagnostics.estimates import Advance, Draws
from tfgumbel.diagnostics.moments import Moments
from tfgumbel.distributions import Distribution, Enumerable
from tfgumbel.estimators import CostFn, Estimator, Exact

_LEARNING_ROWS = 100
"""Draws per step when control variates are trained."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all estimators of a comparison have in common.

    `exact` is the gradient of every example, flat, or `None`; the rest is as
    in `compare`.
    """

    cost_fn: CostFn
    logits: tf.Tensor
    context: Any
    exact: np.ndarray | None
    draws: int
    train_steps: int
    learning_rate: float
    seed: int

    @property
    def batch(self) -> int:
        """B."""
        return int(self.logits.shape[0])

    def draws_of(self, estimator: Estimator, repeats: int) -> Draws:
        """A function that draws `repeats` estimates at once."""
        return Draws(
            estimator, self.cost_fn, self.logits, self.context, repeats
        )


def measure(
    name: str, estimator: Estimator, setup: Setup, advance: Advance
) -> Row:
    """Trains the control variate, draws, and gives the weights back."""
    if not estimator.built:
        shape = None if setup.context is None else setup.context.shape
        with estimates.seeded(setup.seed):
            estimator.build(*_shapes(estimator, setup.logits, shape))
    # All estimates of `exact` are alike.
    draws = min(setup.draws, 50) if estimator.exact else setup.draws
    with estimates.unchanged(estimator.variables):
        estimates.learn(
            setup.draws_of(estimator, max(1, _LEARNING_ROWS // setup.batch)),
            *(setup.train_steps, setup.learning_rate, setup.seed + 1),
            advance,
        )
        repeats = estimates.repeats_for(estimator, setup.logits, draws)
        moments, seconds = estimates.collect(
            setup.draws_of(estimator, repeats), draws, setup.seed, advance
        )
    if not math.isfinite(moments.variance):
        raise ValueError("some estimates are not finite")
    return _with_bias(
        _row(name, estimator, moments, seconds, setup), moments, setup
    )


def _shapes(estimator: Estimator, logits: Any, context: Any) -> Any:
    """What the estimator is built with."""
    if len(estimator.distribution.parameters) == 1:
        return logits.shape, context
    shape = logits.shape[:-1]
    count = logits.shape[-1]
    size = tf.TensorShape(shape[1:]).num_elements()
    flat = (shape[0], size * count)
    return (tuple(shape),) * count, flat if context is None else context


def _row(
    name: str,
    estimator: Estimator,
    moments: Moments,
    seconds: float,
    setup: Setup,
) -> Row:
    variance = moments.variance / setup.batch
    other = estimator.objective != "expected cost"
    return Row(
        name,
        unbiased=estimator.unbiased,
        comparable=not other,
        evaluations=estimator.evaluations,
        draws=moments.count,
        variance=variance,
        snr=moments.snr,
        milliseconds=1e3 * seconds,
        variance_time=1e3 * seconds * variance,
        note="its objective is a multi-sample bound, not E f" if other else "",
    )


def _with_bias(row: Row, moments: Moments, setup: Setup) -> Row:
    if setup.exact is None or not row.comparable:
        return row
    assert row.variance is not None
    difference = float(np.linalg.norm(moments.mean - setup.exact))
    noise = math.sqrt(moments.variance / moments.count)
    # Estimates that hardly vary differ from the sum over states by rounding.
    rounding = 1e-5 * float(np.linalg.norm(setup.exact)) + 1e-8
    root = math.sqrt(setup.batch)
    return dataclasses.replace(
        row,
        bias=difference / root,
        bias_se=noise / root,
        bias_detected=difference > DETECTED * noise + rounding,
        mse=moments.squared_norm(setup.exact) / setup.batch + row.variance,
    )


def exact_gradient(
    cost_fn: CostFn,
    logits: tf.Tensor,
    context: Any,
    distribution: Distribution,
    limit: int,
) -> np.ndarray | None:
    """∇E f by enumeration, flat; `None` past the limit of joint states."""
    if not isinstance(distribution, Enumerable):
        return None
    exact = Exact(distribution, limit=limit, chunk_size=256)
    if distribution.count(logits.shape) > exact.limit:
        return None
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = exact(cost_fn, logits, [0, 0], context)
    gradient = tape.gradient(
        cost, logits, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return gradient.numpy().astype(np.float64).ravel()
