"""Groups of neighbours along an axis, as N:M sparsity wants them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks


def group(tensor: Any, *, size: int, axis: int = -1) -> tf.Tensor:
    """Splits an axis into groups of M neighbours: [n] to [n/M, M].

    A mask that keeps N of every M neighbours of a matrix (2 of 4, say, which
    sparse tensor cores multiply twice as fast) is a subset of each group:

        logits = group(logits, size=4, axis=0)  # [n/4, 4, m]
        mask = ungroup(sample_subset(logits, noise, k=2, axis=1), axis=0)

    Args:
        tensor: Tensor of any dtype.
        size: M, which divides the length of the axis.
        axis: The axis, before grouping.

    Returns:
        The tensor with the axis split in two; the second, of length M, stands
        after it.

    Raises:
        TypeError: If the size is not an integer.
        ValueError: If the axis is out of range or of unknown length, or the
            size does not divide it.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> tg.ops.group(tf.range(6), size=3).numpy()
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)

    Reference:
        Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li. Learning N:M fine-grained
        structured sparse neural networks from scratch. ICLR 2021.
    """
    tensor = tf.convert_to_tensor(tensor)
    size = _checks.positive_integer("size", size)
    axis = _checks.axis(axis, tensor.shape.rank) % tensor.shape.rank
    length = tensor.shape[axis]
    if length is None or length % size:
        raise ValueError(
            f"Argument `size` must divide the length of axis {axis}. "
            f"Received: size={size} for a tensor of shape {tensor.shape}"
        )
    return _resized(tensor, axis, 1, [length // size, size])


def ungroup(tensor: Any, *, axis: int) -> tf.Tensor:
    """The inverse of `group`: [n/M, M] to [n].

    Args:
        tensor: Tensor of any dtype.
        axis: The axis of the groups, not negative; that of the neighbours
            follows it.

    Returns:
        The tensor with the two axes merged.

    Raises:
        ValueError: If there is no axis after `axis`, or either is of unknown
            length.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.ungroup([[0, 1], [2, 3]], axis=0).numpy()
    array([0, 1, 2, 3], dtype=int32)
    """
    tensor = tf.convert_to_tensor(tensor)
    rank = tensor.shape.rank
    axis = _checks.axis(axis, rank)
    groups = tensor.shape[axis : axis + 2].as_list()
    if axis < 0 or len(groups) < 2 or None in groups:
        raise ValueError(
            "Argument `axis` must be that of the groups, counted from the "
            "first, with the axis of the neighbours after it, both of known "
            f"length. Received: axis={axis} for a tensor of shape "
            f"{tensor.shape}"
        )
    return _resized(tensor, axis, 2, [groups[0] * groups[1]])


def _resized(
    tensor: tf.Tensor, axis: int, count: int, sizes: list[int]
) -> tf.Tensor:
    """The tensor with other sizes in place of `count` axes from `axis` on."""
    shape, rest = tf.shape(tensor), axis + count
    parts = [shape[:axis], sizes, shape[rest:]]
    resized = tf.reshape(tensor, tf.concat(parts, 0))
    resized.set_shape([*tensor.shape[:axis], *sizes, *tensor.shape[rest:]])
    return resized
