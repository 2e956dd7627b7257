"""Schedules: step → value, for temperatures and weights.

Any `keras.optimizers.schedules.LearningRateSchedule` and any callable
`step -> value` serves as a schedule; this module adds the annealing of
Jang et al. and the rule that resolves identifiers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, _saving


@keras.saving.register_keras_serializable(package="tfgumbel")
class ExponentialAnnealing(keras.optimizers.schedules.LearningRateSchedule):
    """Annealing of Jang et al.: max(minimum, initial · exp(-rate · t)).

    `t` is the step, updated every `every` steps: t = every · ⌊step / every⌋.

    Args:
        initial: Value at step 0. Positive.
        rate: Decay per step, at least 0. The paper tries 1e-5 and 1e-4.
        minimum: Floor of the value. Positive.
        every: Number of steps for which the value is kept.

    Example:

    >>> import tfgumbel as tg
    >>> schedule = tg.schedules.ExponentialAnnealing(1.0, rate=1e-4)
    >>> round(float(schedule(1000)), 4)
    0.9048

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017.
    """

    def __init__(
        self,
        initial: float = 1.0,
        rate: float = 1e-4,
        minimum: float = 0.5,
        every: int = 1,
    ) -> None:
        self.initial = _checks.positive_number("initial", initial)
        self.rate = _checks.number_between("rate", rate, 0.0, math.inf)
        self.minimum = _checks.positive_number("minimum", minimum)
        self.every = _checks.positive_integer("every", every)

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the value at `step`, a float32 scalar."""
        step = tf.cast(tf.convert_to_tensor(step), tf.int64)
        time = tf.cast(step // self.every * self.every, tf.float32)
        return tf.maximum(
            self.minimum, self.initial * tf.exp(-self.rate * time)
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "initial": self.initial,
            "rate": self.rate,
            "minimum": self.minimum,
            "every": self.every,
        }


def get(identifier: Any) -> Callable[[Any], Any]:
    """Returns the schedule that `identifier` stands for.

    Args:
        identifier: A schedule object, a callable `step -> value`, a
            serialised schedule (a dict), the name of a schedule of this
            module (built with its defaults), or a number (a constant).

    Returns:
        A callable that maps a step to a value.
    """
    if isinstance(identifier, dict):
        kinds = (keras.optimizers.schedules.LearningRateSchedule,)
        identifier = _saving.deserialize("schedule", identifier, kinds)
    if isinstance(identifier, str):
        _checks.choice("schedule", identifier, ["ExponentialAnnealing"])
        return ExponentialAnnealing()
    if callable(identifier):
        return identifier
    if isinstance(identifier, (int, float, np.number)) and not isinstance(
        identifier, bool
    ):
        value = float(identifier)
        return ExponentialAnnealing(value, rate=0.0, minimum=value)
    raise TypeError(
        "Argument `schedule` must be a tfgumbel or Keras schedule, a callable "
        f"step -> value, or a number. Received: schedule={identifier!r}"
    )


def check(
    schedule: Callable[[Any], Any], check_value: Callable[[Any], Any]
) -> None:
    """Raises if `schedule` gives a bad value, or cannot run inside a graph.

    A value inside a compiled graph cannot raise, so the schedule is tried at
    step 0 and at powers of ten when a layer is made.

    Args:
        schedule: Callable step -> value.
        check_value: Raises if given a bad value.
    """
    for step in [0, *(10**power for power in range(9))]:
        value_at(schedule, step, check_value)
    try:
        # Keras traces layers without AutoGraph.
        tf.function(
            lambda step: tf.cast(schedule(step), tf.float32), autograph=False
        ).get_concrete_function(tf.TensorSpec([], tf.int64))
    except Exception as error:
        raise ValueError(
            "A schedule given to a layer runs inside the graph, so it must "
            "be written in TensorFlow ops. Give a plain Python function to "
            f"`TemperatureScheduler` instead. Received: {schedule!r}, which "
            f"failed with {type(error).__name__}: {error}"
        ) from error


def value_at(
    schedule: Callable[[Any], Any],
    step: int,
    check_value: Callable[[Any], Any],
) -> float:
    """Returns the schedule's value at `step` as a checked float."""
    value = schedule(step)
    try:
        return check_value(float(value))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The schedule {schedule!r} returned {value!r} at step {step}: "
            f"{error}"
        ) from error
