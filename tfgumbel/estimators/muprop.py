"""REINFORCE with a first-order expansion of f as control variate."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Mean, Parameters, per_example
from tfgumbel.estimators.algebra import (
    NOTHING_BY_ITSELF,
    attach,
    fold,
    mean_of_samples,
    repeat,
    score,
    weigh,
)
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("muprop")
class MuProp(Estimator):
    """MuProp: [f(z) - h(z)] ∇log q(z) + f'(z₀)ᵀ ∇z₀.

    z₀ = E z is the mean-field point and h(z) = f(z₀) + f'(z₀)ᵀ(z - z₀) the
    expansion of f there. Unbiased; f must be differentiable. Without variance
    where f is linear. S + 1 evaluations of f, one of them with its gradient.

    Args:
        distribution: One with a mean, such as `"categorical"`.
        samples: S, samples per example; the estimate is their mean.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> muprop = tg.estimators.MuProp("bernoulli")
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

    needs: ClassVar = (Mean,)
    needs_gradient: ClassVar[bool] = True

    @property
    def evaluations(self) -> int:
        """The samples and the mean-field point."""
        return self.samples + 1

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        repeated = repeat(parameters, self.samples)
        sample = self.draw(repeated, seed)
        cost = self.evaluate(cost_fn, sample)
        mean, slope, at_mean, path = self._expansion(cost_fn, parameters)
        step = sample - repeat(mean, self.samples)
        linear = per_example(repeat(slope, self.samples) * step)
        residual = fold(cost - linear, self.samples) - at_mean
        scores = score(self.distribution, repeated, sample)
        noisy = weigh(residual / self.samples, scores)
        gradients = [a + b for a, b in zip(noisy, path, strict=True)]
        value = mean_of_samples(cost, self.samples)
        return attach(value, parameters, gradients)

    def _expansion(
        self, cost_fn: CostFn, parameters: Parameters
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """z₀, f'(z₀), f(z₀), and f'(z₀)ᵀ ∇z₀ in each parameter."""
        distribution = self.distribution
        assert isinstance(distribution, Mean)
        parameters = tuple(map(tf.stop_gradient, parameters))
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(parameters)
            differentiable = distribution.mean(parameters)
        mean = tf.stop_gradient(differentiable)
        at_mean, slope = self.evaluate_with_slope(cost_fn, mean)
        path = tape.gradient(
            differentiable,
            parameters,
            output_gradients=slope,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return mean, slope, at_mean, path
