"""Gates between 0 and 1 that are often exactly either: the hard concrete."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import LOWEST, in_working_precision

_STRETCH = (-0.1, 1.1)


def hard_concrete(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 2.0 / 3.0,
    stretch: tuple[float, float] = _STRETCH,
) -> tf.Tensor:
    """Hard concrete gate z = clip(s (ζ - γ) + γ, 0, 1), s = σ((logits + L)/τ).

    A binary concrete variable, stretched to (γ, ζ) and cut off: closed (0) and
    open (1) with positive probability, and differentiable in between. Its
    pathwise gradient is unbiased; where a gate is cut off it is zero.

    Args:
        logits: log α, the log-odds of the gates, of any shape.
        noise: Standard logistic noise L of the same shape, as from
            `tfgumbel.random.logistic`.
        temperature: τ > 0, a number or a scalar tensor.
        stretch: γ < 0 and ζ > 1.

    Returns:
        z, of the shape and dtype of the logits. Computed in float32 or wider.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad one inside a
            graph gives NaN), the stretch does not reach beyond [0, 1], or the
            noise is not of the logits' shape.

    Example:

    >>> import tfgumbel as tg
    >>> logits, noise = [-9.0, 0.0, 9.0], [0.0, 0.0, 0.0]
    >>> tg.ops.hard_concrete(logits, noise).numpy()
    array([0. , 0.5, 1. ], dtype=float32)

    Reference:
        Louizos, Welling, Kingma. Learning sparse neural networks through L0
        regularization. ICLR 2018.
    """
    logits = _checks.bernoulli_logits(logits)
    low, high = _stretch(stretch)
    working = _finite(logits)
    noise = _checks.noise(noise, working)
    tau = _checks.guarded_temperature(temperature, working.dtype)
    return _cut(tf.sigmoid((working + noise) / tau), low, high, logits.dtype)


def hard_concrete_open_probability(
    logits: Any,
    *,
    temperature: Any = 2.0 / 3.0,
    stretch: tuple[float, float] = _STRETCH,
) -> tf.Tensor:
    """P(z ≠ 0) = σ(logits - τ log(-γ/ζ)) of a hard concrete gate.

    The sum over gates is the expected number of open ones, the L0 penalty.

    Args:
        logits: log α, the log-odds of the gates, of any shape.
        temperature: τ > 0, a number or a scalar tensor.
        stretch: γ < 0 and ζ > 1.

    Returns:
        Probability of each gate, of the shape of the logits, in float32 or
        wider.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive or the stretch does not
            reach beyond [0, 1].

    Example:

    >>> import tfgumbel as tg
    >>> round(float(tg.ops.hard_concrete_open_probability(0.0)), 4)
    0.8318
    """
    low, high = _stretch(stretch)
    working = _finite(_checks.bernoulli_logits(logits))
    tau = _checks.guarded_temperature(temperature, working.dtype)
    return tf.sigmoid(working - tau * math.log(-low / high))


def hard_concrete_mode(
    logits: Any, *, stretch: tuple[float, float] = _STRETCH
) -> tf.Tensor:
    """The gate without noise, clip(σ(logits) (ζ - γ) + γ, 0, 1).

    What a trained gate is set to at inference, as in the paper.

    Args:
        logits: log α, the log-odds of the gates, of any shape.
        stretch: γ < 0 and ζ > 1.

    Returns:
        The gates, of the shape and dtype of the logits.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the stretch does not reach beyond [0, 1].

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.hard_concrete_mode([-3.0, 0.0, 3.0]).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    logits = _checks.bernoulli_logits(logits)
    low, high = _stretch(stretch)
    return _cut(tf.sigmoid(_finite(logits)), low, high, logits.dtype)


def _finite(logits: tf.Tensor) -> tf.Tensor:
    return cut_off(in_working_precision(logits), LOWEST, -LOWEST)


def _cut(s: tf.Tensor, low: float, high: float, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(cut_off(s * (high - low) + low, 0.0, 1.0), dtype)


def cut_off(values: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Clips the values; NaN stays in the gradient too, as it would not else."""
    values = tf.where(values < low, tf.cast(low, values.dtype), values)
    return tf.where(values > high, tf.cast(high, values.dtype), values)


def _stretch(stretch: Any) -> tuple[float, float]:
    """Checks γ < 0 < 1 < ζ."""
    try:
        low, high = (_checks.finite_number("stretch", x) for x in stretch)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Argument `stretch` must be a pair (γ, ζ) of numbers. "
            f"Received: stretch={stretch!r}"
        ) from error
    if not low < 0.0 or not high > 1.0:
        raise ValueError(
            "Argument `stretch` must be a pair (γ, ζ) with γ < 0 and ζ > 1. "
            f"Received: stretch={stretch!r}"
        )
    return low, high
