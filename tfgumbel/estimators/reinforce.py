"""The score-function estimator with a baseline."""

from __future__ import annotations

import numbers
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops
from tfgumbel.distributions import Parameters
from tfgumbel.estimators.algebra import (
    fold,
    mean_of_samples,
    repeat,
    score,
    squared_norm,
)
from tfgumbel.estimators.baseline import get_baseline
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("reinforce")
class Reinforce(Estimator):
    """(f(z) - b) ∇log q(z), the score-function estimator (REINFORCE).

    Unbiased for any baseline b that does not depend on z; f may be anything.
    One evaluation of f per sample.

    With `baseline="optimal"`, b is the constant of least variance,
    c = E[f |∇log q|²] / E|∇log q|², estimated from the *other* samples of the
    example (`samples` > 1), or from the other examples of the batch
    (`samples` = 1; zero for a batch of one), so that it stays independent of
    the cost it is subtracted from.

    Args:
        distribution: Any distribution.
        samples: S, samples per example; the estimate is their mean.
        baseline: `None`; a number; `"optimal"`; `"moving_average"`; `"nvil"`;
            or a Keras layer that maps the context `[B, ...]` to one value per
            example. The learned ones are trained by least squares in the same
            backward pass.
        **kwargs: As in `Estimator`.

    Raises:
        TypeError: If the baseline is none of these.
        ValueError: If its name is unknown.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> reinforce = tg.estimators.Reinforce("bernoulli", baseline=0.5)
    >>> logits = tf.zeros([2, 3])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = reinforce(lambda z: 1.5 - 0.0 * z[:, 0], logits, [1, 2])
    >>> abs(tape.gradient(cost, logits)).numpy()[0]
    array([0.5, 0.5, 0.5], dtype=float32)

    Reference:
        Williams. Simple statistical gradient-following algorithms for
        connectionist reinforcement learning. 1992. Greensmith, Bartlett,
        Baxter. Variance reduction techniques for gradient estimates in
        reinforcement learning. JMLR 2004.
    """

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        baseline: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        if isinstance(baseline, bool):
            get_baseline(baseline)  # Raises: True is no constant.
        if isinstance(baseline, numbers.Real):
            baseline = _checks.finite_number("baseline", baseline)
        self.constant = not isinstance(baseline, dict) and (
            baseline is None
            or baseline == "optimal"
            or isinstance(baseline, float)
        )
        self.baseline: Any = (
            baseline if self.constant else get_baseline(baseline)
        )
        self._identifier = baseline

    def build(self, parameters_shape: Any, context_shape: Any = None) -> None:
        """Builds the baseline for contexts of this shape."""
        if not self.constant and not self.baseline.built:
            self.baseline.build(
                parameters_shape if context_shape is None else context_shape
            )
        self.built = True

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost, with (f - b) ∇log q as its gradient."""
        parameters = repeat(parameters, self.samples)
        sample = self.draw(parameters, seed)
        cost = self.evaluate(cost_fn, sample)
        log_prob = self.distribution.log_prob(parameters, sample)
        if not self.constant:
            learned = repeat(self.baseline(context), self.samples)
            surrogate = self.baseline.attach(cost, log_prob, learned)
            return mean_of_samples(surrogate, self.samples)
        if self.baseline == "optimal":
            scores = score(self.distribution, parameters, sample)
            baseline = self._optimal(cost, squared_norm(scores))
        else:
            baseline = float(self.baseline or 0.0)
        surrogate = ops.score_function_cost(cost, log_prob, baseline=baseline)
        return mean_of_samples(surrogate, self.samples)

    def _optimal(self, cost: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        # A cost that is not finite spoils its own estimate, no other.
        finite = tf.math.is_finite(cost)
        weight = tf.where(finite, weight, tf.zeros_like(weight))
        cost = tf.where(finite, cost, tf.zeros_like(cost))
        axis = 1 if self.samples == 1 else 0
        cost, weight = (fold(x, self.samples) for x in (cost, weight))

        def others(x: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(x, axis=axis, keepdims=True) - x

        # Costs are centred first: what is left out is found by subtraction.
        middle = tf.reduce_mean(cost, axis=axis, keepdims=True)
        mass = others(weight)
        ratio = tf.math.divide_no_nan(others(weight * (cost - middle)), mass)
        # Where nobody else has any weight, `middle` is all it would be.
        known = mass > 1e-6 * weight
        constant = tf.where(known, middle + ratio, tf.zeros_like(ratio))
        return tf.stop_gradient(tf.reshape(constant, [-1]))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        baseline = self._identifier
        if isinstance(baseline, keras.layers.Layer):
            baseline = keras.saving.serialize_keras_object(baseline)
        return {**super().get_config(), "baseline": baseline}
