"""The importance-weighted bound, doubly reparameterised."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters, Reparameterized
from tfgumbel.estimators._multi_sample import MultiSampleBound
from tfgumbel.estimators.algebra import (
    NOTHING_BY_ITSELF,
    attach,
    log_mean_exp,
    repeat,
)
from tfgumbel.estimators.estimator import CostFn, register


@register("dreg")
class DReG(MultiSampleBound):
    """The importance-weighted bound, doubly reparameterised.

    The objective of `IWAE`, with f = -log p(x, z). In the gradient in the
    parameters φ of q, the score of log q is reparameterised once more:

        -Σ_s w̃_s² ∂log w_s/∂z_s · ∂z_s/∂φ.

    Unbiased, with a signal-to-noise ratio that does not fall with S, and
    without variance where q is the posterior. Everything else gets the
    gradient of the bound, at the weights w̃. f must be differentiable in z. S
    evaluations of f, in one batch; it is differentiated twice, in z for φ and
    in its own variables.

    Args:
        distribution: A reparameterised one, such as `"gaussian"`, that of q.
        samples: S.
        add_log_prob: Always `True`: log q is added here, since its score is
            left out.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution is not reparameterised, or at the call
            if the cost has no gradient in z.

    Example:

    >>> import math
    >>> import tensorflow as tf, tfgumbel as tg
    >>> dreg = tg.estimators.DReG("gaussian", samples=5)
    >>> mean, log_variance = tf.zeros([1, 1]), tf.fill([1, 1], math.log(0.5))
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(mean)  # q is the posterior of z, given z + noise = 0
    ...     value = dreg(
    ...         lambda z: tf.reduce_sum(z**2, 1), (mean, log_variance), [1, 2])
    >>> abs(float(tape.gradient(value, mean)[0, 0])) < 1e-6
    True

    Reference:
        Tucker, Lawson, Gu, Maddison. Doubly reparameterized gradient estimators
        for Monte Carlo objectives. ICLR 2019.
    """

    needs: ClassVar = (Reparameterized,)
    needs_gradient: ClassVar[bool] = True
    drops_score: ClassVar[bool] = True

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns -L̂, the negative bound."""
        distribution = self.distribution
        assert isinstance(distribution, Reparameterized)
        fixed = tuple(map(tf.stop_gradient, parameters))
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(fixed)
            path = distribution.reparameterize(
                repeat(fixed, self.samples), seed
            )
        log_weight, slope = self._weigh(cost_fn, fixed, path)
        share = tf.nn.softmax(log_weight, axis=0)
        square = tf.reshape(
            tf.square(share), [-1] + [1] * (slope.shape.rank - 1)
        )
        gradients = tape.gradient(
            path,
            fixed,
            # A sample that weighs nothing says nothing, whatever its slope.
            output_gradients=tf.math.multiply_no_nan(-slope, square),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return attach(-log_mean_exp(log_weight), parameters, gradients)

    def _weigh(
        self, cost_fn: CostFn, parameters: Parameters, path: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """log w, `[S, B]`, and ∂log w/∂z of every row, `[S·B, ...]`."""
        sample = tf.stop_gradient(path)
        cost, slope = self.evaluate_with_slope(cost_fn, sample)
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(sample)
            log_weight = self.log_weight(
                cost, repeat(parameters, self.samples), sample
            )
        zero = tf.UnconnectedGradients.ZERO
        of_q = tape.gradient(log_weight, sample, unconnected_gradients=zero)
        return log_weight, of_q - slope
