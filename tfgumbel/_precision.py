"""The precision in which ops compute, and the order of their axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf

# Stands in for -inf: far below any logit, yet finite, also over a small
# temperature.
LOWEST = -1e30
# Up to as many categories TensorFlow's softmax takes longer on a CPU than a
# log-softmax and an exponential: oneDNN's kernel is made for long rows.
_SHORT_ROW = 64
# Up to as many XLA's reductions of a row take longer than its places one by one
# (TensorFlow 2.21, on a CPU).
_UNROLLED = 16


def working_dtype(dtype: tf.DType) -> tf.DType:
    """float32 for half precision, else `dtype` itself."""
    return dtype if dtype.size >= 4 else tf.float32


def in_working_precision(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, in float32 if it came in half precision."""
    return tf.cast(tensor, working_dtype(tensor.dtype))


def is_compiled() -> bool:
    """Whether XLA compiles what is traced."""
    return tf.__internal__.get_enclosing_xla_context() is not None


def without_infinity(logits: tf.Tensor) -> tf.Tensor:
    """The logits with -inf made finite; NaN stays."""
    return tf.maximum(logits, tf.cast(LOWEST, logits.dtype))


def finite_logits(logits: tf.Tensor) -> tf.Tensor:
    """The logits in working precision, with -inf made finite."""
    return without_infinity(in_working_precision(logits))


def finite_log_odds(logits: tf.Tensor) -> tf.Tensor:
    """The log-odds in working precision, with ±inf made finite."""
    logits = in_working_precision(logits)
    return tf.clip_by_value(logits, LOWEST, -LOWEST)


