"""The Gumbel-softmax (Concrete) relaxation of a categorical sample."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    one_hot_argmax,
    softmax_at,
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
            on `axis`. -inf is allowed; a relaxed row of nothing else is NaN, a
            hard one the first category. Take `tf.nn.log_softmax` of rows of
            numbers beyond ±10^5, next to which float32 rounds the noise.
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
        wider. A row with NaN logits holds NaN, and no other row does: a hard
        one nothing else, a relaxed one of many categories numbers too. Its
        gradient is NaN.

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
    backward = tau = _checks.temperature_or_zero(temperature, working.dtype)
    if backward_temperature is not None:
        backward = _checks.temperature_or_zero(
            backward_temperature, working.dtype, "backward_temperature"
        )
    if backward is tau and not hard:
        sample = _soft(working, noise, tau, axis)
    else:
        forward = None if hard else tau
        sample = _decoupled(working, noise, forward, backward, axis)
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
        y = softmax_at(temperature, logits + noise, axis)

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
    forward: tf.Tensor | None,
    temperature: tf.Tensor,
    axis: int,
) -> tf.Tensor:
    """A value with the gradient of softmax((logits + noise) / temperature).

    The softmax at another temperature, `forward`, or `None` for the one-hot
    of the largest.
    """

    @tf.custom_gradient
    def sample(logits, noise, temperature):
        perturbed = without_infinity(logits) + noise

        def grad(upstream):
            y = softmax_at(temperature, perturbed, axis)
            wrt_logits, wrt_temperature = softmax_gradient(
                y, upstream, temperature, axis
            )
            return wrt_logits, wrt_logits, wrt_temperature

        # A bad temperature, which is 0, must show in the value too.
        one_or_nan = temperature / temperature
        if forward is None:
            value = one_hot_argmax(perturbed, axis, one_or_nan)
        else:
            value = softmax_at(forward * one_or_nan, perturbed, axis)
        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(value), grad

    return sample(logits, noise, temperature)
