"""ZGR, the zero-temperature limit of Gumbel-Rao."""

from __future__ import annotations

from typing import ClassVar

from tfgumbel.estimators._relaxation import WithoutTemperature
from tfgumbel.estimators.estimator import register


@register("zgr")
class ZGR(WithoutTemperature):
    """ZGR: ½ [J(π) f'(D) + (f'(D)ᵀ(D - π)) (D - π)] at an exact sample D.

    Exact in expectation for quadratic f, otherwise **biased**; f must be
    differentiable. There is no temperature. The value is f(D). One
    evaluation of f per sample.
    `ops.zgr` has the details.

    Args:
        distribution: `"categorical"`, `"bernoulli"` (as two categories), or
            another one of categories.
        samples: S, samples per example; the estimate is their mean.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.ZGR("bernoulli")
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Shekhovtsov. Cold analysis of Rao-Blackwellized straight-through
        Gumbel-softmax gradient estimator. ICML 2023.
    """

    surrogate: ClassVar[str] = "zgr"
