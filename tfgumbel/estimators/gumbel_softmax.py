"""The Gumbel-softmax (Concrete) relaxation as an estimator."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters, Relaxed
from tfgumbel.estimators._relaxation import Relaxation
from tfgumbel.estimators.estimator import register


@register("gumbel_softmax")
class GumbelSoftmax(Relaxation):
    """∇f(y) at the relaxed sample y = softmax((logits + G) / τ).

    For Bernoulli variables, y = sigmoid((logits + L) / τ). **Biased**: it is
    the unbiased gradient of E f(y), not of E f(z), and the value is f(y). The
    bias falls with τ while the variance grows. f must be differentiable, and
    defined between the corners. One evaluation of f per sample.

    Args:
        distribution: One with a relaxation: `"categorical"`, `"bernoulli"`,
            `"permutation"`.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0: a number or a schedule. Assign to it to anneal it.
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

    needs: ClassVar = (Relaxed,)

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns relaxed samples."""
        distribution = self.distribution
        assert isinstance(distribution, Relaxed)
        noise = distribution.noise(parameters, seed)
        tau = self._temperature(training=True)
        return distribution.relax(parameters, noise, temperature=tau)
