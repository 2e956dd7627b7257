"""The logarithm of the sum over all subsets of exactly k of n."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel._precision import in_working_precision
from tfgumbel.ops._bernoulli_sum import log_total
from tfgumbel.ops._subset_size import (
    SubsetSize,
    per_row,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import finite, tilt
from tfgumbel.ops.subset_marginals import row_marginals


def subset_log_normalizer(logits: Any, *, k: Any, axis: int = -1) -> tf.Tensor:
    """log Z = log Σ_{|S|=k} exp(Σ_{i∈S} logits_i).

    The logarithm of the k-th elementary symmetric polynomial of exp(logits);
    for a range of sizes, of the sum of theirs. Its gradient is
    `subset_marginals`, that one's the covariance.

    Args:
        logits: Log-odds of the items, with n items on `axis`.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        log Z in nats, of the shape of the logits without `axis`, in float32 or
        wider.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            or n is not known.

    Example:

    >>> import tfgumbel as tg
    >>> log_z = tg.ops.subset_log_normalizer([0.0, 0.0, 0.0, 0.0], k=2)
    >>> round(float(log_z), 4)  # log 6
    1.7918
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    log_z = _log_normalizer(rows(in_working_precision(logits), axis), size)
    return per_row(log_z, logits, axis)


def _log_normalizer(logits: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    @tf.custom_gradient
    def log_normalizer(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[:, None] * row_marginals(logits, size)

        return _value(logits, size), grad

    return log_normalizer(logits)


def _value(logits: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    """Σ softplus(l + t) - t · centre + log P, without large differences."""
    found = tilt(logits, size)
    odds = found.log_odds(logits)
    above = odds > 0.0
    large = tf.cast(
        tf.where(above, finite(logits), tf.zeros_like(logits)), tf.float64
    )
    number = tf.reduce_sum(tf.cast(above, logits.dtype), axis=-1)
    small = tf.reduce_sum(tf.nn.softplus(-tf.abs(odds)), axis=-1)
    small += found.amount[:, 0] * (number - found.centre[:, 0])
    total = tf.reduce_sum(large, axis=-1) + tf.cast(small, tf.float64)
    return tf.cast(total + log_total(logits, found), logits.dtype)
