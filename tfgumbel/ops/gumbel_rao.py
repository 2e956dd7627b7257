"""The Rao-Blackwellised straight-through Gumbel estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import softmax_at, working_dtype
from tfgumbel.ops._surrogate import (
    softmax_jacobian,
    surrogate,
    with_gradient,
)
from tfgumbel.ops.conditional_gumbel import conditional_gumbel


@surrogate("gumbel_rao", noise=True)
def gumbel_rao(
    logits: Any,
    sample: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    axis: int = -1,
) -> tf.Tensor:
    """A one-hot sample D with the Gumbel-Rao gradient.

    Forward `sample`; backward

        1/M Σ_m J(y_m) g / τ,   y_m = softmax(z_m / τ),

    with z_m perturbed logits drawn given that their argmax is D. That is the
    straight-through Gumbel gradient averaged over the noise that the sample
    does not depend on: the same mean, hence the same bias, and a variance
    that falls with M and never exceeds that of straight-through Gumbel,
    which M = 1 equals in distribution. f must be differentiable.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        noise: Standard Gumbel noise of shape `[M, *logits.shape]`,
            independent of `sample`.
        temperature: τ > 0 of the backward pass.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits. The backward pass holds M times
        the logits in memory.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive, the axis is out of
            range, or K < 2.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> tg.ops.gumbel_rao([0.0, 1.0], [1.0, 0.0], tf.zeros([3, 2])).numpy()
    array([1., 0.], dtype=float32)

    Reference:
        Paulus, Maddison, Krause. Rao-Blackwellizing the straight-through
        Gumbel-softmax gradient estimator. ICLR 2021.
    """
    logits = _checks.categorical_logits(logits, axis)
    dtype = working_dtype(logits.dtype)
    tau = _checks.guarded_temperature(temperature, dtype)
    axis = axis - logits.shape.rank if axis >= 0 else axis
    noise = tf.cast(noise, dtype)
    last = tf.experimental.numpy.swapaxes(noise, axis, -1)

    def gradient(logits, sample, upstream):
        # As rows: TensorFlow's softmax takes five axes at most.
        rows = tf.shape(logits)
        categories = rows[-1]
        found = average(
            tf.reshape(logits, [-1, categories]),
            tf.reshape(sample, [-1, categories]),
            tf.reshape(upstream, [-1, categories]),
        )
        return tf.reshape(found, rows)

    def average(logits, sample, upstream):
        # Far from zero z would round away how much D leads by.
        logits -= tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))
        # Each z_m is the logits plus a noise that is fixed given D.
        samples = tf.shape(last)[:1]
        shape = tf.concat([samples, tf.shape(logits)], 0)
        many = tf.reshape(last, shape)
        z = conditional_gumbel(
            tf.broadcast_to(logits, shape), tf.broadcast_to(sample, shape), many
        )
        moved = logits + tf.stop_gradient(z - logits)
        y = softmax_at(tau, moved, -1)
        return tf.reduce_mean(softmax_jacobian(y, upstream), axis=0) / tau

    return with_gradient(logits, sample, axis, gradient)
