"""The multi-sample bound and its leave-one-out gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters
from tfgumbel.estimators.algebra import attach, fold, repeat, score, weigh
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("vimco")
class VIMCO(Estimator):
    """The multi-sample bound -E log 1/S Σ_s w_s, with cost = -log w.

    **This changes what is minimised**: the cost is read as -log w(z) (a
    negative ELBO term log q(z) - log p(x, z), in nats), and the value is
    -L̂ = -log 1/S Σ_s exp(-cost_s), not the mean cost. The gradient

        -Σ_s (L̂ - L̂_{-s}) ∇log q(z_s)

    uses for L̂_{-s} the bound with w_s replaced by the geometric mean of the
    others. It is an unbiased estimate for that bound. What w depends on
    directly, the logits included where the cost holds log q, gets its gradient
    through the value, at the normalised weights. f may be anything. S
    evaluations of f, in one batch.

    Args:
        distribution: Any distribution.
        samples: S, at least 2.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> vimco = tg.estimators.VIMCO("bernoulli", samples=4)
    >>> vimco(lambda z: 0.0 * z[:, 0] + 2.0, tf.zeros([1, 2]), [1, 2]).numpy()
    array([2.], dtype=float32)

    Reference:
        Mnih, Rezende. Variational inference for Monte Carlo objectives. ICML
        2016.
    """

    least_samples: ClassVar[int] = 2
    objective: ClassVar[str] = "multi-sample bound"

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns -L̂, the negative multi-sample bound."""
        repeated = repeat(parameters, self.samples)
        sample = self.draw(repeated, seed)
        cost = fold(self.evaluate(cost_fn, sample), self.samples)
        bound = _log_mean_exp(-cost)
        signal = bound - self._without(-cost)
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
        bound = _log_mean_exp(tf.where(own, mean, log_weight), axis=1)
        # Where all others cost infinitely much they say nothing.
        return tf.where(tf.math.is_finite(bound), bound, tf.zeros_like(bound))


def _log_mean_exp(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """log of the mean of exp(values) on an axis."""
    count = tf.cast(tf.shape(values)[axis], values.dtype)
    return tf.reduce_logsumexp(values, axis=axis) - tf.math.log(count)
