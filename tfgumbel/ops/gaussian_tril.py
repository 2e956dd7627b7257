"""Gaussians with a full covariance, by its Cholesky factor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision, working_dtype
from tfgumbel.ops.gaussian import gaussian_stddev


def gaussian_tril(scale: Any) -> tf.Tensor:
    """The factor L of a covariance Σ = L Lᵀ, from D (D + 1) / 2 numbers.

    Row by row: entry (i, j) of the lower triangle is number i (i + 1) / 2 + j.
    The diagonal is mapped by the softplus as in `gaussian_stddev`, so that L
    is invertible whatever the numbers.

    Args:
        scale: Float tensor `[..., D (D + 1) / 2]`; the last axis is known.

    Returns:
        L, lower triangular, `[..., D, D]`, in float32 or wider.

    Raises:
        TypeError: If `scale` is not floating.
        ValueError: If its last axis is unknown or no triangle.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.gaussian_tril([0.5413, -1.0, 0.5413]).numpy().round(3)
    array([[ 1.,  0.],
           [-1.,  1.]], dtype=float32)
    """
    scale = in_working_precision(_checks.floating_tensor("scale", scale))
    size = gaussian_tril_size(scale.shape)
    rows, columns = np.tril_indices(size)
    # One more than there are numbers stands for zero.
    index = np.full([size, size], len(rows))
    index[rows, columns] = np.arange(len(rows))
    numbers = tf.concat([scale, tf.zeros_like(scale[..., :1])], axis=-1)
    matrix = tf.gather(numbers, index, axis=-1)
    diagonal = tf.linalg.diag_part(matrix)
    return tf.linalg.set_diag(matrix, gaussian_stddev(diagonal, "softplus"))


def gaussian_tril_size(shape: Any) -> int:
    """D, of a shape `[..., D (D + 1) / 2]`."""
    shape = tf.TensorShape(shape)
    count = shape[-1] if shape.rank else None
    size = 0 if count is None else (math.isqrt(8 * count + 1) - 1) // 2
    if not count or size * (size + 1) // 2 != count:
        raise ValueError(
            "Argument `scale` must have a last axis of D (D + 1) / 2 numbers, "
            f"the lower triangle. Received: scale of shape {shape}"
        )
    return size


def reparameterize_gaussian_tril(
    mean: Any, scale_tril: Any, noise: Any
) -> tf.Tensor:
    """Gaussian sample z = μ + L ε of covariance L Lᵀ, with pathwise gradients.

    Args:
        mean: μ, float tensor `[..., D]`.
        scale_tril: L, `[..., D, D]`, as from `gaussian_tril`.
        noise: Standard normal noise ε, `[..., D]`.

    Returns:
        z, in the dtype of `mean`. Computed in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> tril = [[1.0, 0.0], [-1.0, 1.0]]
    >>> tg.ops.reparameterize_gaussian_tril([0.0, 5.0], tril, [2.0, 1.0])
    <tf.Tensor: shape=(2,), dtype=float32, numpy=array([2., 4.], ...)>
    """
    mean = _checks.floating_tensor("mean", mean)
    dtype = working_dtype(mean.dtype)
    scale_tril, noise = tf.cast(scale_tril, dtype), tf.cast(noise, dtype)
    z = tf.cast(mean, dtype) + tf.linalg.matvec(scale_tril, noise)
    return tf.cast(z, mean.dtype)


def gaussian_tril_log_prob(
    mean: Any, scale_tril: Any, sample: Any
) -> tf.Tensor:
    """log N(sample; μ, L Lᵀ) of vectors on the last axis.

    Args:
        mean: μ, float tensor `[..., D]`.
        scale_tril: L, lower triangular with a positive diagonal,
            `[..., D, D]`, as from `gaussian_tril`.
        sample: Value of the shape of the mean.

    Returns:
        Log-density per vector in nats, `[...]`, in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> eye = [[1.0, 0.0], [0.0, 1.0]]
    >>> log_prob = tg.ops.gaussian_tril_log_prob([0.0, 0.0], eye, [0.0, 0.0])
    >>> round(float(log_prob), 4)  # -log 2π
    -1.8379
    """
    mean = in_working_precision(_checks.floating_tensor("mean", mean))
    scale_tril = tf.cast(scale_tril, mean.dtype)
    deviation = tf.cast(sample, mean.dtype) - mean
    scaled = tf.linalg.triangular_solve(scale_tril, deviation[..., None])
    log_diagonal = tf.math.log(tf.linalg.diag_part(scale_tril))
    constant = 0.5 * math.log(2.0 * math.pi)
    per_coordinate = -0.5 * tf.square(scaled[..., 0]) - log_diagonal - constant
    return tf.reduce_sum(per_coordinate, axis=-1)
