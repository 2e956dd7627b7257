"""Vectors replaced by the rows of a codebook, by blocks of the logits."""

from __future__ import annotations

from collections.abc import Callable
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

Choice = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Logits of a block, 16 MB: what a processor's cache nearly holds.
_BLOCK = 4_000_000


def code_logits(x: Any, codebook: Any, *, scale: Any = 1.0) -> tf.Tensor:
    """Logits of the codes of a vector: minus its squared distances to them.

    logits_k = (‖x - m‖² - ‖x - e_k‖²) / s, with m the mean of the codes. The
    first term is the same for all codes, and what is drawn does not depend on
    it. About m, little is lost to rounding where vectors and codes are far
    from zero and near to each other.

    Args:
        x: Vectors `[..., dim]`, floating.
        codebook: The codes e, `[K, dim]`, floating.
        scale: s > 0, in units of a squared distance.

    Returns:
        A tensor `[..., K]`, in float32 or wider.

    Raises:
        TypeError: If vectors or codes are not floating.
        ValueError: If their dimensions differ, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.code_logits([[1.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]).numpy()
    array([[-0.5, -0.5]], dtype=float32)
    """
    x, codebook = _centred(*_checked(x, codebook))
    weights, bias = _affine(codebook, _scale(scale, x.dtype))
    return tf.tensordot(x, weights, [[-1], [-1]]) + bias


def nearest_code(x: Any, codebook: Any, *, block: int = _BLOCK) -> tf.Tensor:
    """The index of the code nearest to each vector.

    Args:
        x: Vectors `[..., dim]`, floating.
        codebook: The codes, `[K, dim]`, floating.
        block: Distances that are held at once, about (outside XLA).

    Returns:
        int32 indices `[...]`; of several nearest codes the first, and 0 for a
        vector that holds NaN.

    Raises:
        TypeError, ValueError: As in `code_logits`.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.nearest_code([[0.9, 0.2]], [[0.0, 0.0], [1.0, 0.0]]).numpy()
    array([1], dtype=int32)
    """
    return choose_code(
        x,
        codebook,
        lambda logits, rows, first: tf.argmax(
            logits, axis=-1, output_type=tf.int32
        ),
        block=block,
    )


