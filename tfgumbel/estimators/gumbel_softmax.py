"""The Gumbel-softmax (Concrete) relaxation as an estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.relaxation import Relaxation


@register("gumbel_softmax")
class GumbelSoftmax(Relaxation):
    """∇f(y) at the relaxed sample y = softmax((logits + G) / τ).

    For bits, y = sigmoid((logits + L) / τ). **Biased**: it is the unbiased
    gradient of E f(y), not of E f(z), and the value is f(y). The bias falls
    with τ while the variance grows. f must be differentiable, and defined
    between the corners. One evaluation of f per sample.

    Args:
        distribution: `"categorical"` or `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0. Kept as a weight that is not trained.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.GumbelSoftmax("bernoulli", temperature=0.5)
    >>> cost = estimator(lambda y: y[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> bool(0 < cost[0] < 1)
    True

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        Maddison, Mnih, Teh. The Concrete distribution. Both ICLR 2017.
    """

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns relaxed samples."""
        noise = self.law.noise(logits, seed)
        tau = tf.convert_to_tensor(self.temperature)
        return self.law.relax(logits, noise, tau, hard=False)
