"""Straight-through gradients of a sample that is given by its index.

Each equals that of the op of its name, for logits `[R, K]`, indices `[R]` and
an incoming gradient `[R, K]`, without the one-hot of the sample and with few
passes over the categories.
"""

from __future__ import annotations

import tensorflow as tf

from tfgumbel.ops._precision import without_infinity
from tfgumbel.ops._surrogate import softmax_jacobian


def straight_through(
    logits: tf.Tensor, index: tf.Tensor, incoming: tf.Tensor, tau: tf.Tensor
) -> tf.Tensor:
    """J(π) g / τ."""
    probabilities = tf.nn.softmax(without_infinity(logits) / tau)
    return softmax_jacobian(probabilities, incoming / tau)


def reinmax(
    logits: tf.Tensor, index: tf.Tensor, incoming: tf.Tensor, tau: tf.Tensor
) -> tf.Tensor:
    """2 J(π_D) g - ½ J(π) g, for p = softmax(logits / τ) and ḡ = π_Dᵀ g.

    That is p (g - ḡ) - ½ J(π) g, and g_D - ḡ besides at D.
    """
    logits = without_infinity(logits)
    p = tf.nn.softmax(logits / tau)
    chosen = _at(incoming, index)
    mean = 0.5 * (tf.reduce_sum(p * incoming, axis=-1) + chosen)
    second = p * (incoming - mean[:, None])
    first = softmax_jacobian(tf.nn.softmax(logits), 0.5 * incoming)
    return _add_at(second - first, index, chosen - mean)


def zgr(logits: tf.Tensor, index: tf.Tensor, incoming: tf.Tensor) -> tf.Tensor:
    """½ π (g - g_D), and ½ (g_D - πᵀ g) besides at D."""
    p = tf.nn.softmax(without_infinity(logits))
    chosen = _at(incoming, index)
    mean = tf.reduce_sum(p * incoming, axis=-1)
    result = p * (0.5 * (incoming - chosen[:, None]))
    return _add_at(result, index, 0.5 * (chosen - mean))


def gapped(
    logits: tf.Tensor, index: tf.Tensor, incoming: tf.Tensor, tau: tf.Tensor
) -> tf.Tensor:
    """J(y) g / τ, where D leads by a gap of 1."""
    logits = without_infinity(logits)
    top = tf.reduce_max(logits, axis=-1, keepdims=True)
    moved = tf.minimum(logits, top - 1.0)
    moved = _add_at(moved, index, top[:, 0] - _at(moved, index))
    return softmax_jacobian(tf.nn.softmax(moved / tau), incoming / tau)


def _at(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    return tf.gather(values, index, batch_dims=1)


def _add_at(values: tf.Tensor, index: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    rows = tf.range(tf.shape(values)[0], dtype=index.dtype)
    where = tf.stack([rows, index], axis=-1)
    return tf.tensor_scatter_nd_add(values, where, terms)
