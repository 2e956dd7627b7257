"""The straight-through estimators of Bengio et al."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    nan_rows,
    softmax_at,
    unless_nan,
    without_infinity,
)
from tfgumbel.ops import _index_gradients
from tfgumbel.ops._surrogate import surrogate
from tfgumbel.ops.gumbel_softmax import softmax_gradient


def straight_through_bernoulli(
    logits: Any, sample: Any, *, temperature: Any = 1.0
) -> tf.Tensor:
    """Bits whose gradient is that of their probability.

    Forward `sample`; backward g · p (1 - p) / τ with p = sigmoid(logits / τ).

    Args:
        logits: Log-odds of Bernoulli variables, of any shape.
        sample: The value, of the same shape: zeros and ones. Receives no
            gradient.
        temperature: τ > 0 of the backward pass, a number or a scalar tensor.

    Returns:
        `sample` in the dtype of the logits; NaN where these are.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.straight_through_bernoulli([0.3, -2.0], [1.0, 0.0]).numpy()
    array([1., 0.], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """
    logits = _checks.bernoulli_logits(logits)
    working = in_working_precision(logits)
    sample = _checks.of_logits("sample", sample, working)
    tau = _checks.guarded_temperature(temperature, working.dtype)

    @tf.custom_gradient
    def pass_through(logits, tau):
        def grad(upstream):
            return sigmoid_gradient(logits / tau, upstream, tau)

        return tf.stop_gradient(unless_nan(logits, sample)), grad

    return tf.cast(pass_through(working, tau), logits.dtype)


@surrogate(
    "st",
    bernoulli=straight_through_bernoulli,
    index_gradient=_index_gradients.straight_through,
)
def straight_through(
    logits: Any, sample: Any, *, temperature: Any = 1.0, axis: int = -1
) -> tf.Tensor:
    """A one-hot sample whose gradient is that of the probabilities.

    Forward `sample`; backward J(π) g / τ with π = softmax(logits / τ),
    J(π) = diag(π) - π πᵀ. The estimate of ∇E f is biased unless f is linear
    (at τ = 1). f must be differentiable.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        temperature: τ > 0 of the backward pass, a number or a scalar tensor.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits. A row with NaN logits is NaN.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive, the axis is out of
            range, or K < 2.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.constant([0.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     z = tg.ops.straight_through(logits, [0.0, 1.0])
    >>> tape.gradient(z, logits, tf.constant([0.0, 1.0])).numpy()
    array([-0.25,  0.25], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """
    logits = _checks.categorical_logits(logits, axis)
    working = in_working_precision(logits)
    sample = _checks.of_logits("sample", sample, working)
    tau = _checks.guarded_temperature(temperature, working.dtype)

    @tf.custom_gradient
    def pass_through(logits, tau):
        def grad(upstream):
            y = softmax_at(tau, without_infinity(logits), axis)
            return softmax_gradient(y, upstream, tau, axis)

        return tf.stop_gradient(sample + nan_rows(logits, axis)), grad

    return tf.cast(pass_through(working, tau), logits.dtype)


def sigmoid_gradient(
    scaled: tf.Tensor, upstream: tf.Tensor, temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of sigmoid(x / τ), given x / τ, with respect to x and τ."""
    slope = tf.sigmoid(scaled) * tf.sigmoid(-scaled)
    wrt_value = upstream * slope / temperature
    # slope decays faster than any power of `scaled`, but 0 · inf is NaN.
    finite = tf.clip_by_value(scaled, -1e30, 1e30)
    return wrt_value, -tf.reduce_sum(wrt_value * finite)
