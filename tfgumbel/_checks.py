"""Argument checks whose errors say what was expected and what was received.

Static facts (ranks, dtypes, names, Python numbers) are checked always. Facts
about values (a temperature tensor, a mask with no legal category) are checked
where the values exist, which is in eager mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


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
    if isinstance(value, bool) or not isinstance(
        value, (int, float, np.number)
    ):
        raise TypeError(
            f"Argument `{name}` must be a positive number. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"Argument `{name}` must be a positive, finite number. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def number_between(name: str, value: Any, low: float, high: float) -> float:
    """Returns `value` as a float if low <= value < high."""
    if isinstance(value, bool) or not isinstance(
        value, (int, float, np.number)
    ):
        raise TypeError(
            f"Argument `{name}` must be a number. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    if not low <= value < high:
        raise ValueError(
            f"Argument `{name}` must be at least {low} and below {high}. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def positive_integer(name: str, value: Any) -> int:
    """Returns `value` if it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"Argument `{name}` must be an integer. Received: {name}={value!r}"
        )
    if value < 1:
        raise ValueError(
            f"Argument `{name}` must be at least 1. Received: {name}={value!r}"
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
        positive_number(name, float(value))
    return value


def guarded_temperature(
    value: Any, dtype: tf.DType, name: str = "temperature"
) -> tf.Tensor:
    """The temperature as a tensor that is NaN unless it is above zero."""
    value = temperature(value, name)
    if tf.is_tensor(value):
        value = tf.cast(value, dtype)
    else:  # tf.cast would take a number through float32
        value = tf.constant(value, dtype)
    return tf.where(value > 0, value, tf.constant(math.nan, dtype))


def floating(name: str, dtype: Any) -> None:
    """Raises unless `dtype` is a floating-point type."""
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise TypeError(
            f"Argument `{name}` must be of a floating-point type. "
            f"Received: {name} of dtype {dtype.name}"
        )


def batched(name: str, shape: Any) -> None:
    """Raises unless `shape` has an axis for the batch."""
    if tf.TensorShape(shape).rank == 0:
        raise ValueError(
            f"Argument `{name}` must have an axis for the batch. "
            f"Received: {name} of rank 0"
        )


def axis(value: Any, rank: int | None, name: str = "axis") -> int:
    """Returns `value` if it is an axis of a tensor of this rank."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"Argument `{name}` must be an integer. Received: {name}={value!r}"
        )
    if rank is not None and not -rank <= value < rank:
        raise ValueError(
            f"Argument `{name}` must lie in [{-rank}, {rank}) for logits of "
            f"rank {rank}. Received: {name}={value}"
        )
    return int(value)


def categorical_shape(
    shape: Any, category_axis: int, name: str = "logits"
) -> None:
    """Raises unless `shape` has at least two categories on the axis."""
    shape = tf.TensorShape(shape)
    if shape.rank is None:
        return
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
    logits = tf.convert_to_tensor(logits)
    floating("logits", logits.dtype)
    categorical_shape(logits.shape, category_axis)
    return logits


def bernoulli_logits(logits: Any) -> tf.Tensor:
    """Returns the logits of independent bits as a tensor, checked."""
    logits = tf.convert_to_tensor(logits)
    floating("logits", logits.dtype)
    return logits


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


def category_mask(
    mask: Any, logits: tf.Tensor, category_axis: int, least: int = 1
) -> tf.Tensor:
    """Returns the mask as booleans of a shape that broadcasts to `logits`.

    In eager mode a row with fewer than `least` legal categories is an error.
    """
    mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    try:
        shape = tf.broadcast_static_shape(mask.shape, logits.shape)
    except ValueError:
        shape = None
    if shape is None or not shape.is_compatible_with(logits.shape):
        raise ValueError(
            "Argument `category_mask` must broadcast to the shape of the "
            f"logits, {logits.shape}. Received: category_mask of shape "
            f"{mask.shape}"
        )
    if isinstance(mask, tf.__internal__.EagerTensor):
        _require_legal_categories(
            tf.broadcast_to(mask, logits.shape), category_axis, least
        )
    return mask


def maskable(distribution: str) -> None:
    """Raises unless samples of the distribution are categories."""
    if distribution != "categorical":
        raise ValueError(
            "Argument `category_mask` needs distribution='categorical'. "
            f"Received: distribution={distribution!r}"
        )


def _require_legal_categories(
    mask: tf.Tensor, category_axis: int, least: int
) -> None:
    few = np.sum(mask.numpy(), axis=category_axis) < least
    if np.any(few):
        first = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(few)))
        legal, found = (
            ("one legal category", "every category masked")
            if least == 1
            else (f"{least} legal categories", "fewer")
        )
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
    """Raises unless `value`, maybe symbolic, is floating, of shape `[B]`."""
    floating(name, value.dtype)
    shape = tf.TensorShape(value.shape)
    if shape.rank not in (1, None):
        raise ValueError(
            f"Argument `{name}` must hold one value per example, of shape "
            f"[B]. Received: {name} of shape {shape}"
        )


def noise(value: Any, logits: tf.Tensor) -> tf.Tensor:
    """Returns the noise in the logits' dtype; raises unless of their shape.

    Noise that merely broadcasts would be shared between categories, and its
    gradient would have the wrong shape.
    """
    value = tf.cast(value, logits.dtype)
    if not value.shape.is_compatible_with(logits.shape):
        raise ValueError(
            "Argument `noise` must have the shape of the logits, "
            f"{logits.shape}. Received: noise of shape {value.shape}"
        )
    return value
