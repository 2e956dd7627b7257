"""The second-order straight-through estimator ReinMax."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import softmax, softmax_at, working_dtype
from tfgumbel.ops import _index_gradients
from tfgumbel.ops._surrogate import (
    softmax_jacobian,
    surrogate,
    with_gradient,
)


@surrogate("reinmax", index_gradient=_index_gradients.reinmax)
def reinmax(
    logits: Any, sample: Any, *, temperature: Any = 1.0, axis: int = -1
) -> tf.Tensor:
    """A one-hot sample D with the ReinMax gradient.

    Forward `sample`; backward, for an incoming gradient g,

        2 J(π_D) g - ½ J(π) g,   π_D = (softmax(logits / τ) + D) / 2,

    with π = softmax(logits). It follows from Heun's rule for the integral
    between two categories, where straight-through follows from Euler's. At
    τ = 1 the estimate is exact in expectation for quadratic f; otherwise
    biased. A larger τ trades bias for variance. f must be differentiable.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        temperature: τ > 0 of the backward pass; the authors use τ ≥ 1.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive, the axis is out of
            range, or K < 2.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.constant([0.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     z = tg.ops.reinmax(logits, [0.0, 1.0])
    >>> tape.gradient(z, logits, tf.constant([0.0, 1.0])).numpy()
    array([-0.25,  0.25], dtype=float32)

    Reference:
        Liu, Dong, Liu, Yu, Gao. Bridging discrete and backpropagation:
        straight-through and beyond. NeurIPS 2023.
    """
    logits = _checks.categorical_logits(logits, axis)
    dtype = working_dtype(logits.dtype)
    tau = _checks.guarded_temperature(temperature, dtype)

    def gradient(logits, sample, upstream):
        middle = 0.5 * (softmax_at(tau, logits, -1) + sample)
        second = softmax_jacobian(middle, upstream)
        first = softmax_jacobian(softmax(logits, -1), upstream)
        return 2.0 * second - 0.5 * first

    return with_gradient(logits, sample, axis, gradient)
