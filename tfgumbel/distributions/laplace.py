"""Laplace variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("laplace")
class Laplace(Distribution):
    """The Laplace distribution around μ, of scale b: a signed exponential.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> laplace = tg.distributions.Laplace()
    >>> q = laplace.constrain((tf.ones([1, 1]), tf.zeros([1, 1])))
    >>> laplace.mean(q).numpy()
    array([[1.]], dtype=float32)
    """

    parameters: ClassVar = {"location": real, "scale": positive}
    standard: Sequence[Any] = (0.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        location, scale = parameters
        first, second = random.split(seed, 2)
        size = noise(random.exponential, location, first)
        sign = noise(random.uniform, location, second) < 0.5
        return location + scale * tf.where(sign, -size, size)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        location, scale = parameters
        return -tf.abs(sample - location) / scale - tf.math.log(2.0 * scale)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    mode = mean

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        location, scale = parameters
        prior_location, prior_scale = prior
        apart = location - prior_location
        # With a side at zero, too: of `tf.abs` there would be no curvature.
        side = tf.where(apart < 0, -tf.ones_like(apart), tf.ones_like(apart))
        apart *= side
        ratio = scale / prior_scale
        nearness = ratio * tf.exp(-apart / scale)
        return apart / prior_scale + nearness - 1.0 - tf.math.log(ratio)
