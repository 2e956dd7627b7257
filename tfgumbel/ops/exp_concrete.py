"""The concrete sample on the log scale."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import LOWEST, in_working_precision, nan_rows


def exp_concrete(
    logits: Any, noise: Any, *, temperature: Any = 1.0, axis: int = -1
) -> tf.Tensor:
    """Log of a Gumbel-softmax sample: y = log softmax((logits + G) / τ).

    It holds what `gumbel_softmax` rounds away: at a small τ most entries of
    x = exp(y) are zero in float32, while y is exact, and so is its density,
    `exp_concrete_log_prob`. Pathwise gradients, as for `gumbel_softmax`.

    Args:
        logits: Unnormalised log-probabilities, float tensor with K categories
            on `axis`. An entry of -inf gives a y of -1e30 / τ.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.
        temperature: τ > 0, a number or a scalar tensor.
        axis: Axis of the categories.

    Returns:
        y, of the shape of the logits, in float32 or wider: half precision
        cannot hold it. A row with NaN logits is NaN.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN), the axis is out of range, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.exp_concrete([0.0, 2.0], [0.0, 0.0], temperature=0.01).numpy()
    array([-200.,    0.], dtype=float32)

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    logits = in_working_precision(_checks.categorical_logits(logits, axis))
    lowest = tf.cast(LOWEST, logits.dtype)
    finite = tf.where(logits < lowest, lowest, logits)  # NaN stays
    perturbed = finite + _checks.noise(noise, logits)
    tau = _checks.guarded_temperature(temperature, logits.dtype)
    divisor = tau + nan_rows(perturbed, axis)
    return tf.nn.log_softmax(perturbed / divisor, axis=axis)
