"""Exponential variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import from_log
from tfgumbel.distributions.capabilities import WeakDerivative
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("exponential")
class Exponential(Distribution):
    """z > 0 with density λ exp(-λ z); the parameter is log λ.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> exponential = tg.distributions.Exponential()
    >>> exponential.mean(exponential.constrain(tf.zeros([1, 2]))).numpy()
    array([[1., 1.]], dtype=float32)
    """

    parameters: ClassVar = {"log_rate": from_log}
    standard: Sequence[Any] = (1.0,)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        (rate,) = parameters
        return noise(random.exponential, rate, seed) / rate

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        (rate,) = parameters
        return tf.math.log(rate) - rate * sample

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return (1.0 / parameters[0] - sample,)

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        # Exp(λ) against the sum of two, with the first in common.
        first, second = random.split(seed, 2)
        one = self.reparameterize(parameters, first)
        two = one + self.reparameterize(parameters, second)
        return {"log_rate": WeakDerivative(1.0 / parameters[0], one, two)}

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return 1.0 / parameters[0]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.zeros_like(parameters[0])

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        ratio = prior[0] / parameters[0]
        return ratio - 1.0 - tf.math.log(ratio)
