"""Inverse Gaussian variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("inverse_gaussian")
class InverseGaussian(Distribution):
    """The inverse Gaussian distribution with mean μ and shape λ.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> inverse_gaussian = tg.distributions.InverseGaussian()
    >>> q = inverse_gaussian.constrain((tf.zeros([1, 1]), tf.zeros([1, 1])))
    >>> inverse_gaussian.mean(q).numpy().round(3)  # softplus(0)
    array([[0.693]], dtype=float32)
    """

    parameters: ClassVar = {"mean": positive, "shape": positive}
    standard: Sequence[Any] = (1.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        mean, shape = parameters
        first, second = random.split(seed, 2)
        normal = noise(random.normal, mean, first)
        uniform = noise(random.uniform, mean, second)
        return mean * ops.inverse_gaussian_sample(shape / mean, normal, uniform)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        mean, shape = parameters
        sample = tf.cast(sample, mean.dtype)
        log_scale = tf.math.log(shape / (2.0 * math.pi))
        log_scale -= 3.0 * tf.math.log(sample)
        apart = sample - mean
        near = tf.abs(apart) < 0.5 * mean
        excess = tf.where(near, apart / mean, sample / mean - 1.0)
        return 0.5 * (log_scale - shape / sample * tf.square(excess))

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        mean, shape = parameters
        k = 1.5 * mean / shape
        return mean / (tf.sqrt(1.0 + k**2) + k)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        mean, shape = parameters
        prior_mean, prior_shape = prior
        ratio = prior_shape / shape
        shift = tf.square(mean / prior_mean - 1.0) * prior_shape / mean
        return 0.5 * (ratio - 1.0 - tf.math.log(ratio) + shift)
