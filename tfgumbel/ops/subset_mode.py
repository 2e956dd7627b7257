"""The most probable subset of k of n."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel._precision import finite_logits, nan_rows
from tfgumbel.ops._subset_size import like, rows, subset_logits, subset_size


def subset_mode(logits: Any, *, k: Any, axis: int = -1) -> tf.Tensor:
    """The k items with the largest logits, as zeros and ones.

    Of a range of sizes, all items with positive logits; more or fewer where
    these are too few or too many. Of equal logits the first is taken. Carries
    no gradient.

    Args:
        logits: Log-odds of the items, with n items on `axis`.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        Zeros and ones of the shape and dtype of the logits. An example with
        NaN logits is NaN.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            or n is not known.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.subset_mode([0.3, -1.0, 2.0], k=2).numpy()
    array([1., 0., 1.], dtype=float32)
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    matrix = tf.stop_gradient(rows(finite_logits(logits), axis))
    number = size.low
    if not size.fixed:
        positive = tf.reduce_sum(
            tf.cast(matrix > 0, tf.int32), axis=-1, keepdims=True
        )
        number = tf.clip_by_value(positive, size.low, size.high)
    order = tf.argsort(matrix, axis=-1, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, axis=-1)
    mode = tf.cast(rank < number, matrix.dtype) + nan_rows(matrix, -1)
    return like(tf.cast(mode, logits.dtype), logits, axis)
