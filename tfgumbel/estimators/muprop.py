"""REINFORCE with a first-order expansion of f as control variate."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.estimators.distribution import per_example
from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    attach,
    register,
    repeat,
)
from tfgumbel.estimators.rloo import weigh


@register("muprop")
class Muprop(Estimator):
    """MuProp: [f(z) - h(z)] ∇log q(z) + f'(z₀)ᵀ ∇z₀.

    z₀ = E z is the mean-field point and h(z) = f(z₀) + f'(z₀)ᵀ(z - z₀) the
    expansion of f there. Unbiased; f must be differentiable. Without variance
    where f is linear. S + 1 evaluations of f, one of them with its gradient.

    Args:
        distribution: `"categorical"` or `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> muprop = tg.estimators.Muprop("bernoulli")
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = muprop(lambda z: 4.0 * z[:, 0], logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Gu, Levine, Sutskever, Mnih. MuProp: unbiased backpropagation for
        stochastic neural networks. ICLR 2016.
    """

    needs_gradient: ClassVar[bool] = True

    @property
    def evaluations(self) -> int:
        """The samples and the mean-field point."""
        return self.samples + 1

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        repeated = repeat(logits, self.samples)
        sample = self.draw(repeated, seed)
        cost = self.evaluate(cost_fn, sample)
        mean = tf.stop_gradient(self.law.mean(logits))
        with tf.GradientTape() as tape:
            tape.watch(mean)
            at_mean = self.evaluate(cost_fn, mean)
        slope = self.require_gradient(tape.gradient(at_mean, mean))

        step = sample - repeat(mean, self.samples)
        linear = per_example(repeat(slope, self.samples) * step)
        residual = self.fold(cost - linear, self.samples) - at_mean
        score = self.fold(self.score(repeated, sample), self.samples)
        gradient = weigh(residual, score) / self.samples
        gradient += self.law.mean_gradient(mean, slope)
        value = tf.reduce_mean(self.fold(cost, self.samples), axis=0)
        return attach(value, logits, gradient)
