"""Kumaraswamy variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._log_gamma import log_beta
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import inside
from tfgumbel.distributions.bijections import positive
from tfgumbel.distributions.distribution import Distribution, Parameters

# From here on e⁻ˣ is nothing next to 1.
_NEAR = 18.0


@register("kumaraswamy")
class Kumaraswamy(Distribution):
    """z in (0, 1) with F(z) = 1 - (1 - zᵃ)ᵇ, by inversion.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> kumaraswamy = tg.distributions.Kumaraswamy()
    >>> one = tf.math.log(tf.math.expm1(tf.ones([1, 1])))  # softplus gives 1
    >>> q = kumaraswamy.constrain((one, one))
    >>> kumaraswamy.mean(q).numpy().round(4)  # of a uniform variable
    array([[0.5]], dtype=float32)
    """

    parameters: ClassVar = {
        "concentration1": positive,
        "concentration0": positive,
    }
    inference: ClassVar = ("mean", "sample")
    standard: Sequence[Any] = (1.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        a, b = parameters
        x = noise(random.exponential, a, seed) / b
        return inside(tf.exp(_log1mexp(x) / a))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        a, b = parameters
        log_value = tf.math.log(tf.cast(sample, a.dtype))
        log_rest = _log1mexp(-a * log_value)
        density = (a - 1.0) * log_value + (b - 1.0) * log_rest
        return density + tf.math.log(a * b)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        a, b = parameters
        return b * tf.exp(log_beta(1.0 + 1.0 / a, b))

    def log_ratio(
        self, parameters: Parameters, prior: Parameters, seed: Any
    ) -> tf.Tensor:
        """Returns log q(z) - log p(z) at a sample z of q, per variable."""
        # With x = -log(1 - zᵃ), and log w the logarithm of -log z: most of
        # the mass may be so near to 1 that only these tell it.
        (a, b), (c, d) = parameters, prior
        x = noise(random.exponential, a, seed) / b
        near = x > _NEAR
        safe = tf.where(near, tf.ones_like(x), x)
        log_w = tf.where(near, -x, tf.math.log(-_log1mexp(safe)))
        log_w -= tf.math.log(a)
        log_z = -tf.exp(log_w)
        log_q = (a - 1.0) * log_z - (b - 1.0) * x + tf.math.log(a * b)
        log_p = (c - 1.0) * log_z + tf.math.log(c * d)
        return log_q - log_p - (d - 1.0) * _log1mexpexp(log_w + tf.math.log(c))


def _log1mexp(x: tf.Tensor) -> tf.Tensor:
    """log(1 - e⁻ˣ) of x > 0."""
    near, one = x < math.log(2.0), tf.ones([], x.dtype)
    close = tf.math.log(-tf.math.expm1(-tf.where(near, x, one)))
    return tf.where(
        near, close, tf.math.log1p(-tf.exp(-tf.where(near, one, x)))
    )


def _log1mexpexp(x: tf.Tensor) -> tf.Tensor:
    """log(1 - exp(-eˣ)), which is x far below zero."""
    near = x < -_NEAR
    safe = tf.where(near, tf.zeros_like(x), x)
    return tf.where(near, x, _log1mexp(tf.exp(safe)))
