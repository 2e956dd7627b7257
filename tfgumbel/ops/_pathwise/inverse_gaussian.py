"""Inverse Gaussian samples."""

from __future__ import annotations

import tensorflow as tf

from tfgumbel._precision import of_one_shape
from tfgumbel.ops._pathwise.followed import followed
from tfgumbel.ops._pathwise.normal_tails import mills_ratio


def inverse_gaussian_sample(
    shape: tf.Tensor, normal: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """z of the inverse Gaussian with mean 1, with its implicit gradient in λ.

    One of the two roots of λ (z - 1)² = z y², with y standard normal, whose
    product is 1. With r = ½ |y| / √λ the lesser is (√(1 + r²) - r)².

    Args:
        shape: λ > 0, of any shape.
        normal: Standard normal noise y of that shape.
        uniform: Uniform noise of that shape.

    Returns:
        z > 0, of the shape of λ.

    Reference:
        Michael, Schucany, Haas. Generating random variates using
        transformations with multiple roots. American Statistician, 1976.
    """
    shape, normal, uniform = of_one_shape(shape, normal, uniform)
    r = 0.5 * tf.abs(normal) / tf.sqrt(shape)
    root = 1.0 / (tf.sqrt(1.0 + r**2) + r)
    z = tf.where(uniform * (1.0 + root**2) < 1.0, root**2, root**-2)

    def gradient(
        upstream: tf.Tensor, z: tf.Tensor, shape: tf.Tensor
    ) -> tf.Tensor:
        return upstream * inverse_gaussian_slope(shape, z)

    return followed(z, gradient, shape)


def inverse_gaussian_slope(shape: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """∂z/∂λ of the quantile function: z/λ - 2 m(b) √(z³/λ).

    m is Mills' ratio, b = √(λ/z) (z + 1).
    """
    b = tf.sqrt(shape / z) * (z + 1.0)
    return z / shape * (1.0 - 2.0 * mills_ratio(b) * tf.sqrt(z * shape))
