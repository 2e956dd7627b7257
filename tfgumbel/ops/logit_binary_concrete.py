"""The binary concrete sample before its sigmoid."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_log_odds


def logit_binary_concrete(
    logits: Any, noise: Any, *, temperature: Any = 1.0
) -> tf.Tensor:
    """Log-odds of a binary concrete sample: y = (logits + L) / τ.

    It holds what `binary_concrete` rounds away: at a small τ most of x = σ(y)
    is 0 or 1 in float32, while y is exact, and so is its density,
    `logit_binary_concrete_log_prob`. Pathwise gradients.

    Args:
        logits: Log-odds of Bernoulli variables, float tensor of any shape.
        noise: Standard logistic noise of the same shape, as from
            `tfgumbel.random.logistic`.
        temperature: τ > 0, a number or a scalar tensor.

    Returns:
        y, of the shape of the logits, in float32 or wider.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN).

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.logit_binary_concrete([0.5], [1.5], temperature=0.01).numpy()
    array([200.], dtype=float32)

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    logits = finite_log_odds(_checks.bernoulli_logits(logits))
    tau = _checks.guarded_temperature(temperature, logits.dtype)
    return (logits + _checks.noise(noise, logits)) / tau
