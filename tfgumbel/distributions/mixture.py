"""Mixtures of Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import one_hot_index
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("mixture")
class Mixture(Distribution):
    """Σ_k softmax(logits)_k N(μ_k, σ_k²), K components on the last axis.

    A sample is without that axis.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> mixture = tg.distributions.Mixture()
    >>> parts = tf.zeros([1, 2]), tf.constant([[1.0, 3.0]]), tf.zeros([1, 2])
    >>> mixture.mean(mixture.constrain(parts)).numpy()
    array([2.], dtype=float32)
    """

    parameters: ClassVar = {"logits": real, "mean": real, "stddev": positive}
    inference: ClassVar = ("mean", "sample")
    standard: Sequence[Any] = ([0.0], [0.0], [1.0])

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        super().check_shapes(shapes)
        _checks.categorical_shape(shapes[0], -1, "logits")

    def sample_shape(self, shapes: Sequence[Any]) -> tuple:
        return tuple(shapes[0][:-1])

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        """The prior as it is: it may have components of its own number."""
        return tuple(prior)

    def check_prior(
        self, prior: Sequence[Any], shapes: Sequence[Any], argument: str
    ) -> None:
        pass

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        logits, mean, stddev = parameters
        first, second = random.split(seed, 2)
        index = random.categorical(tf.stop_gradient(logits), first)
        return ops.normal_mixture_sample(
            tf.nn.log_softmax(logits),
            mean,
            stddev,
            one_hot_index(index, tf.stop_gradient(logits), -1),
            noise(random.normal, mean[..., 0], second),
        )

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        logits, mean, stddev = parameters
        deviation = (sample[..., None] - mean) / stddev
        log_scale = tf.math.log(stddev * math.sqrt(2.0 * math.pi))
        log_density = tf.nn.log_softmax(logits) - log_scale
        log_density -= 0.5 * deviation**2
        return tf.reduce_logsumexp(log_density, axis=-1)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        logits, mean, _ = parameters
        return tf.reduce_sum(tf.nn.softmax(logits) * mean, axis=-1)
