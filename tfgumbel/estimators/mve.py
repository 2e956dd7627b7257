"""The minimum-variance second-order straight-through estimator."""

from __future__ import annotations

from typing import ClassVar

from tfgumbel.estimators._relaxation import StraightThrough
from tfgumbel.estimators.estimator import register


@register("mve")
class MVE(StraightThrough):
    """Minimum-variance straight-through: S_Dᵀ f'(D) at an exact sample D.

    Exact in expectation for linear f, and as τ → ∞ for quadratic f, with the
    least variance; otherwise **biased**. τ is no softmax temperature here.
    One K × K solve per variable; f must be differentiable. The value is f(D).
    One evaluation of f per sample.
    `ops.minimum_variance_straight_through` has the details.

    Args:
        distribution: `"categorical"`, `"bernoulli"` (as two categories), or
            another one of categories.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0 of the backward pass; assign to it to anneal it.
            Large values lower the bias; see the op.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.MVE("bernoulli")
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Hooper, Shekhovtsov. Generalized and optimal straight-through
        estimators. 2026.
    """

    surrogate: ClassVar[str] = "mve"
