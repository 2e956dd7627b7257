"""Perturbed parameters, their sample, and others drawn anew given it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions import Conditioned, Distribution, Parameters
from tfgumbel.estimators.algebra import score


class Coupled:
    """z, its sample b, and z̃ drawn anew given b.

    All in terms of fixed noise, so that z and z̃ can be formed again as
    differentiable functions of the parameters.
    """

    def __init__(
        self, distribution: Distribution, parameters: Parameters, seed: Any
    ) -> None:
        assert isinstance(distribution, Conditioned)
        self._distribution: Conditioned = distribution
        self._noise = distribution.noise(parameters, seed)
        again = random.split(seed, 1)[0]
        self._second_noise = distribution.noise(parameters, again)
        perturbed = distribution.perturb(parameters, self._noise)
        self.sample = distribution.harden(perturbed)
        self.scores = score(distribution, parameters, self.sample)

    def perturbed(self, parameters: Parameters) -> tf.Tensor:
        """z and z̃ in one batch, `[2n, ...]` for n rows."""
        free = self._distribution.perturb(parameters, self._noise)
        conditional = self._distribution.perturb_given(
            parameters, self.sample, self._second_noise
        )
        return tf.concat([free, conditional], axis=0)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        """The relaxed sample of perturbed parameters."""
        return self._distribution.soften(perturbed, temperature)
