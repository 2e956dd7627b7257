"""The zero-temperature limit of Gumbel-Rao."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import softmax
from tfgumbel.ops import _index_gradients
from tfgumbel.ops._surrogate import (
    softmax_jacobian,
    surrogate,
    with_gradient,
)


@surrogate("zgr", temperature=False, index_gradient=_index_gradients.zgr)
def zgr(logits: Any, sample: Any, *, axis: int = -1) -> tf.Tensor:
    """A one-hot sample D with the ZGR gradient.

    Forward `sample`; backward, for an incoming gradient g,

        ½ [J(π) g + (gᵀ(D - π)) (D - π)],   π = softmax(logits),

    the mean of straight-through and of the score-function estimate of f's
    linear part at D. It is what Gumbel-Rao tends to as τ → 0 and has no
    temperature. Exact in expectation for quadratic f, otherwise biased. f
    must be differentiable.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the axis is out of range or K < 2.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.constant([0.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     z = tg.ops.zgr(logits, [0.0, 1.0])
    >>> tape.gradient(z, logits, tf.constant([0.0, 1.0])).numpy()
    array([-0.25,  0.25], dtype=float32)

    Reference:
        Shekhovtsov. Cold analysis of Rao-Blackwellized straight-through
        Gumbel-softmax gradient estimator. ICML 2023.
    """
    logits = _checks.categorical_logits(logits, axis)

    def gradient(logits, sample, upstream):
        probabilities = softmax(logits, -1)
        score = sample - probabilities
        linear = tf.reduce_sum(upstream * score, axis=-1, keepdims=True)
        straight = softmax_jacobian(probabilities, upstream)
        return 0.5 * (straight + linear * score)

    return with_gradient(logits, sample, axis, gradient)
