"""Poisson variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._differences import log_excess, log_factorial_rest
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import from_log
from tfgumbel.distributions.capabilities import WeakDerivative
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("poisson")
class Poisson(Distribution):
    """z = 0, 1, 2, ... with P(z) = λ^z exp(-λ) / z!; the parameter is log λ.

    TensorFlow's sampler has no XLA kernel.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> poisson = tg.distributions.Poisson()
    >>> rate = poisson.constrain(tf.zeros([1, 1]))
    >>> round(float(poisson.log_prob(rate, tf.zeros([1, 1]))[0]), 4)
    -1.0
    """

    parameters: ClassVar = {"log_rate": from_log}
    inference: ClassVar = ("mode", "sample", "mean")
    standard: Sequence[Any] = (1.0,)
    compiles: ClassVar[bool] = False

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        (rate,) = parameters
        return tf.cast(tf.stop_gradient(random.poisson(rate, seed)), rate.dtype)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        (rate,) = parameters
        sample = tf.cast(sample, rate.dtype)
        count = tf.maximum(sample, np.finfo(rate.dtype.as_numpy_dtype).tiny)
        return -log_excess(rate, count) - log_factorial_rest(sample)

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return (sample / parameters[0] - 1.0,)

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        count = self.sample(parameters, seed)
        one = tf.ones_like(count)
        return {"log_rate": WeakDerivative(one, count + one, count)}

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.floor(parameters[0])

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        (rate,), (other,) = parameters, prior
        return log_excess(other, rate)
