"""The default control variate network of RELAX."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, distributions


@keras.saving.register_keras_serializable(package="tfgumbel")
class ControlVariate(keras.layers.Layer):
    """c(z, x): a small network of relaxed samples and the context.

    z is softened at temperature 1, flattened, joined with the flattened
    context and passed through one hidden layer of tanh units. The last layer
    begins at zero, so that training starts at REINFORCE.

    Args:
        distribution: One with a relaxation: `"categorical"`, `"bernoulli"`.
        units: Width of the hidden layer.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: `[z, context]`, perturbed logits and context, each `[B, ...]`.

    Output shape:
        `[B]`, float32.
    """

    def __init__(
        self,
        distribution: Any = "categorical",
        units: int = 100,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.distribution = distributions.get(distribution)
        self.units = _checks.positive_integer("units", units)
        self.hidden = keras.layers.Dense(
            self.units, activation="tanh", dtype="float32"
        )
        self.output_layer = keras.layers.Dense(
            1, kernel_initializer="zeros", dtype="float32"
        )

    def build(self, input_shape: Any) -> None:
        """Builds both layers."""
        perturbed, context = input_shape
        relaxed = self.distribution.sample_shape([perturbed])
        self._sizes = [
            tf.TensorShape(shape)[1:].num_elements()
            for shape in (relaxed, context)
        ]
        if None in self._sizes:
            raise ValueError(
                "The control variate needs logits and a context whose axes, "
                "except that of the batch, have known sizes. Received: logits "
                f"of shape {perturbed} and a context of shape {context}"
            )
        self.hidden.build((None, sum(self._sizes)))
        self.output_layer.build((None, self.units))
        self.built = True

    def call(self, inputs: Any) -> tf.Tensor:
        """Returns c(z, x)."""
        perturbed, context = inputs
        distribution = self.distribution
        assert isinstance(distribution, distributions.Relaxed)
        relaxed = distribution.soften(perturbed, 1.0)
        joined = [
            tf.reshape(tf.cast(tensor, tf.float32), [-1, size])
            for tensor, size in zip(
                (relaxed, context), self._sizes, strict=True
            )
        ]
        hidden = self.hidden(tf.concat(joined, axis=-1))
        return tf.squeeze(self.output_layer(hidden), -1)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns `[B]`."""
        return (input_shape[0][0],)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": distributions.serialize(self.distribution),
            "units": self.units,
        }
