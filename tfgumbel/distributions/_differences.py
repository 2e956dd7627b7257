"""Differences of large terms that all but cancel, taken by hand."""

from __future__ import annotations

import math

import tensorflow as tf

from tfgumbel.distributions._support import positive_log


def log_ratio(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """log(x / y) of x ≥ 0 and y > 0, to a relative precision near x = y."""
    near = tf.abs(x - y) < 0.5 * y
    change = tf.where(near, x - y, tf.zeros_like(y))
    close = tf.math.log1p(change / tf.where(near, y, tf.ones_like(y)))
    return tf.where(near, close, positive_log(x) - tf.math.log(y))


def log_excess(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """x - y - y log(x / y), which is no less than 0."""
    return x - y - y * log_ratio(x, y)


def stirling(x: tf.Tensor) -> tf.Tensor:
    """x log x - x - log Γ(x)."""
    large = x > 16.0
    safe = tf.where(large, tf.ones_like(x), x)
    direct = safe * tf.math.log(safe) - safe - tf.math.lgamma(safe)
    y = 1.0 / tf.where(large, x, tf.ones_like(x))
    series = 0.5 * tf.math.log(y * (2.0 * math.pi)) + y / 12.0 - y**3 / 360.0
    return tf.where(large, -series, direct)


def log_factorial_rest(z: tf.Tensor) -> tf.Tensor:
    """log z! - z log z + z of z = 0, 1, 2, ...; infinite below."""
    some = z > 0.0
    safe = tf.where(some, z, tf.ones_like(z))
    none = tf.math.lgamma(tf.minimum(z, 0.0) + 1.0)
    return tf.where(some, tf.math.log(safe) - stirling(safe), none)


def gamma_remainder(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """KL(Gamma(x) ‖ Gamma(y)) of one rate, less the excess of x over y."""
    return stirling(x) - stirling(y) + (x - y) * _digamma_rest(x)


def _digamma_rest(x: tf.Tensor) -> tf.Tensor:
    """ψ(x) - log x."""
    large = x > 16.0
    safe = tf.where(large, tf.ones_like(x), x)
    direct = tf.math.digamma(safe) - tf.math.log(safe)
    y = 1.0 / tf.where(large, x, tf.ones_like(x))
    series = y * (-1.0 / 2.0 - y * (1.0 / 12.0 - y**2 / 120.0))
    return tf.where(large, series, direct)
