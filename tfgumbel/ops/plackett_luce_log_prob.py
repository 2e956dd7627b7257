"""Log-probability of an order under the Plackett-Luce distribution."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    nan_rows,
    without_infinity,
)


def plackett_luce_log_prob(logits: Any, order: Any) -> tf.Tensor:
    """log q(π) = Σ_t [s_{π_t} - log Σ_{u≥t} exp(s_{π_u})], s the logits.

    Items are drawn one after the other, each from the softmax of those that
    are left: `sample_permutation` draws so, and `gumbel_top_k` the first k. Of
    an order that names only the first k items, the probability is that of any
    order that begins so.

    Args:
        logits: Unnormalised log-probabilities of the items, `[..., n]`. -inf
            stands last; among several such items the order has no probability
            of its own.
        order: Indices of items, first to last, `[..., k]`, k ≤ n.

    Returns:
        Log-probability in nats, `[...]`, in float32 or wider.

    Raises:
        TypeError: If the logits are not floating or the order holds no
            integers.
        ValueError: If the logits have no axis, or the shape of the order does
            not go with theirs.

    Example:

    >>> import tfgumbel as tg
    >>> log_prob = tg.ops.plackett_luce_log_prob([0.0, 0.0, 0.0], [2, 0, 1])
    >>> round(float(log_prob), 4)  # -log 6
    -1.7918

    Reference:
        Plackett. The analysis of permutations. Applied Statistics 1975. Luce.
        Individual choice behavior. 1959.
    """
    logits = item_logits(logits)
    order = _order(order, logits)
    working = in_working_precision(logits)
    scores = without_infinity(working)
    ordered = tf.gather(scores, order, batch_dims=scores.shape.rank - 1)
    if order.shape[-1] != logits.shape[-1]:
        ordered = tf.concat([ordered, _rest(scores, order)], axis=-1)
    return _log_prob(ordered + nan_rows(working, -1))


def item_logits(logits: Any) -> tf.Tensor:
    """Returns the logits of items to be ordered as a tensor, checked."""
    logits = _checks.floating_tensor("logits", logits)
    if not logits.shape.rank or not logits.shape[-1]:
        raise ValueError(
            "Argument `logits` must be of shape [..., n], with a known number "
            f"of items n, at least 1. Received: logits of shape {logits.shape}"
        )
    return logits


def _order(order: Any, logits: tf.Tensor) -> tf.Tensor:
    order = _checks.integers("order", order)
    fits = order.shape.rank == logits.shape.rank and (
        order.shape[:-1].is_compatible_with(logits.shape[:-1])
    )
    if not fits or not 0 < (order.shape[-1] or 0) <= logits.shape[-1]:
        raise ValueError(
            "Argument `order` must be of shape [..., k], k ≤ n, for logits of "
            f"shape {logits.shape}. Received: order of shape {order.shape}"
        )
    return order


def _rest(scores: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Log-sum-exp of the items that the order does not name, `[..., 1]`."""
    n = scores.shape[-1]
    named = tf.reduce_sum(tf.one_hot(order, n, dtype=scores.dtype), axis=-2)
    lowest = tf.cast(-float("inf"), scores.dtype)
    left = tf.where(named > 0, lowest, scores)
    return tf.reduce_logsumexp(left, axis=-1, keepdims=True)


def _log_prob(ordered: tf.Tensor) -> tf.Tensor:
    """Σ_t (s_t - L_t), L_t = log Σ_{u≥t} exp(s_u), on the last axis."""

    @tf.custom_gradient
    def log_prob(ordered: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            # 1 - Σ_{t≤j} exp(s_j - L_t)
            left = tf.math.cumulative_logsumexp(ordered, axis=-1, reverse=True)
            chances = tf.math.cumulative_logsumexp(-left, axis=-1)
            return upstream[..., None] * (1.0 - tf.exp(ordered + chances))

        left = tf.math.cumulative_logsumexp(ordered, axis=-1, reverse=True)
        return tf.reduce_sum(ordered - left, axis=-1), grad

    return log_prob(ordered)
