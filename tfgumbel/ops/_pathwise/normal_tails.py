"""Tails of the standard normal distribution."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def normal_cdf(x: tf.Tensor) -> tf.Tensor:
    """Φ(x)."""
    return 0.5 * tf.math.erfc(-x / math.sqrt(2.0))


def mills_ratio(x: tf.Tensor) -> tf.Tensor:
    """(1 - Φ(x)) / φ(x) for x >= 0, which underflows nowhere."""
    from tensorflow_probability import math as tfp_math

    @tf.custom_gradient
    def ratio(x: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return upstream * _mills_slope(x)

        return math.sqrt(0.5 * math.pi) * tfp_math.erfcx(
            x / math.sqrt(2.0)
        ), grad

    return ratio(x)


def _mills_slope(x: tf.Tensor) -> tf.Tensor:
    """x m(x) - 1 of Mills' ratio m, its derivative; far out by its series."""
    far = x > (20.0 if x.dtype == tf.float32 else 100.0)
    y = tf.where(far, x, tf.ones_like(x)) ** -2
    series = y * (y * (3.0 - y * (15.0 - 105.0 * y)) - 1.0)
    near = tf.where(far, tf.ones_like(x), x)
    return tf.where(far, series, near * mills_ratio(near) - 1.0)


def log_normal_cdf(x: tf.Tensor) -> tf.Tensor:
    """log Φ(x)."""
    size = tf.abs(x)
    tail = tf.math.log(mills_ratio(size) / math.sqrt(2.0 * math.pi))
    tail -= 0.5 * size**2
    return tf.where(x < 0.0, tail, tf.math.log1p(-normal_cdf(-size)))
