"""Logistic-normal variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import inside
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("logistic_normal")
class LogisticNormal(Distribution):
    """z in (0, 1): sigmoid(μ + σ ε), ε normal.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logistic_normal = tg.distributions.LogisticNormal()
    >>> q = logistic_normal.constrain((tf.zeros([1, 1]), tf.zeros([1, 1])))
    >>> logistic_normal.median(q).numpy()
    array([[0.5]], dtype=float32)
    """

    parameters: ClassVar = {"mean": real, "stddev": positive}
    inference: ClassVar = ("median", "sample")
    standard: Sequence[Any] = (0.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        mean, stddev = parameters
        normal = noise(random.normal, mean, seed)
        return inside(tf.sigmoid(mean + stddev * normal))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        mean, stddev = parameters
        sample = tf.cast(sample, mean.dtype)
        log_value, log_rest = tf.math.log(sample), tf.math.log1p(-sample)
        deviation = (log_value - log_rest - mean) / stddev
        log_scale = tf.math.log(stddev * math.sqrt(2.0 * math.pi))
        return -0.5 * deviation**2 - log_scale - log_value - log_rest

    def median(self, parameters: Parameters) -> tf.Tensor:
        """Returns sigmoid(μ)."""
        return tf.sigmoid(parameters[0])

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return ops.gaussian_kl(*parameters, *prior)
