"""Values kept inside the support, where rounding would put them at its ends."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def finite_exp(log_value: tf.Tensor) -> tf.Tensor:
    """The exponential, kept above 0 and finite; beyond, the gradient is 0."""
    limit = -math.log(np.finfo(log_value.dtype.as_numpy_dtype).tiny) - 1e-3
    return tf.exp(tf.clip_by_value(log_value, -limit, limit))


def inside_unit(value: tf.Tensor) -> tf.Tensor:
    """Clipped to (0, 1); where it is, the gradient is 0."""
    info = np.finfo(value.dtype.as_numpy_dtype)
    return tf.clip_by_value(value, info.tiny, 1.0 - info.epsneg)


def positive_log(value: tf.Tensor) -> tf.Tensor:
    """log z of z ≥ 0, finite at zero."""
    tiny = np.finfo(value.dtype.as_numpy_dtype).tiny
    return tf.math.log(tf.maximum(value, tiny))
