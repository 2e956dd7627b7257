"""Variables of K categories: their logits, and samples by index."""

from __future__ import annotations

import tensorflow as tf

from tfgumbel._precision import one_hot_index
from tfgumbel.distributions import Categories, Distribution, Parameters


def logits_and_axis(
    distribution: Distribution, parameters: Parameters
) -> tuple[tf.Tensor, int]:
    """The logits of the categories, differentiable, and their axis."""
    assert isinstance(distribution, Categories)
    nothing = tf.zeros_like(parameters[0])  # in the place of a sample
    logits, _, axis = distribution.to_categories(parameters, nothing)
    return logits, axis


def sample_of(
    distribution: Distribution, index: tf.Tensor, logits: tf.Tensor, axis: int
) -> tf.Tensor:
    """The sample that these indices of categories stand for."""
    assert isinstance(distribution, Categories)
    one_hot = one_hot_index(index, logits, axis)
    return tf.stop_gradient(distribution.from_categories(one_hot))
