"""Argument checks whose errors say what was expected and what was received.

Static facts (ranks, dtypes, names, Python numbers) are checked always. Facts
about values (a temperature tensor, a mask with no legal category) are checked
where the values exist, which is in eager mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "tfgumbel is for Keras 3 on TensorFlow: unset KERAS_BACKEND, or set it "
        f"to 'tensorflow'. Received: KERAS_BACKEND={keras.backend.backend()!r}"
    )

# The range in which float32 is precise. Numbers become float32 weights.
_LEAST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)


def choice(name: str, value: Any, options: Sequence[Any]) -> Any:
    """Returns `value` if it is one of `options`."""
    if not any(value is o or value == o for o in options):
        valid = ", ".join(repr(option) for option in options)
        raise ValueError(
            f"Argument `{name}` must be one of {valid}. "
            f"Received: {name}={value!r}"
        )
    return value


def positive_number(name: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number above zero."""
    number = _number(name, value, "a positive number")
    if not _LEAST <= number <= _LARGEST:
        raise ValueError(
            f"Argument `{name}` must be a positive, finite number, in the "
            f"range of float32. Received: {name}={value!r}"
        )
    return number


def finite_number(name: str, value: Any) -> float:
    """Returns `value` as a float if it is finite in float32."""
    number = _number(name, value, "a number")
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(
            f"Argument `{name}` must be a finite number, in the range of "
            f"float32. Received: {name}={value!r}"
        )
    return number


def number_between(name: str, value: Any, low: float, high: float) -> float:
    """Returns `value` as a float if low <= value < high."""
    number = _number(name, value, "a number")
    high = min(high, _LARGEST)
    if not low <= number < high:
        raise ValueError(
            f"Argument `{name}` must be at least {low} and below {high}. "
            f"Received: {name}={value!r}"
        )
    return number


def not_negative_number(name: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number of at least zero."""
    return number_between(name, value, 0.0, math.inf)


def _number(name: str, value: Any, kind: str) -> float:
    """The number as a float, infinite where no float is as large."""
    numbers = (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise TypeError(
            f"Argument `{name}` must be {kind}. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    try:
        return float(value)
    except OverflowError:
        return math.inf


def array(name: str, value: Any) -> np.ndarray:
    """Returns `value` as a float64 array if it holds numbers without NaN."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"Argument `{name}` must be a number or an array of numbers. "
            f"Received: {name}={value!r}"
        ) from error
    if np.any(np.isnan(numbers)):
        raise ValueError(
            f"Argument `{name}` must hold no NaN. Received: {name}={value!r}"
        )
    return numbers


def dense(name: str, value: Any) -> Any:
    """Returns `value` unless it is ragged or sparse."""
    if isinstance(value, tf.RaggedTensor):
        raise TypeError(
            f"Argument `{name}` must be a dense tensor: pad it by "
            "`.to_tensor()`, and give the padding as a mask or with sample "
            f"weights. Received: {name} of type RaggedTensor"
        )
    if isinstance(value, tf.SparseTensor):
        raise TypeError(
            f"Argument `{name}` must be a dense tensor: convert it by "
            f"`tf.sparse.to_dense`. Received: {name} of type SparseTensor"
        )
    return value


def broadcastable(name: str, shape: Any, to: Any) -> None:
    """Raises unless the shape broadcasts to the other one."""
    shape, to = tf.TensorShape(shape), tf.TensorShape(to)
    try:
        fits = tf.broadcast_static_shape(shape, to).is_compatible_with(to)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"Argument `{name}` must broadcast to shape {to}. "
            f"Received: {name} of shape {shape}"
        )


def seed(value: Any) -> tf.Tensor:
    """Returns the seed of a draw as an int64 tensor of shape `[2]`."""
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "Argument `seed` must be an integer tensor of shape [2]. "
            f"Received: seed={value!r}"
        ) from error
    if not tensor.dtype.is_integer or not tensor.shape.is_compatible_with([2]):
        raise ValueError(
            "Argument `seed` must be an integer tensor of shape [2]. "
            f"Received: seed of dtype {tensor.dtype.name} and shape "
            f"{tensor.shape}"
        )
    return tf.cast(tensor, tf.int64)


