"""Densities of the binary concrete distribution, in nats."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_log_odds
from tfgumbel.ops.concrete_log_probs import SMALLEST


def binary_concrete_log_prob(
    logits: Any, temperature: Any, sample: Any
) -> tf.Tensor:
    """Log-density on (0, 1) of x = sigmoid((logits + L) / τ).

        log p(x) = log τ + log σ(d) + log σ(-d) - log x - log(1 - x),
        d = logits - τ log(x / (1 - x)).

    At a small τ most samples round to 0 or 1. They count as 1e-30 and as the
    largest number below 1 and receive no gradient, so that value and gradient
    are finite, but not exact. `logit_binary_concrete_log_prob` is exact at
    any τ.

    Args:
        logits: Log-odds, of a shape that broadcasts with the sample's.
        temperature: τ > 0, a number or a scalar tensor.
        sample: x, float tensor of any shape.

    Returns:
        Log-density per variable in nats, in float32 or wider.

    Raises:
        TypeError: If sample or logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN).

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.binary_concrete_log_prob(0.0, 1.0, 0.5))
    0.0

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    sample = finite_log_odds(_checks.floating_tensor("sample", sample))
    below_one = 1.0 - np.finfo(sample.dtype.as_numpy_dtype).epsneg
    sample = tf.clip_by_value(sample, SMALLEST, below_one)
    log_x, log_rest = tf.math.log(sample), tf.math.log1p(-sample)
    log_prob = logit_binary_concrete_log_prob(
        logits, temperature, log_x - log_rest
    )
    return log_prob - log_x - log_rest


def logit_binary_concrete_log_prob(
    logits: Any, temperature: Any, sample: Any
) -> tf.Tensor:
    """Log-density of y = (logits + L) / τ, before the sigmoid.

        log p(y) = log τ + log σ(d) + log σ(-d),   d = logits - τ y,

    that of `ops.logit_binary_concrete`: a logistic of location logits / τ
    and scale 1 / τ. A difference of two such log-densities at one y is that
    of the densities of x = σ(y). Exact at any τ, where x itself rounds to
    zeros and ones.

    Args:
        logits: Log-odds, of a shape that broadcasts with that of the value.
        temperature: τ > 0, a number or a scalar tensor.
        sample: y, float tensor of any shape.

    Returns:
        Log-density per variable in nats, in float32 or wider.

    Raises:
        TypeError: If sample or logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN).

    Example:

    >>> import tfgumbel as tg
    >>> density = tg.ops.logit_binary_concrete_log_prob(0.0, 0.5, 0.0)
    >>> round(float(density), 4)  # log(1/2 · 1/4)
    -2.0794

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    value = finite_log_odds(_checks.floating_tensor("sample", sample))
    logits = tf.cast(
        finite_log_odds(_checks.bernoulli_logits(logits)), value.dtype
    )
    tau = _checks.guarded_temperature(temperature, value.dtype)
    difference = logits - tau * value
    both = tf.nn.softplus(difference) + tf.nn.softplus(-difference)
    return tf.math.log(tau) - both
