"""Distributions of numbers between 0 and 1, and on the simplex."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.estimators.noise import log_gamma, noise
from tfgumbel.layers._continuous.distribution import (
    Continuous,
    Parameters,
    inside_unit,
)

# From here on e⁻ˣ is nothing beside 1.
_NEAR = 18.0


class Beta(Continuous):
    """Beta(α, β), as X / (X + Y) of gamma samples X and Y."""

    parameters = ("concentration1", "concentration0")
    positive = ("concentration1", "concentration0")
    inference = ("mean", "sample")
    standard = (1.0, 1.0)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        first, second = random.split(seed, 2)
        log_odds = log_gamma(parameters[0], first)
        log_odds -= log_gamma(parameters[1], second)
        return inside_unit(tf.sigmoid(log_odds))

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0] / (parameters[0] + parameters[1])

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.Beta(*parameters)


class Dirichlet(Continuous):
    """Dirichlet(α), as normalised gamma samples; K on the last axis."""

    parameters = ("concentration",)
    positive = ("concentration",)
    inference = ("mean", "sample")
    standard = (1.0,)
    event_rank = 1

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        return inside_unit(tf.nn.softmax(log_gamma(parameters[0], seed)))

    def mean(self, parameters: Parameters) -> tf.Tensor:
        (concentration,) = parameters
        total = tf.reduce_sum(concentration, axis=-1, keepdims=True)
        return concentration / total

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.Dirichlet(*parameters)


class Kumaraswamy(Continuous):
    """F(z) = 1 - (1 - zᵃ)ᵇ, by inversion."""

    parameters = ("concentration1", "concentration0")
    positive = ("concentration1", "concentration0")
    inference = ("mean", "sample")
    standard = (1.0, 1.0)
    analytic = False

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        a, b = parameters
        x = noise(random.exponential, a, seed) / b
        return inside_unit(tf.exp(_log1mexp(x) / a))

    def mean(self, parameters: Parameters) -> tf.Tensor:
        from tensorflow_probability import math as tfp_math

        a, b = parameters
        return b * tf.exp(tfp_math.lbeta(1.0 + 1.0 / a, b))

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        a, b = parameters
        log_value = tf.math.log(value)
        log_rest = _log1mexp(-a * log_value)
        density = (a - 1.0) * log_value + (b - 1.0) * log_rest
        return density + tf.math.log(a * b)

    def log_ratio(
        self, q: Parameters, p: Parameters, seed: tf.Tensor
    ) -> tf.Tensor:
        # With x = -log(1 - zᵃ), and log w the logarithm of -log z: most of
        # the mass may be so near to 1 that only these tell it.
        (a, b), (c, d) = q, p
        x = noise(random.exponential, a, seed) / b
        near = x > _NEAR
        safe = tf.where(near, tf.ones_like(x), x)
        log_w = tf.where(near, -x, tf.math.log(-_log1mexp(safe)))
        log_w -= tf.math.log(a)
        log_z = -tf.exp(log_w)
        log_q = (a - 1.0) * log_z - (b - 1.0) * x + tf.math.log(a * b)
        log_p = (c - 1.0) * log_z + tf.math.log(c * d)
        return log_q - log_p - (d - 1.0) * _log1mexpexp(log_w + tf.math.log(c))


class LogisticNormal(Continuous):
    """sigmoid(μ + σ ε)."""

    parameters = ("mean", "stddev")
    positive = ("stddev",)
    inference = ("median", "sample")
    standard = (0.0, 1.0)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        mean, stddev = parameters
        normal = noise(random.normal, mean, seed)
        return inside_unit(tf.sigmoid(mean + stddev * normal))

    def median(self, parameters: Parameters) -> tf.Tensor:
        return tf.sigmoid(parameters[0])

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        mean, stddev = parameters
        log_value, log_rest = tf.math.log(value), tf.math.log1p(-value)
        deviation = (log_value - log_rest - mean) / stddev
        log_scale = tf.math.log(stddev * math.sqrt(2.0 * math.pi))
        return -0.5 * deviation**2 - log_scale - log_value - log_rest

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return ops.gaussian_kl(*parameters, *prior)


def _log1mexp(x: tf.Tensor) -> tf.Tensor:
    """log(1 - e⁻ˣ) of x > 0."""
    near = x < math.log(2.0)
    close = tf.math.log(-tf.math.expm1(-tf.where(near, x, 1.0)))
    return tf.where(
        near, close, tf.math.log1p(-tf.exp(-tf.where(near, 1.0, x)))
    )


def _log1mexpexp(x: tf.Tensor) -> tf.Tensor:
    """log(1 - exp(-eˣ)), which is x far below zero."""
    near = x < -_NEAR
    safe = tf.where(near, tf.zeros_like(x), x)
    return tf.where(near, x, _log1mexp(tf.exp(safe)))
