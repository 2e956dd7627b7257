"""Gamma variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._differences import (
    gamma_remainder,
    log_excess,
    stirling,
)
from tfgumbel.distributions._noise import log_gamma, noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import finite_exp, positive_log
from tfgumbel.distributions.bijections import positive
from tfgumbel.distributions.capabilities import (
    WeakDerivative,
    WeaklyDifferentiable,
)
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("gamma")
class Gamma(Distribution):
    """z > 0 with density β^α z^(α-1) exp(-β z) / Γ(α), of mean α / β.

    Args:
        fixed: As in `Distribution`. There is a weak derivative in the rate
            only: the measure-valued estimator needs `fixed="concentration"`.

    Example:

    >>> import tfgumbel as tg
    >>> gamma = tg.distributions.Gamma(fixed="concentration")
    >>> tg.estimators.MeasureValued(gamma).distribution
    Gamma(fixed=['concentration'])
    """

    parameters: ClassVar = {"concentration": positive, "rate": positive}
    standard: Sequence[Any] = (1.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        concentration, rate = parameters
        return finite_exp(log_gamma(concentration, seed) - tf.math.log(rate))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        # With u = β z / α, α (log u - u + 1) and a remainder of Stirling's
        # formula: differences of large terms are taken by hand.
        concentration, rate = parameters
        sample = tf.cast(sample, rate.dtype)
        excess = rate * sample / concentration - 1.0
        near = tf.abs(excess) < 0.5
        log_ratio = tf.where(
            near,
            tf.math.log1p(tf.where(near, excess, tf.zeros_like(excess))),
            positive_log(sample) + tf.math.log(rate / concentration),
        )
        density = concentration * (log_ratio - excess)
        return density + stirling(concentration) - positive_log(sample)

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        # Gamma(α) against Gamma(α + 1), its sum with an exponential.
        concentration, rate = parameters
        first, second = random.split(seed, 2)
        lower = self.reparameterize(parameters, first)
        more = noise(random.exponential, rate, second) / rate
        constant = concentration / rate
        return {"rate": WeakDerivative(constant, lower, lower + more)}

    def lacks(self, capability: type) -> str | None:
        if capability is WeaklyDifferentiable:
            return unless_fixed(self, "concentration")
        return super().lacks(capability)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0] / parameters[1]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.nn.relu(parameters[0] - 1.0) / parameters[1]

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        (concentration, rate), (other, prior_rate) = parameters, prior
        scaled = concentration * (prior_rate / rate)
        return log_excess(scaled, other) + gamma_remainder(concentration, other)


def unless_fixed(distribution: Distribution, parameter: str) -> str | None:
    """The refusal of a weak derivative while the parameter is learned."""
    if parameter in distribution.fixed:
        return None
    cls = type(distribution).__name__
    return (
        f"there is no weak derivative in {parameter!r} (make it a constant: "
        f"distributions.{cls}(fixed={parameter!r}))"
    )
