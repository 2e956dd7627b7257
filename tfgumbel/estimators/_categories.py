"""Variables of K categories, with the categories on the last axis."""

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


def to_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves the axis to the end."""
    rank = tensor.shape.rank
    order = [i for i in range(rank) if i != axis % rank]
    return _transposed(tensor, [*order, axis % rank])


def from_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves the last axis to where `to_last` took it from."""
    rank = tensor.shape.rank
    order = list(range(rank - 1))
    order.insert(axis % rank, rank - 1)
    return _transposed(tensor, order)


def _transposed(tensor: tf.Tensor, order: list[int]) -> tf.Tensor:
    if order == sorted(order):
        return tensor
    return tf.transpose(tensor, order)