def choose_code(
    x: Any,
    codebook: Any,
    choose: Choice,
    *,
    scale: Any = 1.0,
    block: int = _BLOCK,
) -> tf.Tensor:
    """An index for each vector, chosen by its logits, a block at a time.

    Args:
        x: Vectors `[..., dim]`, floating.
        codebook: The codes, `[K, dim]`, floating.
        choose: Maps the logits of a block `[R, K]`, the numbers `[R]` of its
            vectors and the first of these to int32 indices `[R]`.
        scale: As in `code_logits`.
        block: Logits that are held at once, about (outside XLA).

    Returns:
        int32 indices `[...]`, without a gradient.

    Raises:
        TypeError, ValueError: As in `code_logits`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> def farthest(logits, rows, first):
    ...     return tf.argmin(logits, axis=-1, output_type=tf.int32)
    >>> codes = [[0.0, 0.0], [1.0, 0.0]]
    >>> tg.ops.choose_code([[0.9, 0.2]], codes, farthest).numpy()
    array([0], dtype=int32)
    """
    x, codebook = _checked(x, codebook)
    _checks.positive_integer("block", block)
    flat, codebook = _centred(tf.reshape(x, [-1, x.shape[-1]]), codebook)
    weights, bias = _affine(codebook, _scale(scale, x.dtype))
    flat, weights, bias = map(tf.stop_gradient, (flat, weights, bias))

    def of_rows(first: Any, last: Any) -> tf.Tensor:
        rows = tf.range(first, last)
        return choose(
            _product(flat[first:last], weights, bias),
            rows,
            tf.convert_to_tensor(first),
        )

    size = max(1, block // codebook.shape[0])
    index = _joined(of_rows, flat, size)
    return tf.reshape(index, tf.shape(x)[:-1])


def _joined(of_rows: Any, flat: tf.Tensor, size: int) -> tf.Tensor:
    """The indices of all blocks, one after the other."""
    count = tf.shape(flat)[0]
    if at_once(flat, size):
        return of_rows(0, count)

    def add(first: Any, found: tf.Tensor) -> Any:
        last = tf.minimum(first + size, count)
        return last, tf.concat([found, of_rows(first, last)], axis=0)

    _, index = tf.while_loop(
        lambda first, found: first < count,
        add,
        (tf.constant(0), tf.zeros([0], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        parallel_iterations=1,
    )
    return index


def quantize(
    x: Any,
    codebook: Any,
    index: Any,
    *,
    scale: Any = 1.0,
    gradient: Gradient = straight_through_at_one,
    trains_codebook: bool = True,
    block: int = _BLOCK,
) -> tf.Tensor:
    """Codes of vectors, drawn by distance, with a straight-through gradient.

    Forward `codebook[index]`. Backward, for an incoming gradient g: the codes
    that were drawn get g, and the logits -‖x - e_k‖² / s get what `gradient`
    makes of g Eᵀ, the incoming gradient of a one-hot sample; from them it goes
    to the vectors, to all codes and to the scale. The logits are computed
    again in the backward pass, a block at a time (outside XLA, where a loop is
    slow), so that neither logits nor one-hot samples are kept. Bias and
    requirements are those of the gradient.

    Args:
        x: Vectors `[..., dim]`, floating.
        codebook: The codes e, `[K, dim]`, floating.
        index: Integer codes `[...]`: samples of the softmax of the logits.
        scale: s > 0, in units of a squared distance.
        gradient: As in `straight_through_embedding`; by default
            straight-through at τ = 1.
        trains_codebook: Whether codes and scale get their gradient. Without
            it, a third of the products is saved.
        block: Logits that are held at once, about (outside XLA).

    Returns:
        A tensor `[..., dim]` in the dtype of `x`. A vector with NaN is NaN.

    Raises:
        TypeError: If vectors or codes are not floating, or the index is not of
            an integer type.
        ValueError: If the shapes do not fit, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> codes = [[0.0, 0.0], [1.0, 0.0]]
    >>> tg.ops.quantize([[0.9, 0.2]], codes, [1]).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        van den Oord, Vinyals, Kavukcuoglu. Neural discrete representation
        learning. NeurIPS 2017. Roy, Vaswani, Neelakantan, Parmar. Theory and
        experiments on vector quantized autoencoders. 2018.
    """
    dtype = tf.convert_to_tensor(x).dtype
    x, codebook = _checked(x, codebook)
    index = _checks.indices("index", index, x.shape[:-1])
    _checks.positive_integer("block", block)
    s = _scale(scale, x.dtype)
    if not trains_codebook:
        codebook, s = tf.stop_gradient(codebook), tf.stop_gradient(s)
    rows = tf.gather(codebook, index) + nan_rows(x, -1)
    flat, centred = _centred(tf.reshape(x, [-1, x.shape[-1]]), codebook)
    weights, bias = _affine(centred, s)

    @tf.custom_gradient
    def attach(
        rows: tf.Tensor, flat: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor
    ) -> Any:
        def grad(upstream: tf.Tensor) -> Any:
            blocks = _Blocks(flat, weights, bias, index, upstream, codebook)
            size = max(1, block // codebook.shape[0])
            return upstream, *blocks.gradients(gradient, size, trains_codebook)

        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(rows), grad

    return tf.cast(attach(rows, flat, weights, bias), dtype)


class _Blocks:
    """The backward pass of `quantize`, a block of vectors at a time."""

    def __init__(
        self,
        flat: tf.Tensor,
        weights: tf.Tensor,
        bias: tf.Tensor,
        index: tf.Tensor,
        upstream: tf.Tensor,
        codebook: tf.Tensor,
    ) -> None:
        dim = flat.shape[-1]
        self.flat, self.weights, self.bias = flat, weights, bias
        self.index = tf.reshape(index, [-1])
        self.upstream = tf.reshape(upstream, [-1, dim])
        ones = tf.ones_like(codebook[:, :1])
        self.table = tf.concat([codebook, ones], axis=-1)

    def gradients(self, gradient: Gradient, size: int, of_codes: bool) -> Any:
        """Those in the vectors, the weights and the bias of the logits."""
        count = tf.shape(self.flat)[0]
        if at_once(self.flat, size):
            of_flat, *others = self._of_rows(0, count, gradient, of_codes)
            return of_flat, *(others or (None, None))
        parts = tf.TensorArray(
            self.flat.dtype,
            -(-count // size),
            element_shape=[None, self.flat.shape[-1]],
            infer_shape=False,
        )
        sums: list[tf.Tensor] = []
        if of_codes:
            sums = [tf.zeros_like(self.weights), tf.zeros_like(self.bias)]

        def add(i: Any, parts: tf.TensorArray, *sums: tf.Tensor) -> Any:
            last = tf.minimum((i + 1) * size, count)
            of_flat, *more = self._of_rows(i * size, last, gradient, of_codes)
            added = (s + m for s, m in zip(sums, more, strict=True))
            return i + 1, parts.write(i, of_flat), *added

        _, parts, *sums = tf.while_loop(
            lambda i, *_: i * size < count,
            add,
            (0, parts, *sums),
            parallel_iterations=1,
        )
        of_flat = tf.reshape(parts.concat(), tf.shape(self.flat))
        return of_flat, *(sums or (None, None))

    def _of_rows(
        self, first: Any, last: Any, gradient: Gradient, of_codes: bool
    ) -> list[tf.Tensor]:
        rows = slice(first, last)
        x = self.flat[rows]
        logits = _product(x, self.weights, self.bias)
        first = tf.convert_to_tensor(first)
        of_logits = gradient(
            Block(
                logits, self.index[rows], self.upstream[rows], self.table, first
            )
        )
        found = [tf.matmul(of_logits, self.weights)]
        if of_codes:
            found.append(tf.matmul(of_logits, x, transpose_a=True))
            found.append(tf.reduce_sum(of_logits, axis=0))
        return found


def _checked(x: Any, codebook: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Vectors and codes, in the working precision of the vectors."""
    x = _checks.floating_tensor("x", x)
    codebook = _checks.floating_tensor("codebook", codebook)
    if codebook.shape.rank != 2 or None in codebook.shape:
        raise ValueError(
            "Argument `codebook` must be of a known shape [K, dim]. "
            f"Received: codebook of shape {codebook.shape}"
        )
    if codebook.shape[0] < 2:
        raise ValueError(
            "Argument `codebook` must hold at least 2 codes. "
            f"Received: codebook of shape {codebook.shape}"
        )
    if x.shape.rank in (0, None) or x.shape[-1] != codebook.shape[-1]:
        raise ValueError(
            f"Argument `x` must be of shape [..., {codebook.shape[-1]}], the "
            f"dimension of the codes. Received: x of shape {x.shape}"
        )
    x = in_working_precision(x)
    return x, tf.cast(codebook, x.dtype)


def _scale(scale: Any, dtype: tf.DType) -> tf.Tensor:
    return _checks.guarded_temperature(scale, dtype, "scale")


def _centred(x: tf.Tensor, codebook: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both, as seen from the mean of the codes: a constant."""
    mean = tf.stop_gradient(tf.reduce_mean(codebook, axis=0))
    return x - mean, codebook - mean


def _affine(codebook: tf.Tensor, s: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Weights and bias of the logits (2 x·e - ‖e‖²) / s."""
    squares = tf.reduce_sum(tf.square(codebook), axis=-1)
    return 2.0 * codebook / s, -squares / s


def _product(x: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """The logits of rows; in a graph, one pass over them."""
    return tf.nn.bias_add(tf.matmul(x, weights, transpose_b=True), bias)
