"""ReinMax, the second-order straight-through estimator."""

from __future__ import annotations

from typing import ClassVar

from tfgumbel.estimators._relaxation import StraightThrough
from tfgumbel.estimators.estimator import register


@register("reinmax")
class ReinMax(StraightThrough):
    """ReinMax: 2 J(π_D) f'(D) - ½ J(π) f'(D) at an exact sample D.

    π_D is the mean of softmax(logits / τ) and D, π the probabilities. At τ = 1
    exact in expectation for quadratic f, otherwise **biased**; f must be
    differentiable. The value is f(D). One evaluation of f per sample.
    `ops.reinmax` has the details.

    Args:
        distribution: `"categorical"`, `"bernoulli"` (as two categories), or
            another one of categories.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0 of the backward pass; assign to it to anneal it.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.ReinMax("bernoulli")
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Liu, Dong, Liu, Yu, Gao. Bridging discrete and backpropagation:
        straight-through and beyond. NeurIPS 2023.
    """

    surrogate: ClassVar[str] = "reinmax"
