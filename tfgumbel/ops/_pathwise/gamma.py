"""Gamma samples, as logarithms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel._precision import of_one_shape
from tfgumbel.ops._pathwise.followed import followed
from tfgumbel.ops._pathwise.proposals import first_accepted

# At least 95 % are accepted, whatever the concentration.
GAMMA_PROPOSALS = 8

# From here on float32 favours the asymptotic series.
_LARGE = 200.0
_SMALL_LOG_SAMPLE = -60.0


def log_gamma_sample(
    concentration: tf.Tensor,
    normal: tf.Tensor,
    uniform: tf.Tensor,
    exponential: tf.Tensor,
) -> tf.Tensor:
    """log z of z ~ Gamma(α, 1), with its implicit gradient in α.

    z = d (1 + t)³ e^{-E/α}: a sample of Gamma(α + 1, 1) by the method of
    Marsaglia and Tsang, times U^{1/α}. In logarithms, none underflows.

    Args:
        concentration: α > 0, of any shape.
        normal: Standard normal noise, `[GAMMA_PROPOSALS, *shape of α]`.
        uniform: Uniform noise on (0, 1) of the same shape.
        exponential: Exponential noise E of the shape of α.

    Returns:
        log z, of the shape of α.

    Reference:
        Marsaglia, Tsang. A simple method for generating gamma variables.
        ACM Transactions on Mathematical Software, 2000.
    """
    concentration, exponential = of_one_shape(concentration, exponential)
    log_z = _boosted(concentration, normal, uniform)
    log_z -= exponential / concentration

    def gradient(
        upstream: tf.Tensor, log_z: tf.Tensor, concentration: tf.Tensor
    ) -> tf.Tensor:
        return upstream * log_gamma_slope(concentration, log_z)

    return followed(log_z, gradient, concentration)


def _boosted(
    concentration: tf.Tensor, normal: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """Logarithm of a sample of Gamma(α + 1, 1)."""
    d = concentration + 2.0 / 3.0
    t = normal / (3.0 * tf.sqrt(d))
    inside = t > -1.0
    t = tf.where(inside, t, tf.zeros_like(t))
    # x²/2 + d - dv + d log v in [1], with v = (1 + t)³ and x = 3 √d t; for
    # large d only the first term of its series is left of the rounding.
    exact = tf.math.log1p(t) - t * (1.0 - t * (0.5 - t / 3.0))
    leading = -(t**4) / 4.0
    log_ratio = 3.0 * d * tf.where(d > 1e4, leading, exact)
    accepted = inside & (tf.math.log(uniform) < log_ratio)
    return tf.math.log(d) + 3.0 * tf.math.log1p(first_accepted(t, accepted))


def log_gamma_slope(concentration: tf.Tensor, log_z: tf.Tensor) -> tf.Tensor:
    """∂ log z / ∂α of the quantile function of Gamma(α, 1)."""
    large = concentration > _LARGE
    small = log_z < _SMALL_LOG_SAMPLE
    safe_log_z = tf.where(large | small, tf.zeros_like(log_z), log_z)
    safe_z = tf.exp(safe_log_z)
    alpha = tf.where(large, tf.ones_like(log_z), concentration)
    middle = _random_gamma_grad(alpha, safe_z)
    slope = tf.where(small, _lower_tail(concentration, log_z), middle / safe_z)
    return tf.where(large, _asymptotic(concentration, log_z), slope)


@tf.custom_gradient
def _random_gamma_grad(alpha: tf.Tensor, z: tf.Tensor) -> Any:
    """∂z/∂α of the quantile function, of which TensorFlow has no derivative."""

    def grad(upstream: tf.Tensor) -> Any:
        raise LookupError(
            "Samples of gamma variables, and of beta, Dirichlet and Student's "
            "t variables, which are made of them, have a first derivative in "
            "the concentration or degrees of freedom, and no second one. "
            "'reinforce' and 'nvil' have one for every distribution"
        )

    return tf.raw_ops.RandomGammaGrad(alpha=alpha, sample=z), grad


def _lower_tail(concentration: tf.Tensor, log_z: tf.Tensor) -> tf.Tensor:
    # There F = z^α / Γ(α + 1).
    shift = tf.math.digamma(concentration + 1.0) - log_z
    return shift / concentration


def _asymptotic(concentration: tf.Tensor, log_z: tf.Tensor) -> tf.Tensor:
    # Temme's uniform expansion of the quantile in 1/α [2], differentiated;
    # μ = z/α - 1 and η² = 2 (μ - log(1 + μ)). What is left out is O(α⁻³).
    # [2] Temme. Asymptotic inversion of incomplete gamma functions. 1992.
    log_ratio = log_z - tf.math.log(concentration)
    mu = tf.math.expm1(tf.clip_by_value(log_ratio, -1.0, 1.0))
    near = tf.abs(mu) < 0.1
    far_mu = tf.where(near, tf.ones_like(mu), mu)
    far = 2.0 * (far_mu - tf.math.log1p(far_mu)) / far_mu**2
    close = 1 - mu * (
        2 / 3 - mu * (1 / 2 - mu * (2 / 5 - mu * (1 / 3 - mu * 2 / 7)))
    )
    ratio = tf.where(near, close, far)  # η² / μ²
    series = 1 / 3 - mu * (1 / 6 - mu * (1 / 10 - mu / 15))
    second = tf.where(near, series, ((1 + far_mu) * far - 1) / far_mu)
    return (1 - mu * ratio / 2 + second / (2 * concentration)) / concentration
