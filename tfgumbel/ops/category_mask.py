"""Masks of categories that may not be drawn."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import LOWEST, in_working_precision


def mask_logits(
    logits: Any, category_mask: Any, *, axis: int = -1, least: int = 1
) -> tf.Tensor:
    """Makes masked categories impossible: their logits become -1e30.

    Legal logits of less than -5e29, -inf among them, become -5e29.

    Args:
        logits: Logits, float tensor with the categories on `axis`.
        category_mask: Boolean tensor that broadcasts to `logits`; `True` for
            the legal categories. `None` leaves the logits as they are.
        axis: Axis of the categories.
        least: How many legal categories every row must have.

    Returns:
        Logits of the same shape, in float32 if they came in half precision
        (which cannot hold -1e30). Masked logits receive no gradient.

    Raises:
        TypeError: If the mask holds floating-point numbers.
        ValueError: If the mask does not broadcast, or, in eager mode, if a
            row has fewer than `least` legal categories.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.mask_logits([0.0, 1.0, 2.0], [True, True, False])[2] < -1e29
    <tf.Tensor: shape=(), dtype=bool, numpy=True>
    """
    logits = _checks.categorical_logits(logits, axis)
    if category_mask is None:
        return logits
    mask = _checks.category_mask(category_mask, logits, axis, least)
    logits = in_working_precision(logits)
    # A legal category beats a masked one, whatever its own logit is.
    lowest = tf.cast(LOWEST, logits.dtype)
    legal = tf.where(logits < 0.5 * lowest, 0.5 * lowest, logits)
    return tf.where(mask, legal, lowest)


def mask_sample(sample: Any, category_mask: Any) -> tf.Tensor:
    """Clears masked categories from a sample.

    A sample drawn from masked logits already is zero there, save in a row
    with no legal category at all: such a row becomes all zeros, with zero
    gradient. (In eager mode such a mask is an error before that.)

    Args:
        sample: Sample of the shape of the logits.
        category_mask: As in `mask_logits`; `None` changes nothing.

    Returns:
        The sample, zero wherever the mask is `False`.
    """
    sample = tf.convert_to_tensor(sample)
    if category_mask is None:
        return sample
    mask = _checks.booleans("category_mask", category_mask)
    return tf.where(mask, sample, tf.zeros_like(sample))
