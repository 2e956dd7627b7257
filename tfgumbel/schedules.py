"""Schedules: step → value, for temperatures and weights.

Any `keras.optimizers.schedules.LearningRateSchedule` and any callable
`step -> value` serves as a schedule; this module adds the annealing of
Jang et al. and the rule that resolves identifiers.
"""

from __future__ import annotations

import math
import types
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
    `ExponentialAnnealing.between` takes the last value and when it is reached.

    Args:
        initial: Value at step 0. Positive.
        rate: Decay per step, at least 0. The paper tries 1e-5 and 1e-4.
        minimum: Floor of the value, positive and at most `initial`; `None`
            for the paper's 0.5, or for `initial` if that is less.
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
        *,
        minimum: float | None = None,
        every: int = 1,
    ) -> None:
        self.initial = _checks.positive_number("initial", initial)
        self.rate = _checks.not_negative_number("rate", rate)
        if minimum is None:
            minimum = min(0.5, self.initial)
        self.minimum = _checks.positive_number("minimum", minimum)
        if self.minimum > self.initial:
            raise ValueError(
                "Argument `minimum` must not be above `initial`, where the "
                f"schedule begins. Received: minimum={minimum!r} with "
                f"initial={initial!r}"
            )
        self.every = _checks.positive_integer("every", every)

    @classmethod
    def between(
        cls, initial: float, final: float, *, steps: int, every: int = 1
    ) -> ExponentialAnnealing:
        """Returns the schedule that goes from one value to another.

        Args:
            initial: Value at step 0. Positive.
            final: Value at step `steps` and from then on, at most `initial`.
            steps: How many steps it takes, at least 1.
            every: Number of steps for which the value is kept.

        Example:

        >>> import tfgumbel as tg
        >>> schedule = tg.schedules.ExponentialAnnealing.between(
        ...     1.0, 0.25, steps=1000)
        >>> [round(float(schedule(step)), 4) for step in (0, 500, 2000)]
        [1.0, 0.5, 0.25]
        """
        initial = _checks.positive_number("initial", initial)
        final = _checks.positive_number("final", final)
        steps = _checks.positive_integer("steps", steps)
        if final > initial:
            raise ValueError(
                "Argument `final` must not be above `initial`. A value that "
                "rises, such as the weight of a divergence, is Keras's "
                "`PolynomialDecay(initial, steps, final)`, which is linear. "
                f"Received: final={final!r} with initial={initial!r}"
            )
        rate = math.log(initial / final) / steps
        return cls(initial, rate, minimum=final, every=every)

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the value at `step`, a float32 scalar."""
        step = tf.convert_to_tensor(step)
        if step.dtype.is_integer:  # Exact beyond what float32 can count.
            step = tf.cast(step, tf.int64)
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
        constant = keras.optimizers.schedules.PolynomialDecay
        return constant(value, decay_steps=1, end_learning_rate=value)
    raise TypeError(
        "Argument `schedule` must be a tfgumbel or Keras schedule, a callable "
        f"step -> value, or a number. Received: schedule={identifier!r}"
    )


def check(
    schedule: Callable[[Any], Any], check_value: Callable[[Any], Any]
) -> None:
    """Raises if `schedule` gives a bad value, or cannot run inside a graph.

    A value inside a compiled graph cannot raise, so the schedule is tried at
    step 0 and at powers of ten when a layer is made. From step 10^5 on it may
    vanish, if it has decayed before: few runs get there, and one that does
    sees NaN.

    Args:
        schedule: Callable step -> value.
        check_value: Raises if given a bad value.
    """
    first = last = value_at(schedule, 0, check_value)
    for step in [10**power for power in range(9)]:
        value = float(schedule(step))
        decayed = step >= 10**5 and last < 0.01 * first
        if not (decayed and 0.0 <= value <= last):
            value = value_at(schedule, step, check_value)
        last = value
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


class AnnealedScalar:
    """A scalar of a layer, set by hand, by a callback or by a schedule.

    With a schedule, every training call of the layer is one step: the value
    is computed inside the graph, exactly per step whatever
    `steps_per_execution` is, and the step is saved with the layer's state.

    Args:
        layer: The layer that owns the state.
        name: Name of the value.
        value: A number, or a schedule (see `get`).
        check_value: Maps a name and a number to a valid number, or raises.
    """

    def __init__(
        self,
        layer: _saving.StatefulLayer,
        name: str,
        value: Any,
        check_value: Callable[[str, Any], float],
    ) -> None:
        self.name = name
        self.initial = value
        self.schedule: Callable[[Any], Any] | None = None
        self._check = check_value
        if isinstance(value, dict):
            value = get(value)
        if callable(value):
            self.schedule = value
            with tf.init_scope():  # The layer may be made while one traces.
                check(value, lambda number: check_value(name, number))
                value = float(value(0))
        self.variable = layer.add_state(name, check_value(name, value))
        self.step = None
        if self.schedule is not None:
            self.step = layer.add_state(f"{name}_step", 0, "int64")

    def value(self) -> keras.Variable:
        """Returns the variable that holds the current value."""
        return self.variable

    def assign(self, value: Any) -> None:
        """Sets the value, checked as in the constructor where it is known."""
        if self.schedule is not None:
            raise ValueError(
                f"The `{self.name}` follows a schedule, whose next step would "
                f"overwrite what is assigned. Received: {self.name}={value!r}"
            )
        value = _checked(self.name, value, self._check)
        self.variable.assign(tf.cast(value, tf.float32))

    def __call__(self, training: Any) -> tf.Tensor:
        """Returns the current value, a float32 scalar; a step if training."""
        if not training or self.schedule is None or self.step is None:
            return tf.convert_to_tensor(self.variable)
        step = tf.convert_to_tensor(self.step)
        value = tf.cast(self.schedule(step), tf.float32)
        self.variable.assign(value)
        _saving.increase(self.step, tf.constant(1, tf.int64))
        return value

    def refusal(self) -> str | None:
        """Why a callback may not set it; `None` if it may."""
        if self.schedule is None:
            return None
        return "follows a schedule of its own"

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
        check_value: Maps a name and a number to a valid number, or raises.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        value: Any,
        check_value: Callable[[str, Any], float],
    ) -> None:
        if callable(value) or isinstance(value, dict):
            raise ValueError(
                f"Argument `{name}` must be a number to start from where it "
                f"is trained: a schedule would overwrite what the optimizer "
                f"learns. Received: {name}={value!r} with "
                f"trainable_{name}=True"
            )
        self.name = name
        self.initial = value
        self._check = check_value
        self.variable = layer.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(
                math.log(check_value(name, value))
            ),
            dtype="float32",
            autocast=False,
            name=f"log_{name}",
        )
        # `tf.train.Checkpoint` finds the attributes of a layer.
        setattr(layer, f"_log_{name}", self.variable)

    def value(self) -> tf.Tensor:
        """Returns the current value."""
        return self(None)

    def assign(self, value: Any) -> None:
        """Sets the value that training goes on from."""
        value = _checked(self.name, value, self._check)
        self.variable.assign(tf.math.log(tf.cast(value, tf.float32)))

    def __call__(self, training: Any) -> tf.Tensor:
        """Returns the current value, a float32 scalar."""
        return tf.exp(tf.convert_to_tensor(self.variable))

    def refusal(self) -> str:
        """Why a callback may not set it."""
        return f"trains its {self.name}"

    def get_config(self) -> Any:
        """Returns the number that training started from."""
        return self.initial


class AnnealedAttribute:
    """An attribute of an `AnnealedLayer` that reads and assigns a scalar.

    It reads as the variable that holds the value (a tensor, if the value is
    trained), or as `None` where the layer was made without one.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        scalar = layer.annealed(self.name)
        return None if scalar is None else scalar.value()

    def __set__(self, layer: Any, value: Any) -> None:
        scalar = layer.annealed(self.name)
        if scalar is None:
            raise ValueError(
                f"Layer {layer.name!r} was made without a `{self.name}`, and "
                f"has none to change. Received: {self.name}={value!r}"
            )
        scalar.assign(value)


