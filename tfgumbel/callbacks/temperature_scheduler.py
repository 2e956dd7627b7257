"""The callback that anneals."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, schedules
from tfgumbel.callbacks._layers_named import entries, layers_named
from tfgumbel.layers import KLDivergence

# What a model's last run came to: its batches, and its optimizers' iterations.
_runs: weakref.WeakKeyDictionary[Any, tuple[int, list[int]]] = (
    weakref.WeakKeyDictionary()
)


# Of each attribute the name in the logs, and what checks a value.
_ATTRIBUTES = {
    "temperature": ("temperature", _checks.positive_number),
    "backward_temperature": ("backward_temperature", _checks.positive_number),
    "weight": ("kl_weight", _checks.not_negative_number),
    "capacity": ("kl_capacity", _checks.not_negative_number),
    "scale": ("scale", _checks.positive_number),
}


class TemperatureScheduler(keras.callbacks.Callback):
    """Anneals the temperature of a model's layers during `fit`.

    The step counts training batches, as a schedule in a layer counts its
    training calls: with gradient accumulation each batch is one. A later `fit`
    goes on where the last one ended. So does a run that is resumed from files,
    by the iterations of the model's optimizers, those of its own among them
    (of a GAN, say): of the one that has stepped most, which must step once per
    batch. Restoring the best weights does not take the step back; `compile`
    with a new optimizer begins anew.

    The value appears in the progress line, in `History` and, if they come
    later in the list of callbacks, in `CSVLogger` and `TensorBoard`. With
    `steps_per_execution=n` Keras calls its batch callbacks once per n steps,
    and the value is that of the first of them; a layer given a schedule as its
    `temperature` anneals exactly.

    Args:
        schedule: A `tfgumbel.schedules` object, a
            `keras.optimizers.schedules.LearningRateSchedule`, a callable
            `step -> value`, or a number.
        layers: Layers, or names of layers, to set; `None` for every layer of
            the model, nested ones included, that has the attribute, and
            neither follows a schedule of its own nor trains it.
        per: `"batch"` (the step counts training batches) or `"epoch"` (it
            counts epochs).
        verbose: 1 prints the value at the start of every epoch.
        attribute: `"temperature"` or `"backward_temperature"`; `"weight"`, of
            KL layers, gates or usage losses, their factor (logged as
            `kl_weight`); `"capacity"` of KL layers (`kl_capacity`); or
            `"scale"` of quantizers.

    Raises:
        ValueError: In `fit`, if no layer has the attribute to set, a named
            layer is missing, has a schedule of its own or trains its
            temperature, `layers` does not say whose weight is meant, of KL
            layers and others, or the schedule returns a bad value.

    Example:

    ```python
    schedule = tg.schedules.ExponentialAnnealing(1.0, rate=1e-4, minimum=0.5)
    model.fit(x, y, callbacks=[tg.TemperatureScheduler(schedule)])
    ```

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017.
    """

    def __init__(
        self,
        schedule: Any,
        layers: Any = None,
        *,
        per: str = "batch",
        verbose: int = 0,
        attribute: str = "temperature",
    ) -> None:
        super().__init__()
        self.schedule = schedules.get(schedule)
        self.layers = layers
        self.per = _checks.choice("per", per, ["batch", "epoch"])
        self.verbose = verbose
        self.attribute = _checks.choice(
            "attribute", attribute, sorted(_ATTRIBUTES)
        )
        self._scalars: list[schedules.AnnealedScalar] = []
        self._value = self._trained_at = math.nan
        self._step: int | None = None
        self._first = self._calls_before = 0

    def set_model(self, model: keras.Model) -> None:
        """Finds the layers to anneal."""
        super().set_model(model)
        self._scalars = [self._scalar(layer) for layer in self._find(model)]

    def on_train_begin(self, logs: Any = None) -> None:
        """Forgets the steps of another run."""
        self._step = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the value for the first step of the epoch."""
        if self._step is None:  # Other callbacks have restored what they do.
            self._step = self._steps_before()
        self._first, self._calls_before = self._step, self._most_calls()
        self._set(epoch if self.per == "epoch" else self._first)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: {self.attribute} {self._value:.6g}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the value for this step."""
        if self.per == "batch":
            self._set(self._first + batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Shows the value in the progress line."""
        self._step = self._first + batch + 1
        # The next batch may begin and, if data of unknown length end, not be.
        self._trained_at = self._value
        self._log(logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Notes the step for the next run of this model."""
        if self._step is not None:
            _runs[self.model] = self._step, self._iterations()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Shows the value in the epoch's logs."""
        if self._step is not None:
            self._step = self._first + self._steps_taken()
        self._log(logs)

    def _steps_taken(self) -> int:
        """Training batches of the epoch.

        With `steps_per_execution` Keras counts those that the data were too few
        for, too. What it says that there are is right unless `steps_per_epoch`
        is less than it takes: the optimizer tells.
        """
        counted = (self._step or 0) - self._first
        steps = self.params.get("steps")
        if steps is not None and counted <= steps:
            return counted
        calls = self._most_calls() - self._calls_before
        return calls if (steps or 1) <= calls <= counted else steps or counted

    def _steps_before(self) -> int:
        """Training batches so far."""
        iterations = self._iterations()
        batches, known = _runs.get(self.model, (0, None))
        return batches if known == iterations else self._most_calls()

    def _most_calls(self) -> int:
        """Iterations of the optimizer that has stepped most."""
        return max(self._iterations(), default=0)

    def _iterations(self) -> list[int]:
        """How often each of the model's optimizers was called."""
        found = {id(self.model.optimizer): self.model.optimizer}
        for value in vars(self.model).values():
            if isinstance(value, keras.optimizers.Optimizer):
                found[id(value)] = value
        return [_calls(optimizer) for optimizer in found.values() if optimizer]

    def _set(self, step: int) -> None:
        _, check_value = _ATTRIBUTES[self.attribute]
        check = functools.partial(check_value, self.attribute)
        self._value = schedules.value_at(self.schedule, step, check)
        for scalar in self._scalars:
            scalar.assign(self._value)

    def _log(self, logs: Any) -> None:
        if logs is not None:
            name, _ = _ATTRIBUTES[self.attribute]
            logs[name] = self._trained_at

    def _find(self, model: keras.Model) -> list[keras.layers.Layer]:
        # Keras 3.12 to 3.15 list nested layers by no public method.
        every = [
            layer
            for layer in model._flatten_layers()
            if self._scalar(layer) is not None
        ]
        if self.layers is None:
            free = [self._refusal(layer) is None for layer in every]
            found = list(itertools.compress(every, free))
            self._refuse_mixed_weights(found)
        else:
            found = [
                self._named(entry, every) for entry in entries(self.layers)
            ]
        if not found:
            reasons = [f"; {self._refusal(layer)}" for layer in every]
            raise ValueError(
                f"TemperatureScheduler found no layer with a "
                f"`{self.attribute}` to set in model {model.name!r}"
                + "".join(reasons)
            )
        return found

    def _refuse_mixed_weights(self, found: list[keras.layers.Layer]) -> None:
        """What a divergence weighs is not what a gate or a usage loss does."""
        kinds = {
            KLDivergence if isinstance(layer, KLDivergence) else type(layer)
            for layer in found
        }
        if self.attribute == "weight" and len(kinds) > 1:
            raise ValueError(
                "Argument `layers` must say whose `weight` is to be set, where "
                "layers of several kinds have one. Received: layers=None for "
                f"a model with {[layer.name for layer in found]}"
            )

    def _refusal(self, layer: keras.layers.Layer) -> str | None:
        """Why the layer's value is not to be set, if so."""
        reason = self._scalar(layer).refusal()
        return reason and f"layer {layer.name!r} {reason}"

    def _scalar(self, layer: keras.layers.Layer) -> Any:
        """What holds the layer's value, or `None`."""
        if not isinstance(layer, schedules.AnnealedLayer):
            return None
        return layer.annealed(self.attribute)

    def _named(
        self, entry: Any, every: list[keras.layers.Layer]
    ) -> keras.layers.Layer:
        name = entry if isinstance(entry, str) else entry.name
        found = layers_named(entry, every)
        if not found:
            raise ValueError(
                f"Argument `layers` names {name!r}, which is no layer with a "
                f"`{self.attribute}` of the model. Received: those are "
                f"{[layer.name for layer in every]}"
            )
        (layer,) = found
        refusal = self._refusal(layer)
        if refusal is not None:
            raise ValueError(
                f"TemperatureScheduler cannot set the "
                f"`{self.attribute}` of {name!r}: {refusal}"
            )
        return layer


def _calls(optimizer: keras.optimizers.Optimizer) -> int:
    """Its iterations, and the batches that it has accumulated since."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # Of Keras 3.12 to 3.15: `iterations` has these rounded down to updates.
    return int(tf.convert_to_tensor(inner._iterations))
