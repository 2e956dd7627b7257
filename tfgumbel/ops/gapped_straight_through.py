"""The gapped straight-through estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import softmax_at, working_dtype
from tfgumbel.ops import _index_gradients
from tfgumbel.ops._surrogate import (
    softmax_jacobian,
    surrogate,
    with_gradient,
)


@surrogate("gapped", index_gradient=_index_gradients.gapped)
def gapped_straight_through(
    logits: Any,
    sample: Any,
    *,
    temperature: Any = 1.0,
    gap: float = 1.0,
    axis: int = -1,
) -> tf.Tensor:
    """A one-hot sample D with the gapped straight-through gradient.

    Forward `sample`; backward J(y) g / τ with y = softmax(θ̃ / τ). θ̃ are the
    logits θ moved, without randomness, until D leads by the gap: θ_D is raised
    to max θ, and every other logit above max θ - gap is lowered to it. The
    moves receive no gradient. Biased; less variance than straight-through
    Gumbel, whose noise does the same at random. f must be differentiable.

    Args:
        logits: Unnormalised log-probabilities θ, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        temperature: τ > 0 of the backward pass.
        gap: By how much D leads, above 0.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If temperature or gap are not positive, the axis is out of
            range, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.gapped_straight_through([0.0, 5.0], [1.0, 0.0]).numpy()
    array([1., 0.], dtype=float32)

    Reference:
        Fan, Chi, Rudnicky, Ramadge. Training discrete deep generative models
        via gapped straight-through estimator. ICML 2022.
    """
    logits = _checks.categorical_logits(logits, axis)
    gap = _checks.positive_number("gap", gap)
    dtype = working_dtype(logits.dtype)
    tau = _checks.guarded_temperature(temperature, dtype)

    def gradient(logits, sample, upstream):
        top = tf.reduce_max(logits, axis=-1, keepdims=True)
        raised = sample * (top - logits)
        lowered = (1.0 - sample) * tf.nn.relu(logits + gap - top)
        moved = logits + tf.stop_gradient(raised - lowered)
        return softmax_jacobian(softmax_at(tau, moved, -1), upstream) / tau

    return with_gradient(logits, sample, axis, gradient)
