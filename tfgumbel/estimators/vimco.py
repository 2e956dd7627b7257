"""The multi-sample bound and its leave-one-out gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters
from tfgumbel.estimators._multi_sample import MultiSampleBound
from tfgumbel.estimators.algebra import (
    attach,
    log_mean_exp,
    repeat,
    score,
    weigh,
)
from tfgumbel.estimators.estimator import CostFn, register


@register("vimco")
class VIMCO(MultiSampleBound):
    """The importance-weighted bound, through the probability.

    **This changes what is minimised**: f is read as -log p(x, z), in nats, and
    the value is not its mean but the negative bound

        -L̂ = -log 1/S Σ_s w_s,  w_s = exp(-f(z_s)) / q(z_s).

    The gradient in the parameters of q

        -Σ_s (L̂ - L̂_{-s}) ∇log q(z_s) + Σ_s w̃_s ∇log q(z_s)

    uses for L̂_{-s} the bound with w_s replaced by the geometric mean of the
    others; w̃ are the normalised weights. It is an unbiased estimate for that
    bound. What f depends on directly gets its gradient through the value, at
    the normalised weights. f may be anything. S evaluations of f, in one
    batch. `IWAE` has the same objective for differentiable f and samples.

    Args:
        distribution: Any distribution, that of q.
        samples: S, at least 2.
        add_log_prob: Whether to divide the weights by q. `False` for an f that
            is -log w already, or where q is no proposal but part of the model:
            then w = exp(-f), and the gradient is without its second term.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> vimco = tg.estimators.VIMCO("bernoulli", samples=4)
    >>> value = vimco(lambda z: 0.0 * z[:, 0] + 2.0, tf.zeros([1, 2]), [1, 2])
    >>> round(float(value[0]), 4)  # 2 - 2 log 2
    0.6137

    Reference:
        Mnih, Rezende. Variational inference for Monte Carlo objectives. ICML
        2016.
    """

    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        *,
        add_log_prob: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            distribution, samples, add_log_prob=add_log_prob, **kwargs
        )

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns -L̂, the negative bound."""
        repeated = repeat(parameters, self.samples)
        sample = self.draw(repeated, seed)
        cost = self.evaluate(cost_fn, sample)
        log_weight = self.log_weight(cost, repeated, sample)
        bound = log_mean_exp(log_weight)
        signal = bound - self._without(log_weight)
        scores = score(self.distribution, repeated, sample)
        return attach(-bound, parameters, weigh(-signal, scores))

    def _without(self, log_weight: tf.Tensor) -> tf.Tensor:
        # Row s of the last axis pair: all log w, with the s-th replaced by the
        # mean of the others.
        own = tf.eye(self.samples)[:, :, None] > 0
        log_weight = log_weight[None]
        others = tf.where(own, tf.zeros_like(log_weight), log_weight)
        mean = tf.reduce_sum(others, axis=1, keepdims=True)
        mean /= self.samples - 1
        bound = log_mean_exp(tf.where(own, mean, log_weight), axis=1)
        # Where all others cost infinitely much they say nothing.
        return tf.where(tf.math.is_finite(bound), bound, tf.zeros_like(bound))
