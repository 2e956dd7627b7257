"""Von Mises variables: angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.capabilities import Mean
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("von_mises")
class VonMises(Distribution):
    """Angles in [-π, π] around μ, of concentration κ.

    A pathwise gradient is that of a function of the circle: f must be
    continuous where -π meets π.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> von_mises = tg.distributions.VonMises()
    >>> q = von_mises.constrain((tf.fill([1, 1], 7.0), tf.zeros([1, 1])))
    >>> von_mises.mean(q).numpy().round(3)  # 7 - 2π
    array([[0.717]], dtype=float32)
    """

    parameters: ClassVar = {"location": real, "concentration": positive}
    standard: Sequence[Any] = (0.0, 1e-6)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        location, concentration = parameters
        first, second, third = random.split(seed, 3)
        count = ops.VON_MISES_PROPOSALS
        angle = ops.von_mises_sample(
            concentration,
            noise(random.uniform, location, first, count),
            noise(random.uniform, location, second, count),
            noise(random.uniform, location, third),
        )
        return _wrapped(location + angle)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        return self._tfp(parameters).log_prob(sample)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return _wrapped(parameters[0])

    mode = mean

    def lacks(self, capability: type) -> str | None:
        if capability is Mean:
            return "the mean is that of the direction, not E z"
        return super().lacks(capability)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return self._tfp(parameters).kl_divergence(self._tfp(prior))

    def _tfp(self, parameters: Parameters) -> Any:
        from tensorflow_probability import distributions as tfd

        return tfd.VonMises(*parameters)


def _wrapped(angle: tf.Tensor) -> tf.Tensor:
    """The same angle in [-π, π]."""
    return angle - 2.0 * math.pi * tf.round(angle / (2.0 * math.pi))
