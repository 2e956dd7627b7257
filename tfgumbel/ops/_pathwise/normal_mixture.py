"""Samples of a mixture of normal distributions."""

from __future__ import annotations

import math

import tensorflow as tf

from tfgumbel.ops._pathwise.followed import followed
from tfgumbel.ops._pathwise.normal_tails import log_normal_cdf, normal_cdf


def normal_mixture_sample(
    log_weights: tf.Tensor,
    means: tf.Tensor,
    stddevs: tf.Tensor,
    one_hot: tf.Tensor,
    normal: tf.Tensor,
) -> tf.Tensor:
    """z = Σ_k 1[k drawn] (μ_k + σ_k n), with the gradient of the mixture's cdf.

    With the responsibilities r_k of z, and q its density:
    ∂z/∂μ_k = r_k, ∂z/∂σ_k = r_k (z - μ_k) / σ_k, ∂z/∂log w_k = -w_k Φ_k / q
    (plus any constant in k, since Σ w = 1).

    Args:
        log_weights: Normalised log w, `[..., K]`.
        means: μ, `[..., K]`.
        stddevs: σ > 0, `[..., K]`.
        one_hot: The component drawn, `[..., K]`.
        normal: Standard normal noise, `[...]`.

    Returns:
        z, `[...]`.

    Reference:
        Figurnov, Mohamed, Mnih. Implicit reparameterization gradients.
        NeurIPS 2018.
    """
    chosen = one_hot * (means + stddevs * normal[..., None])
    z = tf.reduce_sum(chosen, axis=-1)

    def gradient(
        upstream: tf.Tensor,
        z: tf.Tensor,
        log_w: tf.Tensor,
        means: tf.Tensor,
        stddevs: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        slopes = normal_mixture_slopes(log_w, means, stddevs, z)
        return tuple(upstream[..., None] * slope for slope in slopes)

    return followed(z, gradient, log_weights, means, stddevs)


def normal_mixture_slopes(
    log_w: tf.Tensor, means: tf.Tensor, stddevs: tf.Tensor, z: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Derivatives of the quantile by log w, μ and σ, each `[..., K]`."""
    standard = (z[..., None] - means) / stddevs
    log_q = log_w - tf.math.log(stddevs * math.sqrt(2.0 * math.pi))
    log_q -= 0.5 * standard**2
    total = tf.reduce_logsumexp(log_q, axis=-1, keepdims=True)
    responsibility = tf.exp(log_q - total)
    by_stddev = tf.where(
        responsibility > 0.0, responsibility * standard, 0.0 * responsibility
    )
    by_weight = _by_weight(log_w, standard, total)
    return by_weight, responsibility, by_stddev


def _by_weight(
    log_w: tf.Tensor, standard: tf.Tensor, log_density: tf.Tensor
) -> tf.Tensor:
    """-w_k (Φ_k - F) / q, from the tail in which F is not rounded to 1."""
    weights = tf.exp(log_w)
    below = tf.reduce_sum(weights * normal_cdf(standard), -1, keepdims=True)
    sign = tf.where(below < 0.5, tf.ones_like(below), -1.0)
    log_tail = log_w + log_normal_cdf(sign * standard)
    log_all = tf.reduce_logsumexp(log_tail, axis=-1, keepdims=True)
    own = _bounded_exp(log_tail - log_density)
    return sign * (weights * _bounded_exp(log_all - log_density) - own)


def _bounded_exp(x: tf.Tensor) -> tf.Tensor:
    # 1 / q grows without bound where no component has its mass.
    return tf.exp(tf.minimum(x, 80.0))
