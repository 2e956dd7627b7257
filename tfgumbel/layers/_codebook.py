"""What a codebook takes from a batch: losses, averages, inputs to go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel.layers._replicas import replica


class Valid(NamedTuple):
    """Which positions count.

    Attributes:
        keep: Those that are not masked, `[B, ...]`, or `None` for all.
        finite: Those of them whose vectors are finite.
    """

    keep: tf.Tensor | None
    finite: tf.Tensor


def valid_positions(x: tf.Tensor, mask: Any) -> Valid:
    """Returns which positions of vectors `[B, ..., dim]` count."""
    finite = tf.reduce_all(tf.math.is_finite(x), axis=-1)
    if mask is None:
        return Valid(None, finite)
    keep = position_mask(x, mask, finite.shape.rank)
    keep = tf.logical_and(keep, tf.ones_like(finite))
    return Valid(keep, tf.logical_and(keep, finite))


def position_mask(x: tf.Tensor, mask: Any, rank: int) -> tf.Tensor:
    """The mask of inputs `[B, ..., K]`, with axes of size 1 up to a rank."""
    mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    if mask.shape.rank >= x.shape.rank:
        raise ValueError(
            "Argument `mask` must have fewer axes than the inputs, of shape "
            f"{x.shape}. Received: mask of shape {mask.shape}"
        )
    ones = tf.ones([rank - mask.shape.rank], tf.int32)
    return tf.reshape(mask, tf.concat([tf.shape(mask), ones], axis=0))


def mean_square(difference: tf.Tensor, valid: Valid) -> tf.Tensor:
    """The mean over positions that are not masked, and over dimensions."""
    squares = tf.reduce_mean(tf.square(difference), axis=-1)
    count = tf.size(squares)
    if valid.keep is not None:
        squares = tf.where(valid.keep, squares, tf.zeros_like(squares))
        count = tf.reduce_sum(tf.cast(valid.keep, tf.int32))
    # A replica may be left with an empty batch.
    total = tf.reduce_sum(squares)
    return tf.math.divide_no_nan(total, tf.cast(count, total.dtype))


def input_sums(
    inputs: tf.Tensor, index: tf.Tensor, valid: Valid, codes: int
) -> tf.Tensor:
    """The sum of the inputs that each code was drawn for, `[K, d]`."""
    x = tf.stop_gradient(inputs)
    x = tf.where(valid.finite[..., None], x, tf.zeros_like(x))
    x = tf.reshape(x, [-1, x.shape[-1]])
    return tf.math.unsorted_segment_sum(x, tf.reshape(index, [-1]), codes)


def spare_inputs(
    inputs: Sequence[tf.Tensor],
    valid: Valid,
    unused: tf.Tensor,
    uniform: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """An input for each unused code, all different if there are as many.

    They lie evenly spaced in the batch, from a random start, so that each
    position is as likely as any other. The codes take turns at the replicas,
    whose batches are different. Where a position does not count, its code gets
    nothing, and waits for the next step.

    Args:
        inputs: For each of C codebooks what it codes, `[B, ..., d]`.
        valid: Which positions count.
        unused: Which codes want one, `[C, K]`; the same on all replicas.
        uniform: Noise in (0, 1), a scalar.

    Returns:
        Inputs `[C, K, d]`, and which codes are given one, `[C, K]`: zeros
        where none is. Their sums over the replicas are what is meant.
    """
    number, replicas = replica()
    rank = tf.cumsum(tf.cast(unused, tf.int32), axis=-1) - 1
    mine = tf.logical_and(unused, rank % replicas == number)
    total = tf.reduce_sum(tf.cast(mine, tf.int32), axis=-1, keepdims=True)
    # One more, that does not count, for an empty batch.
    counts = tf.concat([tf.reshape(valid.finite, [-1]), [False]], axis=0)
    size = tf.shape(counts)[0] - 1
    spacing = size / tf.maximum(total, 1)
    turn = tf.cast(rank // replicas, spacing.dtype)
    place = (turn + tf.cast(uniform, spacing.dtype)) * spacing
    place = tf.minimum(tf.cast(place, tf.int32), tf.maximum(size - 1, 0))
    given = tf.logical_and(mine, tf.gather(counts, tf.maximum(place, 0)))
    place = tf.where(given, place, size)
    found = []
    for one, places in zip(inputs, tf.unstack(place), strict=True):
        flat = tf.stop_gradient(tf.reshape(one, [-1, one.shape[-1]]))
        nothing = tf.zeros([1, flat.shape[-1]], flat.dtype)
        flat = tf.concat([flat, nothing], axis=0)
        found.append(tf.gather(flat, places))
    return tf.stack(found), given
