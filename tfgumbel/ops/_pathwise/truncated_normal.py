"""Samples of a normal distribution between two bounds."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel._precision import normal_above, of_one_shape
from tfgumbel.ops._pathwise.normal_tails import mills_ratio, normal_cdf

# Beyond this the interval is in a tail, and Φ is replaced by Mills' ratio.
_TAIL = 4.0


def truncated_normal_sample(
    low: tf.Tensor, high: tf.Tensor, normal: tf.Tensor
) -> tf.Tensor:
    """x of N(0, 1) given low <= x <= high, with the gradient in the bounds.

    By inversion: Φ(x) = Φ(low) Φ(-n) + Φ(high) Φ(n), where n is the noise, so
    that both tails are as fine as those of the noise.

    Args:
        low: Lower bound, possibly -inf.
        high: Upper bound of the same shape, possibly inf.
        normal: Standard normal noise n of the same shape.

    Returns:
        x, of the shape of the bounds.
    """
    low, high, normal = of_one_shape(low, high, normal)

    @tf.custom_gradient
    def sample(low: tf.Tensor, high: tf.Tensor) -> Any:
        x, above_low, below_high = _invert(low, high, normal)

        def grad(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # φ(low) / φ(x) and φ(high) / φ(x); 0 for an infinite bound.
            log_low = 0.5 * above_low * (x + low)
            log_high = -0.5 * below_high * (x + high)
            return (
                upstream * normal_cdf(-normal) * tf.exp(log_low),
                upstream * normal_cdf(normal) * tf.exp(log_high),
            )

        return tf.stop_gradient(x), grad

    return sample(low, high)


def _invert(
    low: tf.Tensor, high: tf.Tensor, normal: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """x, x - low and high - x."""
    right, left = low > _TAIL, high < -_TAIL
    middle = tf.clip_by_value(_between(low, high, normal), low, high)
    # The left tail is the mirror image of the right one.
    a, b = tf.where(left, -high, low), tf.where(left, -low, high)
    in_tail = right | left
    a = tf.where(in_tail, a, tf.fill(tf.shape(a), tf.cast(_TAIL, a.dtype)))
    b = tf.where(in_tail, b, 2.0 * a)
    distance = _beyond(a, b, tf.where(left, -normal, normal))
    above = tf.where(left, high - low - distance, middle - low)
    above = tf.where(right, distance, above)
    below = tf.where(right, high - low - distance, high - middle)
    below = tf.where(left, distance, below)
    x = tf.where(right, low + above, middle)
    return tf.where(left, high - below, x), above, below


def _between(low: tf.Tensor, high: tf.Tensor, normal: tf.Tensor) -> tf.Tensor:
    below, above = normal_cdf(normal), normal_cdf(-normal)
    lower = normal_cdf(low) * above + normal_cdf(high) * below
    upper = normal_cdf(-low) * above + normal_cdf(-high) * below
    size = normal_above(tf.minimum(lower, upper))
    return tf.where(lower < upper, -size, size)


def _beyond(low: tf.Tensor, high: tf.Tensor, normal: tf.Tensor) -> tf.Tensor:
    """x - low, for low far above zero.

    With m Mills' ratio and d = x - low, Newton's method solves
    d (low + d/2) + log m(low) - log m(low + d) = E, which is minus the
    logarithm of the probability of more than x given more than low.
    """
    high = tf.minimum(high, 1e18)
    width = high - low
    m = mills_ratio(low)
    ratio = tf.exp(-0.5 * width * (high + low)) * mills_ratio(high) / m
    below, above = normal_cdf(normal), normal_cdf(-normal)
    log_rest = tf.where(
        normal < 0.0,
        tf.math.log1p(-below * (1.0 - ratio)),
        tf.math.log(above + below * ratio),
    )
    d = -2.0 * log_rest / (low + tf.sqrt(low**2 - 2.0 * log_rest))
    for _ in range(2):
        rest = mills_ratio(low + d)
        excess = d * (low + 0.5 * d) + tf.math.log(m / rest) + log_rest
        d = tf.clip_by_value(d - excess * rest, 0.0, width)
    return d


def truncated_normal_log_prob(
    x: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    above: tf.Tensor,
    below: tf.Tensor,
) -> tf.Tensor:
    """Log-density at x in [low, high] of N(0, 1) given these bounds.

    Relative to the density at t, the point between the bounds nearest to 0,
    so that nothing underflows: φ(x) / φ(t) over (Φ(high) - Φ(low)) / φ(t).
    Far from 0 the difference of x and t would be lost: the distances from the
    bounds, x - low and high - x, are given.
    """
    mirrored = low + high > 0.0
    x, below = tf.where(mirrored, -x, x), tf.where(mirrored, above, below)
    low, high = (
        tf.where(mirrored, -high, low),
        tf.where(mirrored, -low, high),
    )
    in_tail = high < 0.0
    t = tf.where(in_tail, high, tf.zeros_like(high))
    # Φ(high) / φ(t) and Φ(low) / φ(t), where low <= t <= 0.
    # By Mills' ratio, for not every converter knows the error function.
    right = tf.clip_by_value(high, 0.0, 1e18)
    middle = tf.exp(-0.5 * right**2) * mills_ratio(right)
    middle = math.sqrt(2.0 * math.pi) - middle
    upper = tf.where(in_tail, mills_ratio(-t), middle)
    far = tf.minimum(-low, 1e18)
    lower = tf.exp(-0.5 * (far + t) * (far - t)) * mills_ratio(far)
    from_t = tf.where(in_tail, -below, x)
    return -0.5 * from_t * (from_t + 2.0 * t) - tf.math.log(upper - lower)
