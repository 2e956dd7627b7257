"""The Gumbel-softmax (Concrete) relaxation of a categorical sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    nan_rows,
    one_hot_argmax,
    without_infinity,
)


def gumbel_softmax(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    hard: bool = False,
    axis: int = -1,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Gumbel-softmax sample y = softmax((logits + G) / τ).

    With `hard=True` this is straight-through Gumbel-softmax: the value is
    one-hot(argmax y), an exact categorical sample, and the gradient is that
    of y. Pathwise gradients of E f(y) are unbiased for the relaxed problem;
    for the discrete problem E f(one-hot) they are biased, and the bias
    shrinks with τ while the variance grows. f must be differentiable.

    The gradient with respect to the logits, for an incoming gradient g, is
    J(y) g / τ with J(y) = diag(y) - y yᵀ. Only y is kept for it (or, with
    `hard=True`, the perturbed logits). The noise receives the same gradient,
    the temperature receives ∂y/∂τ, and second derivatives are right.

    With a `backward_temperature` τ_b the value is as before and the gradient
    is that of softmax((logits + G) / τ_b): J(y_b) g / τ_b. A hard value
    depends on no temperature; where the forward temperature τ_f is meant to
    sharpen the distribution that is sampled, as in decoupled
    straight-through, pass logits / τ_f and a backward temperature of τ_b / τ_f.

    Args:
        logits: Unnormalised log-probabilities, float tensor with K categories
            on `axis`. -inf is allowed.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.
        temperature: τ > 0, a number or a scalar tensor.
        hard: Whether to return one-hot values.
        axis: Axis of the categories.
        backward_temperature: τ_b > 0, another temperature for the gradient,
            a number or a scalar tensor; `temperature` then receives none.
            `None` for the same.

    Returns:
        A tensor of the shape and dtype of `logits`. Computed in float32 or
        wider. A row with NaN logits is NaN; no other row is.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN), the axis is out of range, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.gumbel_softmax([1.0, 2.0], noise=[0.5, -0.5], hard=True).numpy()
    array([1., 0.], dtype=float32)

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017. Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
        Shah, Yan, Mozer, Liu. Improving discrete optimisation via decoupled
        straight-through Gumbel-softmax. 2024.
    """
    logits = _checks.categorical_logits(logits, axis)
    working = in_working_precision(logits)
    noise = _checks.noise(noise, working)
    tau = _checks.guarded_temperature(temperature, working.dtype)
    if backward_temperature is None and not hard:
        sample = _soft(working, noise, tau, axis)
    else:
        value = _one_hot(axis) if hard else _softmax(tau, axis)
        if backward_temperature is not None:
            tau = _checks.guarded_temperature(
                backward_temperature, working.dtype, "backward_temperature"
            )
        sample = _decoupled(working, noise, tau, axis, value)
    return tf.cast(sample, logits.dtype)


def softmax_gradient(
    y: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor, axis: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of y = softmax(x / τ) with respect to x and to τ.

    The second needs log y only up to a constant per row, since the rows of
    J(y) g sum to zero: no other tensor than y has to be kept.
    """
    mean = tf.reduce_sum(y * upstream, axis=axis, keepdims=True)
    centred = (upstream - mean) / temperature
    wrt_temperature = -tf.reduce_sum(centred * tf.math.xlogy(y, y))
    return centred * y, wrt_temperature


def _soft(
    logits: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor, axis: int
) -> tf.Tensor:
    @tf.custom_gradient
    def sample(logits, noise, temperature):
        y = _softmax(temperature, axis)(without_infinity(logits) + noise)

        def grad(upstream):
            wrt_logits, wrt_temperature = softmax_gradient(
                y, upstream, temperature, axis
            )
            return wrt_logits, wrt_logits, wrt_temperature

        return y, grad

    return sample(logits, noise, temperature)


def _decoupled(
    logits: tf.Tensor,
    noise: tf.Tensor,
    temperature: tf.Tensor,
    axis: int,
    value: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """`value` of the perturbed logits, with the softmax's gradient."""

    @tf.custom_gradient
    def sample(logits, noise, temperature):
        perturbed = without_infinity(logits) + noise

        def grad(upstream):
            y = tf.nn.softmax(perturbed / temperature, axis=axis)
            wrt_logits, wrt_temperature = softmax_gradient(
                y, upstream, temperature, axis
            )
            return wrt_logits, wrt_logits, wrt_temperature

        # A bad temperature must show in the value too.
        bad = tf.where(temperature > 0, 0.0 * temperature, temperature)
        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(value(perturbed) + bad), grad

    return sample(logits, noise, temperature)


def _one_hot(axis: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda perturbed: one_hot_argmax(perturbed, axis)


def _softmax(
    temperature: tf.Tensor, axis: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    def value(perturbed: tf.Tensor) -> tf.Tensor:
        # In the divisor, so that it costs no pass of its own.
        divisor = temperature + nan_rows(perturbed, axis)
        return tf.nn.softmax(perturbed / divisor, axis=axis)

    return value
