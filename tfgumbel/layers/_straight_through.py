"""Base class of the layers with a straight-through gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfgumbel import _checks, estimators
from tfgumbel.distributions import Distribution
from tfgumbel.layers._stochastic import TemperatureLayer


class StraightThroughLayer(TemperatureLayer):
    """A layer with an `estimator` of the straight-through family.

    A subclass calls `add_estimator` once.
    """

    distribution: Distribution

    def add_estimator(
        self,
        estimator: str,
        temperature: Any,
        backward_temperature: Any,
        noise_samples: int,
        others: Sequence[str] = (),
    ) -> None:
        """Checks the estimator and makes its temperatures.

        Args:
            estimator: Its name.
            temperature: τ of the gradient.
            backward_temperature: That of `"st_gumbel"`.
            noise_samples: Those of `"gumbel_rao"`.
            others: Names of a layer's own.
        """
        self.estimator = _checks.choice(
            "estimator",
            estimators.canonical(estimator),
            [*estimators.surrogates(), *others],
        )
        if backward_temperature is not None and self.estimator != "st_gumbel":
            raise ValueError(
                "Argument `backward_temperature` belongs to "
                "estimator='st_gumbel'; the `temperature` of the others is "
                "that of the gradient. Received: backward_temperature="
                f"{backward_temperature!r} with estimator={estimator!r}"
            )
        self.noise_samples = _checks.positive_integer(
            "noise_samples", noise_samples
        )
        self.add_temperatures(temperature, backward_temperature)

    def gradient_temperature(self, training: Any) -> tf.Tensor:
        """τ of the gradient; a step of its schedule if training."""
        temperature, backward = self.temperatures(training)
        return temperature if backward is None else backward

    def drawn(self, logits: Any, training: Any) -> tf.Tensor:
        """Returns an exact sample with the estimator's gradient."""
        if self.estimator == "st_gumbel":
            # Its op takes infinite logits: one pass less, and one backward.
            parameters = tuple(self.distribution.check(logits))
        else:
            parameters = self.distribution.constrain(logits)
        return estimators.surrogate_sample(
            self.estimator,
            self.distribution,
            parameters,
            self.next_seed(),
            temperature=self.gradient_temperature(training),
            noise_samples=self.noise_samples,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "noise_samples": self.noise_samples,
        }
