"""Beta variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._noise import log_gamma
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import inside
from tfgumbel.distributions.bijections import positive
from tfgumbel.distributions.dirichlet import (
    dirichlet_kl,
    dirichlet_log_prob,
)
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("beta")
class Beta(Distribution):
    """z in (0, 1): X / (X + Y) of gamma variables X and Y.

    Its gradient is that of the two.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> beta = tg.distributions.Beta()
    >>> beta.mean(beta.constrain((tf.zeros([1, 1]), tf.zeros([1, 1])))).numpy()
    array([[0.5]], dtype=float32)
    """

    parameters: ClassVar = {
        "concentration1": positive,
        "concentration0": positive,
    }
    inference: ClassVar = ("mean", "sample")
    standard: Sequence[Any] = (1.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        first, second = random.split(seed, 2)
        log_odds = log_gamma(parameters[0], first)
        log_odds -= log_gamma(parameters[1], second)
        return inside(tf.sigmoid(log_odds))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        concentration = tf.stack(parameters, axis=-1)
        both = tf.stack([sample, 1.0 - sample], axis=-1)
        return dirichlet_log_prob(concentration, both)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0] / (parameters[0] + parameters[1])

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return dirichlet_kl(
            *(tf.stack(q, axis=-1) for q in (parameters, prior))
        )
