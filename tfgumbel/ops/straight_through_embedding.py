"""A row of a table, drawn, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision, nan_rows
from tfgumbel.ops._index_gradients import (
    Block,
    Gradient,
    at_once,
    straight_through_at_one,
)


def straight_through_embedding(
    logits: Any,
    embeddings: Any,
    index: Any,
    *,
    gradient: Gradient = straight_through_at_one,
    block: int = 32_000_000,
) -> tf.Tensor:
    """Rows of a table, with the gradients of one-hot × table.

    Forward `embeddings[index]`: no one-hot, no product. Backward, for an
    incoming gradient g: the table gets g in the rows that were drawn, as
    `tf.IndexedSlices`, and the logits get what `gradient` makes of g Eᵀ, the
    incoming gradient of a one-hot sample. Many rows go in blocks (outside XLA,
    where a loop is slow), so that the memory beyond the result is bounded.
    Bias and requirements are those of the gradient.

    Args:
        logits: Unnormalised log-probabilities `[..., K]`.
        embeddings: The table E, `[K, dim]`, floating.
        index: Integer categories, of the shape of the logits without the last
            axis: samples of softmax(logits), as from
            `tfgumbel.random.categorical`.
        gradient: Maps a block of rows to the gradient in its logits: an
            object with `logits` `[R, K]`, `index` `[R]`, `incoming()`, the
            product g Eᵀ `[R, K]`, and `first`, the number of its first row
            (for its noise). By default straight-through at τ = 1, see
            `straight_through`.
        block: Numbers of the logits that a block holds, about.

    Returns:
        A tensor `[..., dim]` in the dtype of the table. A row with NaN logits
        is NaN. Second derivatives are right, except that those of the
        table's gradient in the logits are missing.

    Raises:
        TypeError: If logits or table are not floating, or the index is not
            of an integer type.
        ValueError: If the shapes do not fit, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> table = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    >>> tg.ops.straight_through_embedding([0.0, 1.0, 0.0], table, 1).numpy()
    array([3., 4.], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """
    logits = _checks.categorical_logits(logits)
    embeddings = _checked_table(embeddings, logits)
    index = _checks.indices("index", index, logits.shape[:-1])
    _checks.positive_integer("block", block)
    working = in_working_precision(logits)
    rows = tf.gather(embeddings, index)
    nan = tf.cast(nan_rows(working, -1), rows.dtype)

    @tf.custom_gradient
    def attach(rows: tf.Tensor, logits: tf.Tensor, table: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> Any:
            wrt_logits = _by_blocks(
                logits, index, upstream, table, gradient, block
            )
            return upstream, wrt_logits, None

        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(rows + nan), grad

    return attach(rows, working, embeddings)


def _checked_table(embeddings: Any, logits: tf.Tensor) -> tf.Tensor:
    embeddings = _checks.floating_tensor("embeddings", embeddings)
    if not embeddings.shape.is_compatible_with([logits.shape[-1], None]):
        raise ValueError(
            f"Argument `embeddings` must be of shape [{logits.shape[-1]}, "
            "dim], a row for each category. Received: embeddings of shape "
            f"{embeddings.shape}"
        )
    return embeddings


def _by_blocks(
    logits: tf.Tensor,
    index: tf.Tensor,
    upstream: tf.Tensor,
    table: tf.Tensor,
    gradient: Gradient,
    block: int,
) -> tf.Tensor:
    """The gradient in the logits, a block of rows at a time."""
    categories, dim = logits.shape[-1], table.shape[-1]
    flat = tf.reshape(logits, [-1, categories])
    index = tf.reshape(index, [-1])
    upstream = tf.cast(tf.reshape(upstream, [-1, dim]), logits.dtype)
    table = tf.cast(table, logits.dtype)
    table = tf.concat([table, tf.ones_like(table[:, :1])], axis=-1)

    def of_rows(first: Any, size: Any) -> tf.Tensor:
        rows = slice(first, first + size)
        first = tf.convert_to_tensor(first)
        parts = flat[rows], index[rows], upstream[rows]
        return gradient(Block(*parts, table, first))

    size, count = max(1, block // categories), tf.shape(flat)[0]
    if at_once(flat, size):
        return tf.reshape(of_rows(0, count), tf.shape(logits))
    blocks = -(-count // size)
    array = tf.TensorArray(
        flat.dtype, blocks, element_shape=[None, categories], infer_shape=False
    )
    _, array = tf.while_loop(
        lambda i, array: i < blocks,
        lambda i, array: (i + 1, array.write(i, of_rows(i * size, size))),
        (0, array),
        parallel_iterations=1,
    )
    return tf.reshape(array.concat(), tf.shape(logits))
