"""Bernoulli variables whose expected number of ones is the number wanted.

A subset is a vector of Bernoulli variables, given that it has k ones. The
logits may all be raised by one number t, the tilt, since

    Σ_{|S|=k} exp(Σ_{i∈S} l_i)
        = exp(-t k) Π_i (1 + exp(l_i + t)) P_t(exactly k ones)

holds whatever t is. With Σ_i σ(l_i + t) ≈ k, having k ones is no rare event,
and no number in the computation is small where it matters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from tfgumbel._precision import LOWEST, nan_rows, nan_unless
from tfgumbel.ops._subset_size import SubsetSize

# Half a one more or less than wanted is as good as none.
_TOLERANCE = 0.5
# Newton's method takes three; logits of very different sizes are bisected.
_ITERATIONS = 150


class Tilt(NamedTuple):
    """The tilt of R rows of n logits; constants, which carry no gradient."""

    top: tf.Tensor  # the largest logit, [R, 1]
    shift: tf.Tensor  # t + top, [R, 1]
    variance: tf.Tensor  # of the number of ones, [R, 1]
    # The number of ones whose weight is not changed, [R, 1]: k itself, or of
    # a range the number nearest to what is expected without a tilt.
    centre: tf.Tensor
    size: SubsetSize

    @property
    def amount(self) -> tf.Tensor:
        """t, `[R, 1]`."""
        return self.shift - self.top

    def log_odds(self, rows: tf.Tensor) -> tf.Tensor:
        """l + t, with -inf made finite, `[R, n]`."""
        # Large logits differ from the largest one exactly, or hardly count.
        return finite(rows) - self.top + self.shift


def finite(rows: tf.Tensor) -> tf.Tensor:
    """The logits with infinities made finite."""
    return tf.clip_by_value(rows, LOWEST, -LOWEST)


def tilt(rows: tf.Tensor, size: SubsetSize) -> Tilt:
    """The tilt of rows of logits, `[R, n]`."""
    rows = tf.stop_gradient(rows)
    logits = finite(rows)
    top = tf.reduce_max(logits, axis=-1, keepdims=True)
    logits -= top
    low, high = (tf.cast(k, rows.dtype) for k in (size.low, size.high))
    target, untilted = low, None
    if not size.fixed:
        untilted, _ = _moments(logits, top)
        target = tf.clip_by_value(untilted, low, high)
    shift, variance = _solve(logits, target, top, untilted)
    # A row with NaN and one whose size cannot be are NaN from here on.
    possible = (low >= 0) & (low <= high) & (high <= rows.shape[-1])
    shift += nan_unless(possible, rows.dtype) + nan_rows(rows, -1)
    centre = tf.clip_by_value(tf.round(target), low, high)
    centre = tf.broadcast_to(centre, tf.shape(shift))
    return Tilt(
        tf.stop_gradient(top),
        tf.stop_gradient(shift),
        tf.stop_gradient(variance),
        tf.stop_gradient(centre),
        size,
    )


def _moments(
    logits: tf.Tensor, shift: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of the number of ones, each `[R, 1]`."""
    p = tf.sigmoid(logits + shift)
    mean = tf.reduce_sum(p, axis=-1, keepdims=True)
    square = tf.reduce_sum(p * p, axis=-1, keepdims=True)
    return mean, tf.maximum(mean - square, 0.0)


class _Search(NamedTuple):
    shift: tf.Tensor
    lower: tf.Tensor
    upper: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor


def _solve(
    logits: tf.Tensor,
    target: tf.Tensor,
    top: tf.Tensor,
    untilted: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The shift at which the mean is near the target, and the variance.

    Newton's method on the log-odds of mean / n, which are linear in the shift
    if all logits are equal; bisection where it leaves the bracket. `untilted`
    is the mean of a range without a tilt.
    """
    n = float(logits.shape[-1])
    # Σσ(l + t) ≤ exp(t) Σ exp(l) at one end, and σ ≥ 1 - exp(-l - t) at the
    # other: the target is met in between. Impossible items do not count.
    wanted = tf.math.log(tf.maximum(target, _TOLERANCE))
    lower = wanted - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
    legal = logits + top > LOWEST
    enough = tf.reduce_sum(tf.cast(legal, logits.dtype), -1, keepdims=True)
    legal |= enough < target
    least = tf.where(legal, logits, tf.zeros_like(logits))
    least = tf.reduce_min(least, axis=-1, keepdims=True)
    upper = math.log(2.0 * n) - least
    start = lower
    if untilted is not None:
        # No tilt is one end of the bracket: near enough to the target, the
        # other side of it would tilt away from the range.
        lower = tf.where(untilted < target, tf.maximum(lower, top), lower)
        upper = tf.where(untilted > target, tf.minimum(upper, top), upper)
        start = tf.where(tf.equal(untilted, target), top, lower)
    goal = _log_odds(tf.clip_by_value(target, 0.5 * _TOLERANCE, n - 0.25), n)

    def unfinished(search: _Search) -> tf.Tensor:
        return tf.reduce_any(tf.abs(search.mean - target) > _TOLERANCE)

    def improve(search: _Search) -> tuple[_Search]:
        shift, lower, upper, mean, variance = search
        lower = tf.where(mean < target, shift, lower)
        upper = tf.where(mean < target, upper, shift)
        slope = variance / tf.maximum(mean * (1.0 - mean / n), 1e-30)
        step = (goal - _log_odds(mean, n)) / tf.maximum(slope, 1e-30)
        moved = shift + step
        bracketed = (moved > lower) & (moved < upper)
        moved = tf.where(bracketed, moved, 0.5 * (lower + upper))
        off = tf.abs(mean - target) > _TOLERANCE
        shift = tf.where(off, moved, shift)
        return (_Search(shift, lower, upper, *_moments(logits, shift)),)

    search = _Search(start, lower, upper, *_moments(logits, start))
    (search,) = tf.while_loop(
        unfinished, improve, (search,), maximum_iterations=_ITERATIONS
    )
    return search.shift, search.variance


def _log_odds(mean: tf.Tensor, n: float) -> tf.Tensor:
    return tf.math.log(tf.maximum(mean, 1e-30)) - tf.math.log(
        tf.maximum(n - mean, 1e-30)
    )
