"""Scalars that change while a model trains: annealed, or trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import schedules


class AnnealedScalar:
    """A scalar weight of a layer, set by hand, by a callback or a schedule.

    With a schedule, every training call of the layer is one step: the value
    is computed inside the graph, exactly per step whatever
    `steps_per_execution` is, and the step is a weight that is saved with the
    others.

    Args:
        layer: The layer that owns the weights.
        name: Name of the value.
        value: A number, or a schedule (see `tfgumbel.schedules.get`).
        check: Maps a number to a valid number or raises.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        value: Any,
        check: Callable[[str, Any], float],
    ) -> None:
        self.initial = value
        self.schedule = None
        if isinstance(value, dict):
            value = self.initial = schedules.get(value)
        if callable(value):
            self.schedule = value
            schedules.check(value, lambda v: check(name, v))
            value = float(value(0))
        self.variable = _add_scalar(layer, name, check(name, value), "float32")
        self.step = None
        if self.schedule is not None:
            self.step = _add_scalar(layer, f"{name}_step", 0, "int64")
            # tf.train.Checkpoint sees attributes of the layer only.
            setattr(layer, f"_{name}_step", self.step)

    def __call__(self, training: Any) -> tf.Tensor:
        """Returns the current value, a float32 scalar; a step if training."""
        if not training or self.schedule is None or self.step is None:
            return tf.convert_to_tensor(self.variable)
        step = tf.convert_to_tensor(self.step)
        value = tf.cast(self.schedule(step), tf.float32)
        self.variable.assign(value)
        self.step.assign(step + 1)
        return value

    def get_config(self) -> Any:
        """Returns the number, or the serialised schedule."""
        if self.schedule is None:
            return self.initial
        return keras.saving.serialize_keras_object(self.schedule)


class TrainedScalar:
    """A positive scalar that the optimizer sets: exp of a trainable weight.

    Args:
        layer: The layer that owns the weight, `log_<name>`.
        name: Name of the value.
        value: The number to start from.
        check: Maps a number to a valid number or raises.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        value: Any,
        check: Callable[[str, Any], float],
    ) -> None:
        if callable(value) or isinstance(value, dict):
            raise ValueError(
                f"Argument `{name}` must be a number to start from where it "
                f"is trained: a schedule would overwrite what the optimizer "
                f"learns. Received: {name}={value!r} with "
                f"trainable_{name}=True"
            )
        self.initial = value
        self.variable = _add_scalar(
            layer, f"log_{name}", math.log(check(name, value)), "float32", True
        )

    def __call__(self, training: Any = None) -> tf.Tensor:
        """Returns the current value, a float32 scalar."""
        return tf.exp(tf.convert_to_tensor(self.variable))

    def get_config(self) -> Any:
        """Returns the number that training started from."""
        return self.initial


def _add_scalar(
    layer: keras.layers.Layer,
    name: str,
    value: Any,
    dtype: str,
    trainable: bool = False,
) -> keras.Variable:
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(value),
        trainable=trainable,
        dtype=dtype,
        autocast=False,
        aggregation=None if trainable else "only_first_replica",
        name=name,
    )
