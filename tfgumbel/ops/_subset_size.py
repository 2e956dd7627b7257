"""How many items a subset has, and the rows that a distribution over them has.

A size is an integer, a tensor with one integer per example, or a pair
(low, high) of either: any number from low to high, both included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import from_last, to_last


class SubsetSize(NamedTuple):
    """Least and largest number of items, each `[R, 1]` or `[1, 1]`, int32."""

    low: tf.Tensor
    high: tf.Tensor
    fixed: bool  # one number, not a range
    # The least and the largest number that can occur, as far as is known.
    least: int
    most: int


def subset_logits(logits: Any, axis: int) -> tf.Tensor:
    """Returns the logits of the items as a tensor, checked."""
    logits = _checks.floating_tensor("logits", logits)
    if logits.shape.rank is None or logits.shape.rank == 0:
        raise ValueError(
            "Argument `logits` must have at least one axis, that of the "
            f"items. Received: logits of rank {logits.shape.rank}"
        )
    _checks.axis(axis, logits.shape.rank)
    if not logits.shape[axis]:
        raise ValueError(
            "Argument `logits` must have a known number of items, at least 1, "
            f"on axis {axis}. Received: logits of shape {logits.shape}"
        )
    return logits


def subset_size(k: Any, logits: tf.Tensor, axis: int) -> SubsetSize:
    """The size `k` of subsets of the items on `axis`, checked."""
    items = logits.shape[axis]
    if isinstance(k, tuple):
        if len(k) != 2:
            raise ValueError(
                "Argument `k` must be one size or a pair (low, high). "
                f"Received: k={k!r}"
            )
        low, high = (_one_size(part, k, 0, logits, axis) for part in k)
        _require_order(low, high, k)
        return _bounded(low, high, False, items)
    size = _one_size(k, k, 1, logits, axis)
    return _bounded(size, size, True, items)


def _bounded(low: Any, high: Any, fixed: bool, items: int) -> SubsetSize:
    least = low if isinstance(low, int) else 0
    most = high if isinstance(high, int) else items
    return SubsetSize(_rows(low), _rows(high), fixed, least, most)


def _one_size(
    size: Any, k: Any, least: int, logits: tf.Tensor, axis: int
) -> Any:
    """The size as an int, or as an int32 tensor of the batch's shape."""
    items = logits.shape[axis]
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        if not least <= size <= items:
            raise ValueError(
                f"Argument `k` must lie between {least} and the number of "
                f"items, {items} on axis {axis}. Received: k={k!r}"
            )
        return int(size)
    if isinstance(size, (bool, float, str)) or size is None:
        raise TypeError(
            "Argument `k` must be an integer, an integer tensor, or a pair "
            f"of them. Received: k={k!r}"
        )
    return _size_tensor(size, logits, axis)


def _size_tensor(size: Any, logits: tf.Tensor, axis: int) -> tf.Tensor:
    size = _checks.integers("k", size)
    batch = logits.shape.as_list()
    items = batch.pop(axis)
    _checks.broadcastable("k", size.shape, batch)
    if isinstance(size, tf.__internal__.EagerTensor):
        values = size.numpy()
        if np.any(values < 0) or np.any(values > items):
            raise ValueError(
                f"Argument `k` must lie between 0 and the number of items, "
                f"{items} on axis {axis}. Received: k={values}"
            )
    shape = tf.shape(to_last(logits, axis))[:-1]
    return tf.broadcast_to(tf.cast(size, tf.int32), shape)


def _require_order(low: Any, high: Any, k: Any) -> None:
    symbolic = [
        tf.is_tensor(size) and not isinstance(size, tf.__internal__.EagerTensor)
        for size in (low, high)
    ]
    if not any(symbolic) and np.any(np.asarray(low) > np.asarray(high)):
        raise ValueError(
            "Argument `k` must be a pair (low, high) with low <= high. "
            f"Received: k={k!r}"
        )


def _rows(size: Any) -> tf.Tensor:
    return tf.reshape(tf.convert_to_tensor(size, tf.int32), [-1, 1])


def rows(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """The tensor as `[R, n]`, with the items of `axis` in a row."""
    return tf.reshape(to_last(tensor, axis), [-1, tensor.shape[axis]])


def like(matrix: tf.Tensor, tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """The inverse of `rows`: a `[R, n]` matrix in the shape of the tensor."""
    shape = tf.shape(to_last(tensor, axis))
    moved = from_last(tf.reshape(matrix, shape), axis)
    moved.set_shape(tensor.shape)
    return moved


def per_row(vector: tf.Tensor, tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """A `[R]` vector in the shape of the tensor without `axis`."""
    batch = tensor.shape.as_list()
    batch.pop(axis)
    shaped = tf.reshape(vector, tf.shape(to_last(tensor, axis))[:-1])
    shaped.set_shape(batch)
    return shaped
