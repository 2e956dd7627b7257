"""Noise in the shape of a tensor, and gamma variables made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import ops, random


def noise(
    kind: Callable[[Any, Any], tf.Tensor],
    like: tf.Tensor,
    seed: Any,
    count: int | None = None,
) -> tf.Tensor:
    """Noise of the tensor's shape and dtype, `count` times if given."""
    shape = tf.shape(like)
    if count is not None:
        shape = tf.concat([[count], shape], axis=0)
    drawn = tf.cast(kind(shape, seed), like.dtype)
    leading = [] if count is None else [count]
    drawn.set_shape([*leading, *like.shape])
    return drawn


def log_gamma(concentration: tf.Tensor, seed: Any) -> tf.Tensor:
    """log z of z ~ Gamma(α, 1), with its implicit gradient in α."""
    first, second, third = random.split(seed, 3)
    count = ops.GAMMA_PROPOSALS
    return ops.log_gamma_sample(
        concentration,
        noise(random.normal, concentration, first, count),
        noise(random.uniform, concentration, second, count),
        noise(random.exponential, concentration, third),
    )
