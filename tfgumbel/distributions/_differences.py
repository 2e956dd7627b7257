"""Differences of large terms that all but cancel, taken by hand."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel._precision import of_one_shape
from tfgumbel.distributions._support import positive_log


def log_ratio(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """log(x / y) of x ≥ 0 and y > 0, to a relative precision near x = y."""
    near = tf.abs(x - y) < 0.5 * y
    change = tf.where(near, x - y, tf.zeros([], y.dtype))
    close = tf.math.log1p(change / tf.where(near, y, tf.ones([], y.dtype)))
    return tf.where(near, close, positive_log(x) - tf.math.log(y))


def log_excess(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """x - y - y log(x / y), which is no less than 0."""

    @tf.custom_gradient
    def excess(x: tf.Tensor, y: tf.Tensor) -> Any:
        ratio = log_ratio(x, y)

        def grad(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return upstream * (x - y) / x, -upstream * ratio

        return x - y - y * ratio, grad

    return excess(*of_one_shape(x, y))


def _is_large(x: tf.Tensor) -> tf.Tensor:
    """Where three terms of an asymptotic series are as fine as the dtype."""
    return x > (16.0 if x.dtype == tf.float32 else 256.0)


def stirling(x: tf.Tensor) -> tf.Tensor:
    """x log x - x - log Γ(x)."""
    large, one = _is_large(x), tf.ones([], x.dtype)
    safe = tf.where(large, one, x)
    direct = safe * tf.math.log(safe) - safe - tf.math.lgamma(safe)
    y = 1.0 / tf.where(large, x, one)
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

    @tf.custom_gradient
    def remainder(x: tf.Tensor, y: tf.Tensor) -> Any:
        rest = _digamma_rest(x)

        def grad(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return (
                upstream * (x - y) * _trigamma_rest(x),
                upstream * (_digamma_rest(y) - rest),
            )

        return stirling(x) - stirling(y) + (x - y) * rest, grad

    return remainder(*of_one_shape(x, y))


def _digamma_rest(x: tf.Tensor) -> tf.Tensor:
    """ψ(x) - log x."""
    large, one = _is_large(x), tf.ones([], x.dtype)
    safe = tf.where(large, one, x)
    direct = tf.math.digamma(safe) - tf.math.log(safe)
    y = 1.0 / tf.where(large, x, one)
    series = y * (-1.0 / 2.0 - y * (1.0 / 12.0 - y**2 / 120.0))
    return tf.where(large, series, direct)


def _trigamma_rest(x: tf.Tensor) -> tf.Tensor:
    """ψ'(x) - 1/x."""
    large, one = _is_large(x), tf.ones([], x.dtype)
    safe = tf.where(large, one, x)
    direct = tf.math.polygamma(tf.ones_like(x), safe) - 1.0 / safe
    y = 1.0 / tf.where(large, x, one)
    series = y**2 * (1.0 / 2.0 + y * (1.0 / 6.0 - y**2 / 30.0))
    return tf.where(large, series, direct)
