"""The gapped straight-through estimator."""

from __future__ import annotations

from typing import ClassVar

from tfgumbel.estimators._relaxation import StraightThrough
from tfgumbel.estimators.estimator import register


@register("gapped")
class Gapped(StraightThrough):
    """Gapped straight-through: J(y) f'(D) / τ at an exact sample D.

    y = softmax of the logits over τ, moved until D leads by 1. **Biased**; f
    must be differentiable. The value is f(D). One evaluation of f per sample.
    `ops.gapped_straight_through` has the details.

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
    >>> estimator = tg.estimators.Gapped("bernoulli")
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Fan, Chi, Rudnicky, Ramadge. Training discrete deep generative models
        via gapped straight-through estimator. ICML 2022.
    """

    surrogate: ClassVar[str] = "gapped"
