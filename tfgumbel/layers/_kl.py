"""What the KL layers have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.layers._annealed import AnnealedScalar
from tfgumbel.layers._called_once import CalledOnce


def _weight(name: str, value: Any) -> float:
    return _checks.number_between(name, value, 0.0, float("inf"))


class KLLayer(CalledOnce):
    """Passes its input through and adds weight · KL to the model's loss.

    The divergence is summed over the variables of an example and averaged
    over the batch, in nats. It is added in training and in evaluation.

    Args:
        weight: Factor of the divergence, at least 0: a number, or a schedule
            `step -> weight`. The current value is the weight `layer.weight`.
        **kwargs: As in `keras.layers.Layer`.
    """

    # Maps the parameters of q to the divergence per variable, [B, ...].
    divergence: Callable[..., tf.Tensor]
    # Raises unless the parameters of q have a valid dtype and shape.
    check: Callable[..., Any]

    def __init__(self, weight: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self._annealed = AnnealedScalar(self, "weight", weight, _weight)
        self.weight = self._annealed.variable

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Returns `inputs`, having added the divergence to the losses."""
        self.check(inputs)
        self.add_divergence(self.divergence(inputs), training)
        return inputs

    def add_divergence(self, divergence: tf.Tensor, training: Any) -> None:
        """Adds weight · the mean over examples to the losses."""
        # A replica may be left with an empty batch: its mean is zero.
        total = tf.cast(tf.reduce_sum(divergence), tf.float32)
        size = tf.cast(tf.shape(divergence)[0], tf.float32)
        mean = tf.math.divide_no_nan(total, size)
        self.add_loss(self._annealed(training) * mean)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        """Returns the shape of the input."""
        return inputs_shape

    def compute_output_spec(self, inputs: Any, training: Any = None) -> Any:
        """Returns the shape and dtype of the input."""
        self.check(inputs)
        return keras.tree.map_structure(
            lambda t: keras.KerasTensor(t.shape, dtype=t.dtype), inputs
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "weight": self._annealed.get_config()}
