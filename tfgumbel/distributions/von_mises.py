"""Von Mises variables: angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.capabilities import Mean
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("von_mises")
class VonMises(Distribution):
    """Angles in [-π, π] around μ, of concentration κ.

    A pathwise gradient is that of a function of the circle: f must be
    continuous where -π meets π.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> von_mises = tg.distributions.VonMises()
    >>> q = von_mises.constrain((tf.fill([1, 1], 7.0), tf.zeros([1, 1])))
    >>> von_mises.mean(q).numpy().round(3)  # 7 - 2π
    array([[0.717]], dtype=float32)
    """

    parameters: ClassVar = {"location": real, "concentration": positive}
    standard: Sequence[Any] = (0.0, 1e-6)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        location, concentration = parameters
        first, second, third = random.split(seed, 3)
        count = ops.VON_MISES_PROPOSALS
        angle = ops.von_mises_sample(
            concentration,
            noise(random.uniform, location, first, count),
            noise(random.uniform, location, second, count),
            noise(random.uniform, location, third),
        )
        return _wrapped(location + angle)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        location, concentration = parameters
        half = tf.sin(0.5 * (sample - location))
        log_mass = math.log(2.0 * math.pi) + _log_bessel(concentration)
        return -2.0 * concentration * tf.square(half) - log_mass

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return _wrapped(parameters[0])

    mode = mean

    def lacks(self, capability: type) -> str | None:
        if capability is Mean:
            return "the mean is that of the direction, not E z"
        return super().lacks(capability)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        (location, concentration), (prior_location, other) = parameters, prior
        # 1 - cos of the difference of the locations.
        turn = 2.0 * tf.square(tf.sin(0.5 * (location - prior_location)))
        excess = concentration - other * (1.0 - turn)
        log_ratio = _log_bessel(other) - _log_bessel(concentration)
        return other * turn + log_ratio - excess * _shortfall(concentration)


@tf.custom_gradient
def _log_bessel(concentration: tf.Tensor) -> Any:
    """log of e⁻ᵏ I₀(κ)."""

    def grad(upstream: tf.Tensor) -> tf.Tensor:
        return -upstream * _shortfall(concentration)

    return tf.math.log(tf.math.bessel_i0e(concentration)), grad


@tf.custom_gradient
def _shortfall(concentration: tf.Tensor) -> Any:
    """1 - I₁(κ) / I₀(κ), by which the mean cosine falls short of one.

    For large κ by the series in y = 1 / κ: the quotient rounds to 1.
    """
    # Where the series are exact to rounding.
    far = concentration > (20.0 if concentration.dtype == tf.float32 else 1e3)
    near = tf.where(far, tf.ones_like(concentration), concentration)
    y = 1.0 / tf.where(far, concentration, tf.ones_like(concentration))
    quotient = tf.math.bessel_i1e(near) / tf.math.bessel_i0e(near)
    series = y * (1 / 2 + y * (1 + y * (1 + y * (25 + 52 * y) / 16)) / 8)
    value = tf.where(far, series, 1.0 - quotient)

    def grad(upstream: tf.Tensor) -> tf.Tensor:
        # 1 - A' - A/κ - A² = 0 of the quotient A, which a difference from 1
        # would round where κ is small.
        quotient = tf.math.bessel_i1e(near) / tf.math.bessel_i0e(near)
        direct = quotient / near + tf.square(quotient) - 1.0
        series = y**2 * (4 + y * (2 + y * (3 + y * (25 + 65 * y) / 4))) / 8
        return upstream * tf.where(far, -series, direct)

    return value, grad


def _wrapped(angle: tf.Tensor) -> tf.Tensor:
    """The same angle in [-π, π]."""
    return angle - 2.0 * math.pi * tf.round(angle / (2.0 * math.pi))
