"""From unconstrained numbers to parameters. No input is invalid."""

from __future__ import annotations

import math

import tensorflow as tf

# So that quotients of parameters, their squares and the gradients of these
# are finite.
_LARGEST_SCALE = math.exp(15.0)
_FARTHEST = math.exp(20.0)
_LOG_LIMIT = 30.0


def positive(tensor: tf.Tensor) -> tf.Tensor:
    """softplus(min(x, e¹⁵)) + e⁻¹⁵, a positive number."""
    tensor = tf.clip_by_value(tensor, -_LARGEST_SCALE, _LARGEST_SCALE)
    smallest = tf.cast(1.0 / _LARGEST_SCALE, tensor.dtype)
    return tf.nn.softplus(tensor) + smallest


def real(tensor: tf.Tensor) -> tf.Tensor:
    """x clipped to [-e²⁰, e²⁰], some 5·10⁸."""
    return tf.clip_by_value(tensor, -_FARTHEST, _FARTHEST)


def from_log(tensor: tf.Tensor) -> tf.Tensor:
    """exp(x) with x clipped to [-30, 30], a positive number."""
    return tf.exp(tf.clip_by_value(tensor, -_LOG_LIMIT, _LOG_LIMIT))
