"""Supports: values that rounding would put at the ends; all joint values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def finite_exp(log_value: tf.Tensor) -> tf.Tensor:
    """The exponential, kept above 0 and finite; beyond, the gradient is 0."""
    limit = -math.log(np.finfo(log_value.dtype.as_numpy_dtype).tiny) - 1e-3
    return tf.exp(tf.clip_by_value(log_value, -limit, limit))


def inside(value: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Clipped to (low, high); where it is, the gradient is 0."""
    dtype = value.dtype.as_numpy_dtype
    ends = np.array([low, high], dtype)
    tiny = np.array([1.0, -1.0], dtype) * np.finfo(dtype).tiny
    ends = np.where(ends, np.nextafter(ends, ends[::-1]), tiny)
    return tf.clip_by_value(value, *ends)


def positive_log(value: tf.Tensor) -> tf.Tensor:
    """log z of z ≥ 0, finite at zero."""
    tiny = np.finfo(value.dtype.as_numpy_dtype).tiny
    return tf.math.log(tf.maximum(value, tiny))


def joint_values(values: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """All joint values of variables with axes of these sizes.

    `[joint values, *sizes, ...]`, from the values `[n, ...]` of each.
    """
    each = itertools.product(range(len(values)), repeat=math.prod(sizes))
    joint = values[np.array(list(each), np.int64)]
    return joint.reshape([-1, *sizes, *values.shape[1:]])


def split(shape: tf.TensorShape, axis: int) -> tuple[int, list[int]]:
    """The size of one axis of `[B, ...]`, and those of the variables."""
    _, *sizes = shape
    return sizes.pop(axis % len(shape) - 1), sizes
