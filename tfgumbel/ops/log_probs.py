"""Log-probabilities of samples, in nats."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    finite_log_odds,
    finite_logits,
    in_working_precision,
    of_one_shape,
)


def categorical_log_prob(
    logits: Any, sample: Any, *, axis: int = -1
) -> tf.Tensor:
    """log softmax(logits) at a one-hot sample.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: One-hot sample, of a shape that broadcasts with that of the
            logits, with no fewer axes and as many categories. Receives no
            gradient.
        axis: Axis of the categories.

    Returns:
        Log-probability per variable in nats, of the shape of the two without
        `axis`, in float32 or wider.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the axis is out of range, K < 2, or the sample is of
            another shape, as indices are.

    Example:

    >>> import tfgumbel as tg
    >>> round(float(tg.ops.categorical_log_prob([0.0, 0.0], [1.0, 0.0])), 4)
    -0.6931
    """
    logits = finite_logits(_checks.categorical_logits(logits, axis))
    axis = axis - logits.shape.rank if axis >= 0 else axis
    sample = tf.stop_gradient(tf.cast(sample, logits.dtype))
    rank = sample.shape.rank
    if rank is not None and (
        rank < logits.shape.rank
        or sample.shape[axis] not in (None, logits.shape[axis])
    ):
        raise ValueError(
            "Argument `sample` must be one-hot, of the logits' shape "
            f"{tuple(logits.shape)}; `tf.one_hot` makes it of indices. "
            f"Received: sample of shape {tuple(sample.shape)}"
        )
    logits, sample = of_one_shape(logits, sample)

    @tf.custom_gradient
    def log_prob(logits):
        log_probs = tf.nn.log_softmax(logits, axis=axis)

        def grad(upstream):
            # J g z = g (z - π Σz); a sample of masked categories is all zeros.
            chosen = tf.expand_dims(upstream, axis) * sample
            total = tf.reduce_sum(chosen, axis=axis, keepdims=True)
            return chosen - tf.exp(log_probs) * total

        return tf.reduce_sum(log_probs * sample, axis=axis), grad

    return log_prob(logits)


def bernoulli_log_prob(logits: Any, sample: Any) -> tf.Tensor:
    """Log-probability of Bernoulli variables: b log p + (1 - b) log(1 - p).

    Args:
        logits: Log-odds, of any shape.
        sample: Zeros and ones, of a shape that broadcasts with that of the
            logits. Receives no gradient.

    Returns:
        Log-probability per variable in nats, in float32 or wider.

    Raises:
        TypeError: If the logits are not floating.

    Example:

    >>> import tfgumbel as tg
    >>> round(float(tg.ops.bernoulli_log_prob(0.0, 1.0)), 4)
    -0.6931
    """
    logits = _checks.bernoulli_logits(logits)
    working = in_working_precision(logits)
    sample = tf.stop_gradient(tf.cast(sample, working.dtype))
    working, sample = of_one_shape(working, sample)

    @tf.custom_gradient
    def log_prob(logits):
        def grad(upstream):
            return upstream * (sample - tf.sigmoid(logits))

        finite = finite_log_odds(logits)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(sample, finite)
        return -cross_entropy, grad

    return log_prob(working)


def gaussian_log_prob(mean: Any, stddev: Any, sample: Any) -> tf.Tensor:
    """log N(sample; μ, σ²) per coordinate.

    Args:
        mean: μ, of any shape.
        stddev: σ > 0 of the same shape.
        sample: Value of the same shape.

    Returns:
        Log-density per coordinate in nats, in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> round(float(tg.ops.gaussian_log_prob(0.0, 1.0, 0.0)), 4)
    -0.9189
    """
    mean = in_working_precision(_checks.floating_tensor("mean", mean))
    stddev = tf.cast(stddev, mean.dtype)
    scaled = (tf.cast(sample, mean.dtype) - mean) / stddev
    constant = 0.5 * math.log(2 * math.pi)
    return -0.5 * tf.square(scaled) - tf.math.log(stddev) - constant
