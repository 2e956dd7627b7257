"""A subset whose gradient is that of its marginals."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision, nan_rows
from tfgumbel.ops._subset_size import (
    SubsetSize,
    like,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import tilt
from tfgumbel.ops.subset_marginals import row_covariance_product


def straight_through_subset(
    logits: Any, sample: Any, *, k: Any, axis: int = -1
) -> tf.Tensor:
    """A k-hot sample with the gradient of its marginals (SIMPLE).

    Forward `sample`; backward (∂μ/∂logits)ᵀ g = Cov(z) g, with μ the marginals
    of the conditional Bernoulli distribution. The estimate of ∇E f is biased
    unless f is linear, and has no variance then. f must be differentiable.

    Args:
        logits: Log-odds of the items, with n items on `axis`.
        sample: The value, of the same shape: a sample as from `sample_subset`.
            Receives no gradient.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        `sample` in the dtype of the logits. An example with NaN logits is NaN.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            n is not known, or the sample is not of the logits' shape.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.constant([0.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     z = tg.ops.straight_through_subset(logits, [0.0, 1.0], k=1)
    >>> tape.gradient(z, logits, tf.constant([0.0, 1.0])).numpy().round(2)
    array([-0.25,  0.25], dtype=float32)

    Reference:
        Ahmed, Zeng, Niepert, Van den Broeck. SIMPLE: a gradient estimator for
        k-subset sampling. ICLR 2023.
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    working = in_working_precision(logits)
    sample = _checks.of_logits("sample", sample, working)
    subset = _pass_through(rows(working, axis), rows(sample, axis), size)
    return like(tf.cast(subset, logits.dtype), logits, axis)


def _pass_through(
    logits: tf.Tensor, sample: tf.Tensor, size: SubsetSize
) -> tf.Tensor:
    @tf.custom_gradient
    def subset(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            found = tilt(logits, size)
            return row_covariance_product(logits, upstream, found)

        return tf.stop_gradient(sample + nan_rows(logits, -1)), grad

    return subset(logits)
