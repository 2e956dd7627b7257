"""Distributions of positive numbers."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel import random
from tfgumbel.estimators.noise import log_gamma, noise
from tfgumbel.layers._continuous.distribution import (
    Continuous,
    Parameters,
    finite_exp,
)
from tfgumbel.ops._pathwise import inverse_gaussian_sample


class Gamma(Continuous):
    """Gamma(α, β), with mean α / β."""

    parameters = ("concentration", "rate")
    positive = ("concentration", "rate")
    standard = (1.0, 1.0)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        concentration, rate = parameters
        return finite_exp(log_gamma(concentration, seed) - tf.math.log(rate))

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0] / parameters[1]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.nn.relu(parameters[0] - 1.0) / parameters[1]

    def tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.Gamma(*parameters)


class InverseGaussian(Continuous):
    """The inverse Gaussian distribution with mean μ and shape λ."""

    parameters = ("mean", "shape")
    positive = ("mean", "shape")
    standard = (1.0, 1.0)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        mean, shape = parameters
        first, second = random.split(seed, 2)
        normal = noise(random.normal, mean, first)
        uniform = noise(random.uniform, mean, second)
        return mean * inverse_gaussian_sample(shape / mean, normal, uniform)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        mean, shape = parameters
        k = 1.5 * mean / shape
        return mean / (tf.sqrt(1.0 + k**2) + k)

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        mean, shape = parameters
        log_scale = tf.math.log(shape / (2.0 * math.pi))
        log_scale -= 3.0 * tf.math.log(value)
        deviation = tf.square(value / mean - 1.0)
        return 0.5 * (log_scale - shape / value * deviation)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        mean, shape = parameters
        prior_mean, prior_shape = prior
        ratio = prior_shape / shape
        shift = tf.square(mean / prior_mean - 1.0) * prior_shape / mean
        return 0.5 * (ratio - 1.0 - tf.math.log(ratio) + shift)
