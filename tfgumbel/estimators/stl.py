"""The importance-weighted bound without the score of q."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters
from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.iwae import IWAE


@register("stl")
class STL(IWAE):
    """The importance-weighted bound without the score: "sticking the landing".

    The objective of `IWAE`, with f = -log p(x, z). Of its gradient in the
    parameters φ of q, the term Σ_s w̃_s ∂log q(z_s)/∂φ is left out:

        -Σ_s w̃_s ∂log w_s/∂z_s · ∂z_s/∂φ.

    For S = 1 the term has mean zero, so that the estimate is unbiased, and
    where q is the posterior its variance is zero, as w then is constant. For
    S > 1 it is biased; `DReG` is not. Everything else gets the gradient of
    the bound. A second derivative leaves the score out, too, and is biased.
    f must be differentiable in z. S evaluations of f, in one batch.

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
    >>> stl = tg.estimators.STL("gaussian", samples=1)
    >>> mean, log_variance = tf.zeros([1, 1]), tf.fill([1, 1], math.log(0.5))
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(mean)  # q is the posterior of z, given z + noise = 0
    ...     value = stl(
    ...         lambda z: tf.reduce_sum(z**2, 1), (mean, log_variance), [1, 2])
    >>> abs(float(tape.gradient(value, mean)[0, 0])) < 1e-6
    True

    Reference:
        Roeder, Wu, Duvenaud. Sticking the landing: simple, lower-variance
        gradient estimators for variational inference. NeurIPS 2017.
    """

    unbiased: ClassVar[bool] = False
    drops_score: ClassVar[bool] = True

    def _scored(self, parameters: Parameters) -> Parameters:
        return tuple(map(tf.stop_gradient, parameters))
