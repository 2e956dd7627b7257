"""Weibull variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._differences import log_ratio
from tfgumbel.distributions._log_gamma import log_gamma
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import positive_log
from tfgumbel.distributions.bijections import from_log, positive
from tfgumbel.distributions.capabilities import (
    WeakDerivative,
    WeaklyDifferentiable,
)
from tfgumbel.distributions.distribution import Distribution, Parameters
from tfgumbel.distributions.gamma import unless_fixed

# e to this power times its square is finite, as is the inverse.
_LOG_LIMIT = 60.0
# The least scale, exp(-30), times e to this power is a normal number.
_LEAST_LOG_POWER = -57.0


@register("weibull")
class Weibull(Distribution):
    """z > 0 with P(z > x) = exp(-(x / λ)^k).

    Args:
        fixed: As in `Distribution`. There is a weak derivative in the scale
            only: the measure-valued estimator needs `fixed="concentration"`.

    Example:

    >>> import tfgumbel as tg
    >>> tg.distributions.get("weibull", fixed="concentration").learned()
    ['log_scale']
    """

    parameters: ClassVar = {"concentration": positive, "log_scale": from_log}
    standard: Sequence[Any] = (1.0, 1.0)

    def _power(self, parameters: Parameters, standard: tf.Tensor) -> tf.Tensor:
        concentration, scale = parameters
        log_power = positive_log(standard) / concentration
        return scale * tf.exp(
            tf.clip_by_value(log_power, _LEAST_LOG_POWER, _LOG_LIMIT / 2.0)
        )

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        standard = noise(random.exponential, parameters[0], seed)
        return self._power(parameters, standard)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        concentration, scale = parameters
        log_size = log_ratio(tf.cast(sample, scale.dtype), scale)
        log_power = concentration * log_size
        density = tf.math.log(concentration / scale) + log_power - log_size
        return density - tf.exp(tf.minimum(log_power, _LOG_LIMIT))

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        # (z/λ)^k is exponential: the sum of two against the first of them.
        concentration, scale = parameters
        first, second = random.split(seed, 2)
        one = noise(random.exponential, scale, first)
        two = one + noise(random.exponential, scale, second)
        positive, negative = (self._power(parameters, x) for x in (two, one))
        constant = concentration / scale
        return {"log_scale": WeakDerivative(constant, positive, negative)}

    def lacks(self, capability: type) -> str | None:
        if capability is WeaklyDifferentiable:
            return unless_fixed(self, "concentration")
        return super().lacks(capability)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        concentration, scale = parameters
        log_mean = log_gamma(1.0 + 1.0 / concentration)
        return scale * tf.exp(tf.minimum(log_mean, _LOG_LIMIT / 2.0))

    def mode(self, parameters: Parameters) -> tf.Tensor:
        concentration, _ = parameters
        return self._power(
            parameters, tf.nn.relu(1.0 - 1.0 / concentration)
        ) * tf.cast(concentration > 1.0, concentration.dtype)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        # E (z/λ₀)^k₀ = (λ/λ₀)^k₀ Γ(1 + k₀/k), and E log z = log λ - γ/k.
        (k, scale), (k0, scale0) = parameters, prior
        log_scale = tf.math.log(scale / scale0)
        ratio = tf.math.log(k / k0) - (k - k0) * np.euler_gamma / k
        moment = k0 * log_scale + tf.math.lgamma(1.0 + k0 / k)
        moment = tf.exp(tf.minimum(moment, _LOG_LIMIT))
        return ratio - k0 * log_scale + moment - 1.0