def of_one_shape(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """All as large as their sum: a gradient by hand does not broadcast."""
    if all(tensor.shape == tensors[0].shape for tensor in tensors):
        return tensors
    zero = tf.zeros_like(functools.reduce(tf.add, tensors))
    return tuple(tensor + zero for tensor in tensors)


def nan_unless(condition: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """0 where the condition holds, else NaN.

    Computed: `tf.debugging.enable_check_numerics` refuses a graph with a
    constant that is not finite, whether it is used or not.
    """
    log = tf.math.log(tf.cast(condition, dtype))
    return log - log


def unless_nan(values: tf.Tensor, result: tf.Tensor) -> tf.Tensor:
    """`result`, but NaN where `values` is."""
    return tf.where(tf.math.is_nan(values), values, result)


def nan_values(values: tf.Tensor) -> tf.Tensor:
    """NaN where `values` is NaN, else 0."""
    return unless_nan(values, tf.zeros([], values.dtype))


def nan_rows(values: tf.Tensor, axis: int) -> tf.Tensor:
    """NaN for each row of `values` that holds one, else 0; `axis` is kept.

    Softmax and argmax do not carry NaN to the whole row on a CPU, nor does
    XLA's maximum; a sum does.
    """
    return nan_values(_reduced(values, axis, tf.reduce_sum, tf.add))


def _is_short(row: int | None) -> bool:
    return row is not None and row <= _SHORT_ROW


def softmax(values: tf.Tensor, axis: int) -> tf.Tensor:
    """The softmax of each row, by the faster of two ways.

    A row that holds NaN holds NaN, and no other row does; it may hold numbers
    as well. So does a row of -inf alone.
    """
    if _is_short(values.shape[axis]):
        return tf.exp(tf.nn.log_softmax(values, axis=axis))
    return tf.nn.softmax(values, axis=axis)


def softmax_at(
    temperature: tf.Tensor, values: tf.Tensor, axis: int
) -> tf.Tensor:
    """softmax(values / temperature).

    Fused with noise, a division takes XLA several times as long as a product
    (TensorFlow 2.21), which it also makes of a division by a constant. The
    maximum has to be subtracted before: XLA fuses a product with what is
    subtracted from it, and no longer rounds it, so that the maximum less itself
    is not 0, and for 1e10 overflows in the exponential.
    """
    if not is_compiled():
        return softmax(values / temperature, axis)
    # Its derivatives cancel; NaN is in the sum.
    highest = _reduced(values, axis, tf.reduce_max, tf.maximum)
    shift = tf.stop_gradient(highest)
    y = tf.exp((values - shift) * (1.0 / temperature))
    return y * (1.0 / tf.reduce_sum(y, axis=axis, keepdims=True))


def _reduced(
    values: tf.Tensor,
    axis: int,
    of_axis: Callable[..., tf.Tensor],
    of_two: Callable[..., tf.Tensor],
) -> tf.Tensor:
    """A reduction along an axis, which is kept; short rows place by place."""
    size = values.shape[axis]
    if size is None or size > _UNROLLED or not is_compiled():
        return of_axis(values, axis=axis, keepdims=True)
    places = tf.unstack(values, axis=axis)
    return tf.expand_dims(functools.reduce(of_two, places), axis)


def one_hot_argmax(
    values: tf.Tensor, axis: int, beside: tf.Tensor | None = None
) -> tf.Tensor:
    """One-hot of the largest value; a row that holds NaN gives NaN.

    All rows do if `beside`, a scalar, is NaN.
    """
    index = tf.argmax(values, axis=axis, output_type=tf.int32)
    return one_hot_index(index, values, axis, beside)


def one_hot_index(
    index: tf.Tensor,
    values: tf.Tensor,
    axis: int,
    beside: tf.Tensor | None = None,
) -> tf.Tensor:
    """One-hot like `values`, with NaN as in `one_hot_argmax`."""
    total = _reduced(values, axis, tf.reduce_sum, tf.add)
    if beside is not None:
        total += beside
    size = values.shape[axis]
    one_hot = tf.one_hot(
        index,
        tf.shape(values)[axis] if size is None else size,
        axis=axis % values.shape.rank,
        dtype=values.dtype,
    )
    one_hot.set_shape(values.shape)
    return one_hot + nan_values(total)


def to_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves the axis to the end; the others keep their order."""
    rank = tensor.shape.rank
    order = [i for i in range(rank) if i != axis % rank]
    return transposed(tensor, [*order, axis % rank])


def from_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves the last axis to where `to_last` took it from."""
    rank = tensor.shape.rank
    order = list(range(rank - 1))
    order.insert(axis % rank, rank - 1)
    return transposed(tensor, order)


def transposed(tensor: tf.Tensor, order: list[int]) -> tf.Tensor:
    """The tensor with its axes in this order, itself if it is theirs."""
    return tensor if order == sorted(order) else tf.transpose(tensor, order)


# In powers of w - 2.5 and of √w - 4.5, the highest first. The second is a fit,
# to 1.4e-6 for probabilities down to 1e-20.
_CENTRE = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06]
_CENTRE += [0.00021858087, -0.00125372503, -0.00417768164, 0.246640727]
_CENTRE += [1.50140941]
_TAIL = [-2.29339776e-06, 9.30552995e-06, -2.70608864e-06, -1.80221121e-05]
_TAIL += [-3.41941278e-05, 0.00019184126, -0.000442006038, 0.000304186569]
_TAIL += [1.01023685, 4.3447558]


def _polynomial(coefficients: list[float], x: tf.Tensor) -> tf.Tensor:
    return tf.math.polyval([tf.cast(c, x.dtype) for c in coefficients], x)


def normal_above(probability: tf.Tensor) -> tf.Tensor:
    """What a standard normal variable is above with this probability.

    Under XLA by Giles's inverse error function of 1 - 2p (Approximating the
    erfinv function, 2010): XLA's own, and so its `ndtri`, is given that
    difference rounded, and is infinite for p < 2^-26 (TensorFlow 2.21).
    """
    if not is_compiled():
        return -tf.math.ndtri(probability)
    w = -tf.math.log(4.0 * probability * (1.0 - probability))
    size = tf.where(
        w < 5.0,
        _polynomial(_CENTRE, w - 2.5),
        _polynomial(_TAIL, tf.sqrt(tf.maximum(w, 5.0)) - 4.5),
    )
    return math.sqrt(2.0) * size * (1.0 - 2.0 * probability)
