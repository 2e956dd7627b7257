"""Densities of the concrete distribution, in nats."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    LOWEST,
    in_working_precision,
    without_infinity,
)

# What an entry that rounded to zero counts as. Smaller numbers exist, but the
# gradient, of order K τ / x, would overflow.
SMALLEST = 1e-30


def concrete_log_prob(
    logits: Any, temperature: Any, sample: Any, *, axis: int = -1
) -> tf.Tensor:
    """Log-density on the simplex of x = softmax((logits + G) / τ).

        log p(x) = log (K - 1)! + (K - 1) log τ
                   + Σ_k log softmax(logits - τ log x)_k - Σ_k log x_k,

    with respect to dx_1 … dx_{K-1}, whichever category is left out. At a
    small τ most entries of a sample are too small for float32: an entry below
    1e-30 counts as 1e-30 and receives no gradient, so that value and gradient
    are finite, but not exact. `exp_concrete_log_prob` is exact at any τ.

    Categories with a logit of -inf, or masked by `mask_logits`, are left out:
    the density is that on the face which the other K categories span. With
    one left, or none, the log-density is 0.

    Args:
        logits: Unnormalised log-probabilities, of a shape that broadcasts to
            that of the sample.
        temperature: τ > 0, a number or a scalar tensor.
        sample: x, float tensor with the categories on `axis`. The gradient is
            that of the formula, as if the entries were free; it holds 1 / x,
            too large for half precision.
        axis: Axis of the categories.

    Returns:
        Log-density per variable in nats, of the shape of the sample without
        `axis`, in float32 or wider.

    Raises:
        TypeError: If sample or logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN), the axis is out of range, K < 2, or the
            logits do not broadcast.

    Example:

    >>> import tfgumbel as tg
    >>> uniform = tg.ops.concrete_log_prob([0.0, 0.0], 1.0, [0.3, 0.7])
    >>> abs(float(uniform)) < 1e-6
    True

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    sample, logits = _same_shape(sample, logits, axis)
    y = tf.math.log(tf.maximum(sample, SMALLEST))
    y = tf.where(_legal(logits), y, tf.zeros_like(y))
    log_prob = exp_concrete_log_prob(logits, temperature, y, axis=axis)
    return log_prob - tf.reduce_sum(y, axis=axis)


def exp_concrete_log_prob(
    logits: Any, temperature: Any, sample: Any, *, axis: int = -1
) -> tf.Tensor:
    """Log-density of y = log x, x concrete: that of `ops.exp_concrete`.

        log p(y) = log (K - 1)! + (K - 1) log τ
                   + Σ_k log softmax(logits - τ y)_k

    with respect to the log-ratios y_1 - y_K, …, y_{K-1} - y_K, whichever
    category is the last; p(y) = p(x) Π_k x_k. A difference of two such
    log-densities at one y is that of the densities of x. Exact at any τ,
    where x itself rounds to zeros and ones.

    Args:
        logits: As in `concrete_log_prob`.
        temperature: As in `concrete_log_prob`.
        sample: y = log x, float tensor with the categories on `axis`.
        axis: Axis of the categories.

    Returns:
        As `concrete_log_prob`.

    Raises:
        TypeError: As `concrete_log_prob`.
        ValueError: As `concrete_log_prob`.

    Example: the divergence from a relaxed prior, by Monte Carlo, for an ELBO
    of the relaxed model.

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.tile([[2.0, 0.0, 0.0]], [10_000, 1])
    >>> y = tg.ops.exp_concrete(logits, tg.random.gumbel([10_000, 3], [1, 2]))
    >>> log_q = tg.ops.exp_concrete_log_prob(logits, 1.0, y)
    >>> log_p = tg.ops.exp_concrete_log_prob([0.0, 0.0, 0.0], 0.5, y)
    >>> round(float(tf.reduce_mean(log_q - log_p)), 1)
    0.8

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017. The table
        in its appendix prints τ^{-(K-1)}; the derivation gives τ^{K-1}.
    """
    y, logits = _same_shape(sample, logits, axis)
    tau = _checks.guarded_temperature(temperature, y.dtype)
    legal = _legal(logits)
    scaled = tf.where(legal, logits - tau * without_infinity(y), LOWEST)
    log_softmax = tf.nn.log_softmax(scaled, axis=axis)
    total = tf.reduce_sum(
        tf.where(legal, log_softmax, tf.zeros_like(y)), axis=axis
    )
    count = tf.reduce_sum(tf.cast(legal, y.dtype), axis=axis)
    count = tf.maximum(count, 1.0)
    return tf.math.lgamma(count) + (count - 1.0) * tf.math.log(tau) + total


def _legal(logits: tf.Tensor) -> tf.Tensor:
    """Whether a category is possible at all; a NaN is."""
    return ~(logits <= 0.5 * LOWEST)


def _same_shape(
    sample: Any, logits: Any, axis: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Both in one working precision, the logits broadcast to the sample."""
    sample = _checks.floating_tensor("sample", sample)
    _checks.categorical_shape(sample.shape, axis, "sample")
    logits = _checks.floating_tensor("logits", logits)
    _require_broadcast(logits.shape, sample.shape)
    sample = in_working_precision(sample)
    logits = tf.cast(logits, sample.dtype)
    return sample, tf.broadcast_to(logits, tf.shape(sample))


def _require_broadcast(
    shape: tf.TensorShape, sample_shape: tf.TensorShape
) -> None:
    try:
        result = tf.broadcast_static_shape(shape, sample_shape)
    except ValueError:
        result = None
    if result is None or not result.is_compatible_with(sample_shape):
        raise ValueError(
            "Argument `logits` must broadcast to the shape of the sample, "
            f"{sample_shape}. Received: logits of shape {shape}"
        )
