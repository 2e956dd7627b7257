"""Closed-form Kullback-Leibler divergences KL(q‖p), in nats."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    finite_log_odds,
    finite_logits,
    in_working_precision,
)


def categorical_kl(
    logits: Any, prior_logits: Any = None, *, axis: int = -1
) -> tf.Tensor:
    """KL(q ‖ p) = Σ_k q_k (log q_k - log p_k) of two softmaxes.

    Args:
        logits: Logits of q, with K categories on `axis`.
        prior_logits: Logits of p, broadcastable to `logits`; `None` for the
            uniform prior.
        axis: Axis of the categories.

    Returns:
        Divergence per variable in nats, of the shape of the logits without
        `axis`, in float32 or wider. Never below zero beyond rounding.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the axis is out of range or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.categorical_kl([1.0, 1.0, 1.0]))
    0.0
    """
    logits = finite_logits(_checks.categorical_logits(logits, axis))
    log_q = tf.nn.log_softmax(logits, axis=axis)
    if prior_logits is None:
        categories = tf.cast(tf.shape(logits)[axis], logits.dtype)
        log_p = -tf.math.log(categories)
    else:
        if axis >= 0 and logits.shape.rank is not None:
            axis -= logits.shape.rank  # the prior may have fewer axes
        prior = finite_logits(_checks.categorical_logits(prior_logits, axis))
        log_p = tf.nn.log_softmax(tf.cast(prior, logits.dtype), axis=axis)
    # exp(log_q) is exactly 0 where log_q is hugely negative, and 0 · finite
    # is 0: no category is ever compared as 0 · -inf.
    return tf.reduce_sum(tf.exp(log_q) * (log_q - log_p), axis=axis)


def bernoulli_kl(logits: Any, prior_logits: Any = 0.0) -> tf.Tensor:
    """KL(Bernoulli(sigmoid(logits)) ‖ Bernoulli(sigmoid(prior_logits))).

    Args:
        logits: Log-odds of q, of any shape.
        prior_logits: Log-odds of p, broadcastable to `logits`; 0 is the
            uniform prior.

    Returns:
        Divergence per variable in nats, in float32 or wider.

    Raises:
        TypeError: If the logits are not floating.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.bernoulli_kl(0.0))
    0.0
    """
    logits = _checks.bernoulli_logits(logits)
    logits = finite_log_odds(logits)
    prior = finite_log_odds(tf.cast(prior_logits, logits.dtype))
    on = tf.math.log_sigmoid(logits) - tf.math.log_sigmoid(prior)
    off = tf.math.log_sigmoid(-logits) - tf.math.log_sigmoid(-prior)
    return tf.sigmoid(logits) * on + tf.sigmoid(-logits) * off


def gaussian_kl(
    mean: Any, stddev: Any, prior_mean: Any = 0.0, prior_stddev: Any = 1.0
) -> tf.Tensor:
    """KL(N(μ, σ²) ‖ N(μ₀, σ₀²)) = log(σ₀/σ) + (σ² + (μ - μ₀)²)/(2σ₀²) - ½.

    Args:
        mean: μ, of any shape.
        stddev: σ > 0 of the same shape.
        prior_mean: μ₀, broadcastable.
        prior_stddev: σ₀ > 0, broadcastable.

    Returns:
        Divergence per coordinate in nats, in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.gaussian_kl(1.0, 1.0))
    0.5
    """
    mean = in_working_precision(_checks.floating_tensor("mean", mean))
    ratio = tf.cast(stddev, mean.dtype) / tf.cast(prior_stddev, mean.dtype)
    shift = (mean - tf.cast(prior_mean, mean.dtype)) / tf.cast(
        prior_stddev, mean.dtype
    )
    return 0.5 * (tf.square(ratio) + tf.square(shift) - 1.0) - tf.math.log(
        ratio
    )


def gaussian_tril_kl(
    mean: Any,
    scale_tril: Any,
    prior_mean: Any = 0.0,
    prior_stddev: Any = 1.0,
    *,
    prior_scale_tril: Any = None,
) -> tf.Tensor:
    """KL(N(μ, L Lᵀ) ‖ N(μ₀, σ₀² I)), or ‖ N(μ₀, L₀ L₀ᵀ)).

    Σ_i log(σ₀/L_ii) + (‖L‖² + ‖μ - μ₀‖²)/(2σ₀²) - D/2, where σ₀ may differ
    between the coordinates: the i-th weighs the i-th row of L. With an L₀, the
    same of L₀⁻¹ L and L₀⁻¹ (μ - μ₀), and σ₀ = 1.

    Args:
        mean: μ, `[..., D]`.
        scale_tril: L, lower triangular with a positive diagonal,
            `[..., D, D]`, as from `gaussian_tril`.
        prior_mean: μ₀, broadcastable to μ.
        prior_stddev: σ₀ > 0, broadcastable to μ.
        prior_scale_tril: L₀, of the shape of L, in place of σ₀.

    Returns:
        Divergence per vector in nats, `[...]`, in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.gaussian_tril_kl([1.0, 0.0], [[1.0, 0.0], [2.0, 1.0]]))
    2.5
    """
    mean = _checks.floating_tensor("mean", mean)
    scale_tril = in_working_precision(tf.convert_to_tensor(scale_tril))
    if prior_scale_tril is not None:
        factor = tf.cast(prior_scale_tril, scale_tril.dtype)
        shift = tf.cast(mean, factor.dtype) - tf.cast(prior_mean, factor.dtype)
        scale_tril = tf.linalg.triangular_solve(factor, scale_tril)
        mean = tf.linalg.triangular_solve(factor, shift[..., None])[..., 0]
        prior_mean, prior_stddev = 0.0, 1.0
    diagonal = tf.linalg.diag_part(scale_tril)
    below = tf.linalg.set_diag(scale_tril, tf.zeros_like(diagonal))
    below /= tf.cast(prior_stddev, below.dtype)[..., None]
    per_coordinate = gaussian_kl(mean, diagonal, prior_mean, prior_stddev)
    per_coordinate += 0.5 * tf.reduce_sum(tf.square(below), axis=-1)
    return tf.reduce_sum(per_coordinate, axis=-1)
