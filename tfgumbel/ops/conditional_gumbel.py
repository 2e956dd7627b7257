"""Perturbed logits given which category they drew."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_logits


def conditional_gumbel(
    logits: Any, sample: Any, noise: Any, *, axis: int = -1
) -> tf.Tensor:
    """Gumbel-perturbed logits z̃, given that their argmax is `sample`.

    z = log π + G splits into its argmax b and the rest: with normalised
    logits the largest entry is itself a standard Gumbel, whatever b is, and
    the others are Gumbels cut off at it. In terms of the noise,

        z̃_b = log Σ exp(logits) + G_b
        z̃_i = z̃_b - softplus(G_b - G_i - log π_i),   i ≠ b,

    which never forms π and so holds for logits of any size. Averaged over b,
    z̃ - logits is standard Gumbel noise again. Differentiable in the logits.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The category drawn, one-hot, of the same shape.
        noise: Standard Gumbel noise of the same shape, independent of
            `sample`.
        axis: Axis of the categories.

    Returns:
        z̃, of the shape of the logits, in float32 or wider. Its argmax is
        that of `sample`.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the axis is out of range or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> z = tg.ops.conditional_gumbel([0.0, 3.0], [1.0, 0.0], [0.1, 2.0])
    >>> bool(z[0] > z[1])
    True

    Reference:
        Maddison, Tarlow, Minka. A* sampling. NIPS 2014. Tucker et al. REBAR.
        NIPS 2017.
    """
    logits = finite_logits(_checks.categorical_logits(logits, axis))
    sample = tf.stop_gradient(tf.cast(sample, logits.dtype))
    noise = _checks.noise(noise, logits)
    total = tf.reduce_logsumexp(logits, axis=axis, keepdims=True)
    top = tf.reduce_sum(sample * noise, axis=axis, keepdims=True)
    gap = tf.nn.softplus(top - noise - (logits - total))
    # A gap lost to rounding would leave two winners.
    rounding = 4.0 * np.finfo(gap.dtype.as_numpy_dtype).eps
    largest = tf.stop_gradient(tf.abs(top + total))
    gap = tf.maximum(gap, rounding * tf.maximum(largest, 1.0))
    return total + top - (1.0 - sample) * gap
