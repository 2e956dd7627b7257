"""The straight-through estimator."""

from __future__ import annotations

from typing import ClassVar

from tfgumbel.estimators._relaxation import StraightThrough
from tfgumbel.estimators.estimator import register


@register("st")
class ST(StraightThrough):
    """Straight-through: J(softmax(logits / τ)) f'(z) / τ at an exact sample.

    The backward pass takes the sample for its probabilities. **Biased** unless
    f is linear (at τ = 1); f must be differentiable. The value is f at the
    exact sample. One evaluation of f per sample.

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
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = tg.estimators.ST("bernoulli")(
    ...         lambda z: 4.0 * z[:, 0], logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """

    surrogate: ClassVar[str] = "st"
