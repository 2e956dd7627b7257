"""Noise in the shape of a tensor, and gamma variables made of it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import random
from tfgumbel.ops._pathwise import GAMMA_PROPOSALS, log_gamma_sample


def noise(
    kind: Any, like: tf.Tensor, seed: tf.Tensor, count: int | None = None
) -> tf.Tensor:
    """Noise of the tensor's shape and dtype, `count` times if given."""
    shape = tf.shape(like)
    if count is not None:
        shape = tf.concat([[count], shape], axis=0)
    drawn = tf.cast(kind(shape, seed), like.dtype)
    leading = [] if count is None else [count]
    return tf.ensure_shape(drawn, [*leading, *like.shape])


def log_gamma(concentration: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """log z of z ~ Gamma(α, 1), with its implicit gradient in α."""
    first, second, third = random.split(seed, 3)
    return log_gamma_sample(
        concentration,
        noise(random.normal, concentration, first, GAMMA_PROPOSALS),
        noise(random.uniform, concentration, second, GAMMA_PROPOSALS),
        noise(random.exponential, concentration, third),
    )
