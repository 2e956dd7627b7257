"""Base class of the estimators with a temperature."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Categories, Parameters
from tfgumbel.estimators._surrogate import surrogate_sample
from tfgumbel.estimators.pathwise import ThroughTheSample
from tfgumbel.schedules import AnnealedAttribute


class Relaxation(ThroughTheSample):
    """Base of the estimators through a relaxed or straight-through sample.

    Biased for the discrete problem; f must be differentiable.

    Args:
        distribution: As in the estimator.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0: a number, or a schedule `step -> τ`. Assign to it
            to anneal it.
        **kwargs: As in `Estimator`.
    """

    unbiased: ClassVar[bool] = False
    temperature = AnnealedAttribute()
    backward_temperature = AnnealedAttribute()

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        temperature: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self._temperature = self.add_annealed("temperature", temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        temperature = self._temperature.get_config()
        return {**super().get_config(), "temperature": temperature}


class StraightThrough(Relaxation):
    """Base of the straight-through family; `surrogate` names the gradient."""

    needs: ClassVar = (Categories,)
    surrogate: ClassVar[str]
    noise_samples = 1

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns exact samples with the surrogate gradient."""
        return surrogate_sample(
            self.surrogate,
            self.distribution,
            parameters,
            seed,
            temperature=self._temperature(training=True),
            noise_samples=self.noise_samples,
        )
