"""Gates between 0 and 1 that are often exactly either: the stochastic gate."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision
from tfgumbel.ops.hard_concrete import cut_off

_STDDEV = 0.5


def gaussian_gate(
    mean: Any, noise: Any, *, stddev: float = _STDDEV
) -> tf.Tensor:
    """Stochastic gate z = clip(μ + σ ε, 0, 1).

    A Gaussian variable cut off at both ends: closed (0) and open (1) with
    positive probability, and differentiable in between. Its pathwise gradient
    is unbiased; where a gate is cut off it is zero.

    Args:
        mean: μ of the gates, of any shape.
        noise: Standard normal noise ε of the same shape, as from
            `tfgumbel.random.normal`.
        stddev: σ > 0.

    Returns:
        z, of the shape and dtype of the mean. Computed in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.
        ValueError: If the standard deviation is not positive or the noise is
            not of the mean's shape.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.gaussian_gate([0.2, 0.5, 0.9], [-1.0, 0.0, 1.0]).numpy()
    array([0. , 0.5, 1. ], dtype=float32)

    Reference:
        Yamada, Lindenbaum, Negahban, Kluger. Feature selection using
        stochastic gates. ICML 2020.
    """
    mean = _checks.floating_tensor("mean", mean)
    stddev = _checks.positive_number("stddev", stddev)
    working = in_working_precision(mean)
    noise = tf.cast(noise, working.dtype)
    if not noise.shape.is_compatible_with(mean.shape):
        raise ValueError(
            "Argument `noise` must have the shape of the mean, "
            f"{mean.shape}. Received: noise of shape {noise.shape}"
        )
    gate = cut_off(working + stddev * noise, 0.0, 1.0)
    return tf.cast(gate, mean.dtype)


def gaussian_gate_open_probability(
    mean: Any, *, stddev: float = _STDDEV
) -> tf.Tensor:
    """P(z ≠ 0) = Φ(μ/σ) of a stochastic gate.

    The sum over gates is the expected number of open ones.

    Args:
        mean: μ of the gates, of any shape.
        stddev: σ > 0.

    Returns:
        Probability of each gate, of the shape of the mean, in float32 or
        wider.

    Raises:
        TypeError: If the mean is not floating.
        ValueError: If the standard deviation is not positive.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.gaussian_gate_open_probability(0.0))
    0.5
    """
    mean = in_working_precision(_checks.floating_tensor("mean", mean))
    stddev = _checks.positive_number("stddev", stddev)
    return 0.5 * tf.math.erfc(-mean * (0.5**0.5 / stddev))


def gaussian_gate_mode(mean: Any) -> tf.Tensor:
    """The gate without noise, clip(μ, 0, 1): what it is set to at inference.

    Args:
        mean: μ of the gates, of any shape.

    Returns:
        The gates, of the shape and dtype of the mean.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.gaussian_gate_mode([-0.3, 0.4, 1.2]).numpy()
    array([0. , 0.4, 1. ], dtype=float32)
    """
    return cut_off(_checks.floating_tensor("mean", mean), 0.0, 1.0)
