"""Base class of the layers of relaxed samples."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.layers._stochastic import SamplingLayer, TemperatureLayer


class RelaxedLayer(TemperatureLayer, SamplingLayer):
    """A layer whose training sample is a function of logits, noise and τ.

    A subclass gives `relax` and `noise`, and calls `add_relaxation` once.
    """

    training_modes = ("relaxed",)

    def add_relaxation(
        self,
        temperature: Any,
        hard: bool,
        backward_temperature: Any,
        *,
        trainable: bool = False,
        return_relaxed: bool = False,
    ) -> None:
        """Makes the temperatures and keeps the settings."""
        self.hard = bool(hard)
        self.return_relaxed = bool(return_relaxed)
        self.add_temperatures(
            temperature,
            backward_temperature,
            trainable=trainable,
            hard=self.hard,
        )

    @property
    def inference_modes(self) -> tuple[str, ...]:
        """Admitted values of `inference`, the default first."""
        return (*super().inference_modes, "tempered_mean")

    def relax(
        self, logits: tf.Tensor, noise: tf.Tensor, hard: bool, **temperatures
    ) -> tf.Tensor:
        """The sample that belongs to the noise."""
        raise NotImplementedError

    def noise(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Noise for `relax`."""
        raise NotImplementedError

    def sampled(
        self, logits: tf.Tensor, training: Any, category_mask: Any = None
    ) -> Any:
        """Returns the value or, if wanted, a pair of it and the relaxed one."""
        values = [
            self.finished(value, category_mask)
            for value in self._values(logits, training)
        ]
        return tuple(values) if self.return_relaxed else values[0]

    def _values(self, logits: tf.Tensor, training: Any) -> list[tf.Tensor]:
        """The value and, if wanted, the relaxed one of one draw."""
        trains = self.trains(training, logits)
        mode = "relaxed" if trains else self.mode
        draws = mode in ("relaxed", "sample")
        if not (trains or self.return_relaxed or mode == "tempered_mean"):
            return [self.infer(self.distribution.constrain(logits))]
        noise = tf.zeros_like(logits)
        if draws:
            noise = self.noise(tf.shape(logits), self.next_seed())
        temperature, backward = self.temperatures(training)

        def relaxed(hard: bool) -> tf.Tensor:
            return self.relax(
                logits,
                noise,
                hard,
                temperature=temperature,
                backward_temperature=backward,
            )

        if trains:
            values = [relaxed(self.hard)]
        elif mode == "tempered_mean":
            values = [relaxed(False)]
        elif mode == "sample":
            values = [tf.stop_gradient(relaxed(True))]
        else:
            values = [self.infer(self.distribution.constrain(logits))]
        if self.return_relaxed:
            values.append(relaxed(False))
        return values

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the shape of a sample, in the compute dtype."""
        spec = super().compute_output_spec(*args, **kwargs)
        if not self.return_relaxed:
            return spec
        return spec, keras.KerasTensor(spec.shape, dtype=spec.dtype)

    def compute_output_shape(
        self, parameters_shape: Any, *others_shape: Any
    ) -> Any:
        """Returns the shape of a sample."""
        shape = super().compute_output_shape(parameters_shape)
        return (shape, shape) if self.return_relaxed else shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the logits."""
        mask = super().compute_mask(inputs, previous_mask)
        return (mask, mask) if self.return_relaxed else mask

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "hard": self.hard,
            "trainable_temperature": self.trainable_temperature,
            "return_relaxed": self.return_relaxed,
        }