class AnnealedLayer(_saving.StatefulLayer):
    """A layer with values that change while a model trains.

    A subclass declares each as `AnnealedAttribute()` and makes it with
    `add_annealed`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Not a dict of the layer, which Keras would track.
        self._scalars = types.SimpleNamespace()

    def add_annealed(
        self,
        name: str,
        value: Any,
        check_value: Callable[[str, Any], float] = _checks.positive_number,
        trainable: bool = False,
    ) -> AnnealedScalar | TrainedScalar:
        """Makes the value of this name, annealed or trained."""
        kind = TrainedScalar if trainable else AnnealedScalar
        scalar = kind(self, name, value, check_value)
        setattr(self._scalars, name, scalar)
        return scalar

    def annealed(self, name: str) -> AnnealedScalar | TrainedScalar | None:
        """Returns the scalar of this name, if the layer has it."""
        return getattr(getattr(self, "_scalars", None), name, None)

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras would take a variable that is assigned for a weight.
        attribute = getattr(type(self), name, None)
        if isinstance(attribute, AnnealedAttribute):
            attribute.__set__(self, value)
        else:
            super().__setattr__(name, value)


def _checked(
    name: str, value: Any, check_value: Callable[[str, Any], float]
) -> Any:
    """The number, checked; as it is, where a graph knows it only later."""
    if tf.is_tensor(value) or isinstance(value, keras.Variable):
        if not tf.executing_eagerly():
            return value
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        value = value.item()
    return check_value(name, value)
