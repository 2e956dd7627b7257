"""What the layers with a temperature have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.layers._annealed import AnnealedScalar, TrainedScalar


class TemperatureLayer(keras.layers.Layer):
    """A layer with a temperature, and maybe another one for its gradient.

    A subclass calls `_add_temperatures` once. `backward_temperature` is then
    a weight, or `None`.
    """

    def _add_temperatures(
        self,
        temperature: Any,
        backward_temperature: Any = None,
        trainable: bool = False,
    ) -> None:
        self.trainable_temperature = bool(trainable)
        if trainable and backward_temperature is not None:
            raise ValueError(
                "Argument `backward_temperature` takes the gradient away from "
                "a temperature that is trained. Received: "
                f"backward_temperature={backward_temperature!r} with "
                "trainable_temperature=True"
            )
        kind = TrainedScalar if trainable else AnnealedScalar
        self._annealed: AnnealedScalar | TrainedScalar = kind(
            self, "temperature", temperature, _checks.positive_number
        )
        self._temperature_weight = self._annealed.variable
        self._annealed_backward = None
        self.backward_temperature = None
        if backward_temperature is not None:
            self._annealed_backward = AnnealedScalar(
                self,
                "backward_temperature",
                backward_temperature,
                _checks.positive_number,
            )
            self.backward_temperature = self._annealed_backward.variable

    @property
    def temperature(self) -> Any:
        """The current τ: a weight to assign to, or a tensor if trained."""
        if self.trainable_temperature:
            return self._annealed(None)
        return self._temperature_weight

    def _temperatures(self, training: Any) -> tuple[tf.Tensor, Any]:
        """τ and that of the gradient, if another; a step if training."""
        temperature = self._annealed(training)
        if self._annealed_backward is None:
            return temperature, None
        return temperature, self._annealed_backward(training)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        backward = self._annealed_backward
        return {
            **super().get_config(),
            "temperature": self._annealed.get_config(),
            "backward_temperature": backward and backward.get_config(),
        }


def refuse_hard(hard: bool, trainable_temperature: bool) -> None:
    """Raises if the temperature that is to be trained has no effect."""
    if hard and trainable_temperature:
        raise ValueError(
            "Argument `trainable_temperature` needs relaxed samples: a hard "
            "one does not depend on the temperature, so that the cost has no "
            "gradient in it. Received: trainable_temperature=True with "
            "hard=True"
        )


def require_gumbel(estimator: str, backward_temperature: Any) -> None:
    """Raises if an estimator has no second temperature."""
    if backward_temperature is not None and estimator != "gumbel":
        raise ValueError(
            "Argument `backward_temperature` belongs to estimator='gumbel'; "
            "the `temperature` of the others is that of the gradient. "
            f"Received: backward_temperature={backward_temperature!r} with "
            f"estimator={estimator!r}"
        )