def positive_integer(name: str, value: Any) -> int:
    """Returns `value` if it is an integer of at least 1."""
    value = _integer(name, value)
    if value < 1:
        raise ValueError(
            f"Argument `{name}` must be at least 1. Received: {name}={value!r}"
        )
    return value


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(
            f"Argument `{name}` must be an integer. Received: {name}={value!r}"
        )
    return int(value)


def temperature(value: Any, name: str = "temperature") -> Any:
    """Checks a temperature: a number, or a scalar tensor.

    The value of a symbolic tensor cannot be seen while a graph is traced;
    there `guarded_temperature` makes a bad one visible as NaN.
    """
    if not tf.is_tensor(value):
        return positive_number(name, value)
    if value.shape.rank not in (0, None):
        raise ValueError(
            f"Argument `{name}` must be a scalar. "
            f"Received: {name} of shape {value.shape}"
        )
    if tf.executing_eagerly() and isinstance(
        value, tf.__internal__.EagerTensor
    ):
        positive_number(name, value.numpy().item())
    return value


def guarded_temperature(
    value: Any, dtype: tf.DType, name: str = "temperature"
) -> tf.Tensor:
    """The temperature as a tensor that is NaN unless it is above zero."""
    value = _temperature_tensor(value, dtype, name)
    # Not by a constant: see `_precision.nan_unless`.
    log = tf.stop_gradient(tf.math.log(value))
    return value + (log - log)


