"""The minimum-variance second-order straight-through estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import nan_unless, working_dtype
from tfgumbel.ops._surrogate import (
    softmax_jacobian,
    surrogate,
    with_gradient,
)


@surrogate("mve")
def minimum_variance_straight_through(
    logits: Any, sample: Any, *, temperature: Any = 1.0, axis: int = -1
) -> tf.Tensor:
    """A one-hot sample with the minimum-variance straight-through gradient.

    Forward `sample`, category x; backward S_xᵀ g. Among all matrices S_x that
    are exact in expectation for linear f, these minimise an expected squared
    error in which τ weighs the second-order terms of f: τ → 0 is
    straight-through, and τ → ∞ is exact in expectation for quadratic f, with
    the least variance of all such estimators. With p = softmax(logits),

        S_x[i, :] ∝ (1 + τ p_i) v_i - τ p_i v_x + τ δ_ix J_x,

    over 1 + τ (p_i + p_x), and v the solution of one K × K linear system per
    row: O(K³) time and O(K²) memory. f must be differentiable.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        sample: The value, of the same shape: a one-hot sample of
            softmax(logits). Receives no gradient.
        temperature: τ > 0. Here it is no temperature of a softmax: large
            values lower the bias. The authors raise it from 1 to 10⁶ during
            training; at 1 the gradient is close to straight-through.
        axis: Axis of the categories.

    Returns:
        `sample` in the dtype of the logits.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive, the axis is out of
            range, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.minimum_variance_straight_through([0.0, 5.0], [1.0, 0.0]).numpy()
    array([1., 0.], dtype=float32)

    Reference:
        Hooper, Shekhovtsov. Generalized and optimal straight-through
        estimators. 2026.
    """
    logits = _checks.categorical_logits(logits, axis)
    dtype = working_dtype(logits.dtype)
    tau = _checks.guarded_temperature(temperature, dtype)

    def gradient(logits, sample, upstream):
        # A solver that meets NaN, or a softmax of inf, fails for all rows.
        finite = tf.reduce_all(
            tf.math.is_finite(logits), axis=-1, keepdims=True
        )
        p = tf.nn.softmax(tf.where(finite, logits, tf.zeros_like(logits)))
        chosen = tf.reduce_sum(p * sample, axis=-1, keepdims=True)
        scaled = upstream / (1.0 + tau * (p + chosen))
        weight = (1.0 + tau * p) * scaled
        weight -= sample * tf.reduce_sum(
            tau * p * scaled, axis=-1, keepdims=True
        )
        # v = A⁻¹ B is needed only as Bᵀ A⁻¹ weight: one solve, A symmetric.
        # The entries of `weight` add up to those of `scaled`.
        total = tf.reduce_sum(scaled, axis=-1, keepdims=True)
        solved = _solve(p, tau, weight, total)
        ratio = (1.0 + tau * p) / (1.0 + 2.0 * tau * p)
        vector = ratio * solved + tau * sample * scaled
        return softmax_jacobian(p, vector) + nan_unless(finite, dtype)

    return with_gradient(logits, sample, axis, gradient)


def _solve(
    p: tf.Tensor, tau: tf.Tensor, right: tf.Tensor, total: tf.Tensor
) -> tf.Tensor:
    """A⁻¹ `right`, whose entries add up to `total`, for every row.

    A is symmetric and its rows add up to e > 0, so that the solution x has
    eᵀx = `total`. As τ grows e vanishes, and A is all but singular. To add s
    times this equation, A + s e eᵀ and s e `total`, changes nothing else: A is
    positive definite then by a margin, and Cholesky's half of the work of a
    general solver is enough.
    """
    rows, columns = p[..., :, None], p[..., None, :]
    share = columns / (1.0 + tau * (rows + columns))
    sums = tf.reduce_sum(share, axis=-1)
    diagonal = (1.0 + tau * p) * sums
    size = tf.sqrt(tf.reduce_sum(diagonal, axis=-1, keepdims=True))
    size /= tf.reduce_sum(sums, axis=-1, keepdims=True)
    extra = size * sums
    matrix = tf.linalg.diag(diagonal) - tau * rows * share
    matrix += extra[..., :, None] * extra[..., None, :]
    right += size * total * extra
    factor = tf.linalg.cholesky(matrix)
    return tf.linalg.cholesky_solve(factor, right[..., None])[..., 0]
