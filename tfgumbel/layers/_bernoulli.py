"""What the layers of independent bits have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.layers._inference import bernoulli_inference
from tfgumbel.layers._stochastic import CATEGORICAL_INFERENCE, StochasticLayer
from tfgumbel.layers._temperature import TemperatureLayer


class BernoulliLayer(TemperatureLayer, StochasticLayer):
    """A layer from log-odds to bits of the same shape.

    Args:
        temperature: τ > 0, a number or a schedule.
        inference: What `training=False` returns.
        backward_temperature: Another τ for the gradient, or `None`.
        trainable_temperature: Whether τ is learned.
        **kwargs: As in `StochasticLayer`.
    """

    # Maps (logits, seed, temperature, backward temperature or None) to a
    # sample with a gradient.
    _draw: Callable[..., tf.Tensor]

    def __init__(
        self,
        temperature: Any = 1.0,
        inference: str = "mode",
        backward_temperature: Any = None,
        trainable_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inference = _checks.choice(
            "inference", inference, CATEGORICAL_INFERENCE
        )
        self._add_temperatures(
            temperature, backward_temperature, trainable_temperature
        )

    def call(self, logits: Any, training: Any = None) -> tf.Tensor:
        """Returns a sample of the shape of the logits."""
        logits = _checks.bernoulli_logits(logits)
        mode = self._mode
        if training or mode == "relaxed":
            temperatures = self._temperatures(training)
            sample = self._draw(logits, self.next_seed(), *temperatures)
        else:
            sample = bernoulli_inference(logits, mode, self.next_seed)
        return tf.cast(sample, self.compute_dtype)

    def compute_output_spec(
        self, logits: Any, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of the logits, in the compute dtype."""
        _checks.floating("logits", logits.dtype)
        return keras.KerasTensor(logits.shape, dtype=self.compute_dtype)

    def compute_output_shape(self, logits_shape: Any) -> Any:
        """Returns the shape of the logits."""
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "inference": self.inference}
