"""The Gumbel-max trick, in its two equivalent forms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_logits, in_working_precision


def gumbel_max(logits: Any, noise: Any, *, axis: int = -1) -> tf.Tensor:
    """Exact categorical sample: argmax_k (log π_k + G_k).

    With standard Gumbel noise, the index follows softmax(logits). Carries no
    gradient.

    Args:
        logits: As in `gumbel_softmax`.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.
        axis: Axis of the categories.

    Returns:
        int32 indices, of the shape of the logits without `axis`; 0 for a row of
        -inf alone.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the axis is out of range or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> int(tg.ops.gumbel_max([0.0, 1.0, 0.0], noise=[0.0, 0.0, 1.5]))
    2

    Reference:
        Gumbel. Statistical theory of extreme values and some practical
        applications. 1954. Maddison, Tarlow, Minka. A* sampling. NIPS 2014.
    """
    logits = finite_logits(_checks.categorical_logits(logits, axis))
    perturbed = logits + _checks.noise(noise, logits)
    return tf.argmax(perturbed, axis=axis, output_type=tf.int32)


def exponential_min(
    probabilities: Any, noise: Any, *, axis: int = -1
) -> tf.Tensor:
    """Exact categorical sample: argmin_k (E_k / π_k), the exponential race.

    The Gumbel-max trick after x ↦ exp(-x), since a Gumbel is -log E. For
    callers that hold probabilities rather than logits: no logarithm is taken,
    and a probability of 0 is never drawn.

    Args:
        probabilities: Non-negative weights, with K categories on `axis`; they
            need not sum to one.
        noise: Exponential noise of rate 1 of the same shape, as from
            `tfgumbel.random.exponential`.
        axis: Axis of the categories.

    Returns:
        int32 indices, of the shape of `probabilities` without `axis`.

    Raises:
        TypeError: If the probabilities are not floating.
        ValueError: If the axis is out of range or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> int(tg.ops.exponential_min([0.2, 0.5, 0.3], noise=[1.0, 1.0, 0.1]))
    2
    """
    probabilities = _checks.floating_tensor("probabilities", probabilities)
    _checks.categorical_shape(probabilities.shape, axis, "probabilities")
    # The smallest time wins, that is, the largest rate over time.
    probabilities = in_working_precision(probabilities)
    rate = probabilities / _checks.noise(noise, probabilities)
    return tf.argmax(rate, axis=axis, output_type=tf.int32)
