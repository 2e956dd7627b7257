"""Rejection sampling from a fixed number of proposals."""

from __future__ import annotations

import tensorflow as tf


def first_accepted(proposals: tf.Tensor, accepted: tf.Tensor) -> tf.Tensor:
    """The first accepted proposal, along the first axis; else the first."""
    choice = tf.argmax(tf.cast(accepted, tf.float32), axis=0)
    one_hot = tf.one_hot(
        choice, proposals.shape[0], True, False, axis=0, dtype=tf.bool
    )
    chosen = tf.where(one_hot, proposals, tf.zeros_like(proposals))
    return tf.reduce_sum(chosen, axis=0)
