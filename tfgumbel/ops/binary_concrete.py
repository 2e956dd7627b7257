"""The binary concrete relaxation of a Bernoulli sample."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision, unless_nan
from tfgumbel.ops.straight_through import sigmoid_gradient


def binary_concrete(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    hard: bool = False,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Binary concrete sample y = sigmoid((logits + L) / τ).

    The Gumbel-softmax of two categories, written with their difference: L is
    the difference of two Gumbels, a logistic. With `hard=True` the value is
    1[y > ½], an exact Bernoulli(sigmoid(logits)) sample, and the gradient is
    that of y. Bias and variance are as for `gumbel_softmax`.

    The gradient with respect to the logits is g · y (1 - y) / τ.

    Args:
        logits: Log-odds of Bernoulli variables, float tensor of any shape.
        noise: Standard logistic noise of the same shape, as from
            `tfgumbel.random.logistic`.
        temperature: τ > 0, a number or a scalar tensor.
        hard: Whether to return zeros and ones.
        backward_temperature: Another τ for the gradient, as in
            `gumbel_softmax`; `None` for the same.

    Returns:
        A tensor of the shape and dtype of `logits`. Computed in float32 or
        wider.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN).

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.binary_concrete([0.2], noise=[-0.2]).numpy()
    array([0.5], dtype=float32)

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    logits = _checks.bernoulli_logits(logits)
    working = in_working_precision(logits)
    noise = _checks.noise(noise, working)
    tau, backward = _checks.guarded_temperatures(
        temperature, backward_temperature, working.dtype
    )

    @tf.custom_gradient
    def sample(logits, noise, backward):
        scaled = (logits + noise) / backward

        def grad(upstream):
            wrt_logits, wrt_tau = sigmoid_gradient(scaled, upstream, backward)
            return wrt_logits, wrt_logits, wrt_tau

        if hard:
            value = unless_nan(scaled, tf.cast(scaled > 0, scaled.dtype))
        elif backward_temperature is None:
            return tf.sigmoid(scaled), grad
        else:
            # A bad temperature of the gradient must show too: as NaN.
            bad = backward - backward
            value = tf.sigmoid((logits + noise) / (tau + bad))
        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(value), grad

    return tf.cast(sample(working, noise, backward), logits.dtype)