def guarded_temperatures(
    value: Any, backward: Any, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """The temperature and that of the gradient: the same one for `None`."""
    tau = guarded_temperature(value, dtype)
    if backward is None:
        return tau, tau
    return tau, guarded_temperature(backward, dtype, "backward_temperature")


def temperature_or_zero(
    value: Any, dtype: tf.DType, name: str = "temperature"
) -> tf.Tensor:
    """The temperature as a tensor that is zero unless it is above zero.

    In one operation, for what is NaN where it divides by zero, as a softmax.
    """
    return tf.nn.relu(_temperature_tensor(value, dtype, name))


def _temperature_tensor(value: Any, dtype: tf.DType, name: str) -> tf.Tensor:
    value = temperature(value, name)
    if tf.is_tensor(value):
        return tf.cast(value, dtype)
    # tf.cast would take a number through float32
    return tf.constant(value, dtype)


def floating(name: str, dtype: Any) -> None:
    """Raises unless `dtype` is a floating-point type."""
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise TypeError(
            f"Argument `{name}` must be of a floating-point type. "
            f"Received: {name} of dtype {dtype.name}"
        )


def numeric(name: str, dtype: Any) -> None:
    """Raises unless `dtype` can be cast to a floating-point type."""
    dtype = tf.as_dtype(dtype)
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise TypeError(
            f"Argument `{name}` must hold numbers. "
            f"Received: {name} of dtype {dtype.name}"
        )


def batched(name: str, shape: Any) -> None:
    """Raises unless `shape` has an axis for the batch."""
    if tf.TensorShape(shape).rank == 0:
        raise ValueError(
            f"Argument `{name}` must have an axis for the batch. "
            f"Received: {name} of rank 0"
        )


def one_tensor(name: str, value: Any) -> None:
    """Raises for a structure of tensors."""
    if isinstance(value, list | tuple | dict):
        raise TypeError(
            f"Argument `{name}` must be one tensor, [B, ...]: "
            "`keras.layers.Concatenate` makes one of several. "
            f"Received: a {type(value).__name__} of {len(value)}"
        )


def context(shape: Any, batch: int | None) -> None:
    """Raises unless a context has a row for each of the `batch` examples."""
    batched("context", shape)
    shape = tf.TensorShape(shape)
    if not shape[:1].is_compatible_with([batch]):
        raise ValueError(
            "Argument `context` must hold one row per example. Received: "
            f"context of shape {shape} for {batch} examples"
        )


def variables(name: str, shape: Any) -> None:
    """Raises unless `shape` is `[B, ...]`, with at least one variable."""
    shape = tf.TensorShape(shape)
    if shape.rank is not None and (shape.rank == 0 or 0 in shape[1:]):
        raise ValueError(
            f"Argument `{name}` must be of shape [B, ...], with at least one "
            f"variable. Received: {name} of shape {shape}"
        )


def axis(value: Any, rank: int | None, name: str = "axis") -> int:
    """Returns `value` if it is an axis of a tensor of this rank."""
    value = _integer(name, value)
    if rank is not None and not -rank <= value < rank:
        raise ValueError(
            f"Argument `{name}` must lie in [{-rank}, {rank}) for logits of "
            f"rank {rank}. Received: {name}={value}"
        )
    return value


def categorical_shape(
    shape: Any, category_axis: int, name: str = "logits"
) -> None:
    """Raises unless `shape` has at least two categories on the axis."""
    shape = tf.TensorShape(shape)
    if shape.rank is None:
        raise ValueError(
            f"Argument `{name}` must be of known rank: give it a shape, with "
            f"None for a size that is not known, by `tf.ensure_shape`. "
            f"Received: {name} of shape {shape}"
        )
    if shape.rank == 0:
        raise ValueError(
            f"Argument `{name}` must have at least one axis, that of the "
            f"categories. Received: {name} of rank 0"
        )
    axis(category_axis, shape.rank)
    if shape[category_axis] is not None and shape[category_axis] < 2:
        raise ValueError(
            f"Argument `{name}` must have at least 2 categories on axis "
            f"{category_axis}. Received: {name} of shape {tuple(shape)}"
        )


def categorical_logits(logits: Any, category_axis: int = -1) -> tf.Tensor:
    """Returns the logits of categorical variables as a tensor, checked."""
    logits = bernoulli_logits(logits)
    categorical_shape(logits.shape, category_axis)
    return logits


def floating_tensor(name: str, value: Any) -> tf.Tensor:
    """Returns `value` as a tensor, which must be dense and floating."""
    value = tf.convert_to_tensor(dense(name, value))
    floating(name, value.dtype)
    return value


def bernoulli_logits(logits: Any) -> tf.Tensor:
    """Returns the logits of Bernoulli variables as a tensor, checked."""
    return floating_tensor("logits", logits)


def integers(name: str, value: Any) -> tf.Tensor:
    """Returns `value` as a tensor, which must hold integers."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer:
        raise TypeError(
            f"Argument `{name}` must hold integers. "
            f"Received: {name} of dtype {value.dtype.name}"
        )
    return value


def indices(
    name: str, value: Any, shape: Any, count: int | None = None
) -> tf.Tensor:
    """Returns `value` as integers of this shape, in [0, count) if given.

    In a graph, only constants are compared with the count.
    """
    value = integers(name, value)
    if not value.shape.is_compatible_with(shape):
        raise ValueError(
            f"Argument `{name}` must be of shape {tf.TensorShape(shape)}. "
            f"Received: {name} of shape {value.shape}"
        )
    if count is not None:
        known = tf.get_static_value(value)
        if known is not None and np.any((known < 0) | (known >= count)):
            raise ValueError(
                f"Argument `{name}` must be in [0, {count}). "
                f"Received: {name} from {np.min(known)} to {np.max(known)}"
            )
    return value


def shared_axes(value: Any) -> bool | tuple[int, ...]:
    """Returns `shared`: whether variables share a codebook, or along where."""
    if isinstance(value, bool):
        return value
    axes = value if isinstance(value, list | tuple) else [value]
    return tuple(axis(a, None, "shared") for a in axes)


def averaged_axes(
    shared: bool | tuple[int, ...],
    rank: int,
    category_axis: int = -1,
    name: str = "inputs",
) -> list[int]:
    """The axes over which codes are counted together, the batch among them."""
    category = category_axis % rank
    if isinstance(shared, bool):
        return [a for a in range(rank) if a != category] if shared else [0]
    axes = {a % rank for a in shared}
    if category in axes or any(not -rank <= a < rank for a in shared):
        raise ValueError(
            f"Argument `shared` must name axes of `{name}`, not that of the "
            f"categories. Received: shared={shared}, for rank {rank} and "
            f"axis={category_axis}"
        )
    return sorted({0} | axes)


def probabilities(name: str, value: tf.Tensor) -> None:
    """Raises where values are seen that do not sum to 1, or are below 0."""
    if not isinstance(value, tf.__internal__.EagerTensor):
        return
    found = tf.cast(value, tf.float32).numpy()
    off = np.abs(np.sum(found, axis=-1) - 1.0) > 0.02
    if np.any(off) or np.any(found < 0.0):
        raise ValueError(
            f"Argument `{name}` must be probabilities, at least 0, that sum "
            f"to 1 on the last axis. Received: {name} from {found.min()} to "
            f"{found.max()}, sums from {found.sum(-1).min()} to "
            f"{found.sum(-1).max()}"
        )


def subset_size(k: Any, shape: Any, category_axis: int) -> int:
    """Returns `k` if it is an integer from 1 to the categories less one."""
    k = positive_integer("k", k)
    shape = tf.TensorShape(shape)
    categories = None if shape.rank is None else shape[category_axis]
    if categories is not None and k >= categories:
        raise ValueError(
            f"Argument `k` must be below the number of categories, "
            f"{categories} on axis {category_axis}. Received: k={k}"
        )
    return k


def booleans(name: str, mask: Any) -> tf.Tensor:
    """Returns a mask as booleans; raises for floating-point numbers.

    Those may be a context, or what others add to logits: 0 for the legal.
    """
    mask = tf.convert_to_tensor(mask)
    numeric(name, mask.dtype)
    if mask.dtype.is_floating:
        raise TypeError(
            f"Argument `{name}` must be boolean, True for what is legal. "
            f"Received: {name} of dtype {mask.dtype.name}"
        )
    return tf.cast(mask, tf.bool)


def category_mask(
    mask: Any, logits: tf.Tensor, category_axis: int, least: Any = 1
) -> tf.Tensor:
    """Returns the mask as booleans of a shape that broadcasts to `logits`.

    In eager mode a row with fewer than `least` legal categories is an error;
    `least` is a number, or an array of one for each row.
    """
    mask = booleans("category_mask", mask)
    broadcastable("category_mask", mask.shape, logits.shape)
    if isinstance(mask, tf.__internal__.EagerTensor):
        _require_legal_categories(
            tf.broadcast_to(mask, logits.shape), category_axis, least
        )
    return mask


def _require_legal_categories(
    mask: tf.Tensor, category_axis: int, least: Any
) -> None:
    few = np.sum(mask.numpy(), axis=category_axis) < least
    if np.any(few):
        first = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(few)))
        legal, found = f"{least} legal categories", "fewer"
        if np.ndim(least):
            legal = "as many legal categories as are to be drawn"
        elif least == 1:
            legal, found = "one legal category", "every category masked"
        raise ValueError(
            f"Argument `category_mask` must leave at least {legal} in every "
            f"row. Received: {int(np.sum(few))} row(s) with {found}, the "
            f"first at index {first}"
        )


def per_example(name: str, value: Any) -> tf.Tensor:
    """Returns `value` as a floating tensor of shape `[B]`."""
    value = tf.convert_to_tensor(value)
    per_example_spec(name, value)
    return value


def per_example_spec(name: str, value: Any) -> None:
    """Raises unless `value`, symbolic or not, is floating, of shape `[B]`."""
    floating(name, value.dtype)
    shape = tf.TensorShape(value.shape)
    if shape.rank not in (1, None):
        raise ValueError(
            f"Argument `{name}` must hold one value per example, of shape "
            f"[B]. Received: {name} of shape {shape}"
        )


def of_steps(name: str, value: Any) -> tf.Tensor:
    """Returns `value` as a floating tensor of shape `[B, T]`."""
    value = floating_tensor(name, value)
    if value.shape.rank not in (2, None):
        raise ValueError(
            f"Argument `{name}` must hold one value per example and step, of "
            f"shape [B, T]. Received: {name} of shape {value.shape}"
        )
    return value


def discount(value: Any) -> float:
    """Returns the discount as a float if 0 < discount <= 1."""
    if not 0.0 < finite_number("discount", value) <= 1.0:
        raise ValueError(
            "Argument `discount` must be above 0 and at most 1. "
            f"Received: discount={value!r}"
        )
    return float(value)


def noise(value: Any, logits: tf.Tensor) -> tf.Tensor:
    """Returns the noise in the logits' dtype; raises unless of their shape.

    Noise that merely broadcasts would be shared between categories, and its
    gradient would have the wrong shape.
    """
    return of_logits("noise", value, logits)


def of_logits(name: str, value: Any, logits: tf.Tensor) -> tf.Tensor:
    """Returns `value` in the logits' dtype; raises unless of their shape."""
    value = tf.cast(value, logits.dtype)
    if not value.shape.is_compatible_with(logits.shape):
        raise ValueError(
            f"Argument `{name}` must have the shape of the logits, "
            f"{logits.shape}. Received: {name} of shape {value.shape}"
        )
    if value.shape.rank is None:  # As after a Python function.
        value = tf.ensure_shape(value, logits.shape)
    return value
