"""What the categorical and Bernoulli layers return outside training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfgumbel.estimators.draws import draw_bits, draw_one_hot, threshold
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


def bernoulli_inference(
    logits: tf.Tensor, mode: str, next_seed: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """The mode, an exact sample, or the mean (the probability)."""
    logits = in_working_precision(logits)
    if mode == "mean":
        return tf.sigmoid(logits)
    if mode == "mode":
        return threshold(logits)
    return draw_bits(logits, next_seed())
