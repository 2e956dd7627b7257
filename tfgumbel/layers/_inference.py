"""What the categorical and Bernoulli layers return outside training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfgumbel import random
from tfgumbel.ops._precision import (
    finite_logits,
    in_working_precision,
    one_hot_argmax,
)


def categorical_inference(
    logits: tf.Tensor,
    mode: str,
    axis: int,
    next_seed: Callable[[], tf.Tensor],
) -> tf.Tensor:
    """The mode, an exact sample, or the mean (the probabilities)."""
    logits = finite_logits(logits)
    if mode == "mean":
        return tf.nn.softmax(logits, axis=axis)
    if mode == "mode":
        return tf.stop_gradient(one_hot_argmax(logits, axis))
    return draw_one_hot(logits, axis, next_seed())


def draw_one_hot(logits: tf.Tensor, axis: int, seed: tf.Tensor) -> tf.Tensor:
    """An exact one-hot sample of softmax(logits), without gradient."""
    logits = finite_logits(logits)
    noise = tf.cast(random.gumbel(tf.shape(logits), seed), logits.dtype)
    return tf.stop_gradient(one_hot_argmax(logits + noise, axis))


def bernoulli_inference(
    logits: tf.Tensor, mode: str, next_seed: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """The mode, an exact sample, or the mean (the probability)."""
    logits = in_working_precision(logits)
    if mode == "mean":
        return tf.sigmoid(logits)
    if mode == "mode":
        return _step(logits)
    return draw_bits(logits, next_seed())


def draw_bits(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Exact samples of Bernoulli(sigmoid(logits)), without gradient."""
    logits = in_working_precision(logits)
    noise = tf.cast(random.logistic(tf.shape(logits), seed), logits.dtype)
    return _step(logits + noise)


def _step(values: tf.Tensor) -> tf.Tensor:
    nan = tf.where(tf.math.is_nan(values), values, tf.zeros_like(values))
    return tf.stop_gradient(tf.cast(values > 0, values.dtype) + nan)
