"""Distributions of real numbers and of angles."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel import random
from tfgumbel.estimators.draws import draw_one_hot
from tfgumbel.estimators.noise import log_gamma, noise
from tfgumbel.layers._continuous.distribution import (
    Continuous,
    Parameters,
)
from tfgumbel.ops._pathwise import (
    VON_MISES_PROPOSALS,
    normal_mixture_sample,
    von_mises_sample,
)


class Laplace(Continuous):
    """The Laplace distribution around μ, of scale b: a signed exponential."""

    parameters = ("location", "scale")
    positive = ("scale",)
    standard = (0.0, 1.0)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        location, scale = parameters
        first, second = random.split(seed, 2)
        size = noise(random.exponential, location, first)
        sign = noise(random.uniform, location, second) < 0.5
        return location + scale * tf.where(sign, -size, size)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    mode = mean

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.Laplace(*parameters)


class StudentT(Continuous):
    """μ + σ t, with ν degrees of freedom."""

    parameters = ("df", "location", "scale")
    positive = ("df", "scale")
    inference = ("mode", "sample")
    standard = (1.0, 0.0, 1.0)
    analytic = False

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        df, location, scale = parameters
        first, second = random.split(seed, 2)
        log_ratio = tf.math.log(0.5 * df) - log_gamma(0.5 * df, first)
        normal = noise(random.normal, df, second)
        # The tail is heavy: e⁴⁰ is where it ends, lest products overflow.
        root = tf.exp(tf.minimum(0.5 * log_ratio, 40.0))
        return location + scale * normal * root

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return parameters[1]

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.StudentT(*parameters)


class VonMises(Continuous):
    """Angles in [-π, π] around μ, of concentration κ."""

    parameters = ("location", "concentration")
    positive = ("concentration",)
    standard = (0.0, 1e-6)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        location, concentration = parameters
        first, second, third = random.split(seed, 3)
        z = von_mises_sample(
            concentration,
            noise(random.uniform, location, first, VON_MISES_PROPOSALS),
            noise(random.uniform, location, second, VON_MISES_PROPOSALS),
            noise(random.uniform, location, third),
        )
        return _wrapped(location + z)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return _wrapped(parameters[0])

    mode = mean

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.VonMises(*parameters)


class Mixture(Continuous):
    """Σ_k softmax(logits)_k N(μ_k, σ_k²), K components on the last axis."""

    parameters = ("logits", "mean", "stddev")
    positive = ("stddev",)
    inference = ("mean", "sample")
    standard = ([0.0], [0.0], [1.0])
    analytic = False
    component_axis = True

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        logits, mean, stddev = parameters
        first, second = random.split(seed, 2)
        return normal_mixture_sample(
            tf.nn.log_softmax(logits),
            mean,
            stddev,
            draw_one_hot(logits, -1, first),
            noise(random.normal, mean[..., 0], second),
        )

    def mean(self, parameters: Parameters) -> tf.Tensor:
        logits, mean, _ = parameters
        return tf.reduce_sum(tf.nn.softmax(logits) * mean, axis=-1)

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        logits, mean, stddev = parameters
        deviation = (value[..., None] - mean) / stddev
        log_scale = tf.math.log(stddev * math.sqrt(2.0 * math.pi))
        log_density = tf.nn.log_softmax(logits) - log_scale
        log_density -= 0.5 * deviation**2
        return tf.reduce_logsumexp(log_density, axis=-1)


def _wrapped(angle: tf.Tensor) -> tf.Tensor:
    """The same angle in [-π, π]."""
    return angle - 2.0 * math.pi * tf.round(angle / (2.0 * math.pi))
