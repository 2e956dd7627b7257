"""Tails of the standard normal distribution."""

from __future__ import annotations

import math

import tensorflow as tf


def normal_cdf(x: tf.Tensor) -> tf.Tensor:
    """Φ(x)."""
    return 0.5 * tf.math.erfc(-x / math.sqrt(2.0))


def mills_ratio(x: tf.Tensor) -> tf.Tensor:
    """(1 - Φ(x)) / φ(x) for x >= 0, which underflows nowhere."""
    from tensorflow_probability import math as tfp_math

    return math.sqrt(0.5 * math.pi) * tfp_math.erfcx(x / math.sqrt(2.0))


def log_normal_cdf(x: tf.Tensor) -> tf.Tensor:
    """log Φ(x)."""
    size = tf.abs(x)
    tail = tf.math.log(mills_ratio(size) / math.sqrt(2.0 * math.pi))
    tail -= 0.5 * size**2
    return tf.where(x < 0.0, tail, tf.math.log1p(-normal_cdf(-size)))
