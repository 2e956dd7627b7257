"""Von Mises samples around zero."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfgumbel._precision import of_one_shape
from tfgumbel.ops._pathwise.followed import followed
from tfgumbel.ops._pathwise.proposals import first_accepted

# At least 65.7 % are accepted, whatever the concentration.
VON_MISES_PROPOSALS = 20

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


def von_mises_sample(
    concentration: tf.Tensor,
    proposal: tf.Tensor,
    acceptance: tf.Tensor,
    sign: tf.Tensor,
) -> tf.Tensor:
    """Angle of density e^{κ cos z} / (2π I₀(κ)), with its implicit gradient.

    By rejection from the wrapped Cauchy distribution of Best and Fisher, in
    terms of tan(z / 2), which keeps its precision for large κ.

    Args:
        concentration: κ > 0, of any shape.
        proposal: Uniform noise on (0, 1), `[VON_MISES_PROPOSALS, *shape]`.
        acceptance: Uniform noise of the same shape.
        sign: Uniform noise of the shape of κ.

    Returns:
        z in [-π, π], of the shape of κ.

    Reference:
        Best, Fisher. Efficient simulation of the von Mises distribution.
        Journal of the Royal Statistical Society C, 1979.
    """
    concentration, sign = of_one_shape(concentration, sign)
    size = _angle(concentration, proposal, acceptance)

    def gradient(
        upstream: tf.Tensor, size: tf.Tensor, concentration: tf.Tensor
    ) -> tf.Tensor:
        return upstream * von_mises_slope(concentration, size)

    size = followed(size, gradient, concentration)
    return size * tf.where(sign < 0.5, -tf.ones_like(size), 1.0)


def _angle(
    concentration: tf.Tensor, proposal: tf.Tensor, acceptance: tf.Tensor
) -> tf.Tensor:
    root = tf.sqrt(1.0 + 4.0 * concentration**2)
    tau = 1.0 + root
    total = tau + tf.sqrt(2.0 * tau)
    rho = 2.0 * concentration / total
    one_minus_rho = (
        1.0 + tf.sqrt(2.0 * tau) + 1.0 / (root + 2.0 * concentration)
    ) / total
    tangent = one_minus_rho / (1.0 + rho) * tf.tan(0.5 * math.pi * proposal)
    # sin²(z / 2) is all that the ratio of the densities depends on.
    half_sine = tangent**2 / (1.0 + tangent**2)
    y = one_minus_rho**2 * total / 4.0 + 2.0 * concentration * half_sine
    accepted = tf.math.log(acceptance) < tf.math.log(y) + 1.0 - y
    return 2.0 * tf.atan(first_accepted(tangent, accepted))


def von_mises_slope(concentration: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """∂z/∂κ of the quantile function at z in [0, π].

    -∂F/∂κ / q = -∫₀ᶻ (cos t - A) e^{κ (cos t - cos z)} dt, A = I₁/I₀, which
    is also the integral from z to π. The one is taken whose integrand has one
    sign, by Gauss-Legendre quadrature as far as it is not negligible.
    """
    deficit = _bessel_deficit(concentration)
    half_sine = tf.sin(z / 2.0) ** 2
    inner = 2.0 * half_sine < deficit
    reach = tf.sqrt(tf.minimum(half_sine + 10.5 / concentration, 1.0))
    start = tf.where(inner, tf.zeros_like(z), z)
    length = tf.where(inner, z, 2.0 * tf.asin(reach) - z)
    nodes = tf.constant(_NODES, z.dtype)
    weights = tf.constant(_WEIGHTS, z.dtype)
    t = start[..., None] + length[..., None] * nodes
    wide = z[..., None]
    log_ratio = (
        -2.0
        * concentration[..., None]
        * tf.sin((t + wide) / 2.0)
        * tf.sin((t - wide) / 2.0)
    )
    height = deficit[..., None] - 2.0 * tf.sin(t / 2.0) ** 2
    values = height * tf.exp(log_ratio)
    integral = length * tf.reduce_sum(weights * values, axis=-1)
    return tf.where(inner, -integral, integral)


def _bessel_deficit(concentration: tf.Tensor) -> tf.Tensor:
    """1 - I₁(κ) / I₀(κ)."""
    large = concentration > 15.0
    kappa = tf.where(large, tf.ones_like(concentration), concentration)
    i0, i1 = tf.math.bessel_i0e(kappa), tf.math.bessel_i1e(kappa)
    x = 1.0 / tf.where(large, concentration, tf.ones_like(concentration))
    series = x * (
        1 / 2
        + x
        * (
            1 / 8
            + x * (1 / 8 + x * (25 / 128 + x * (13 / 32 + x * 1073 / 1024)))
        )
    )
    return tf.where(large, series, (i0 - i1) / i0)
