"""The callback that watches the variance of gradients."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, diagnostics
from tfgumbel.callbacks._layers_named import entries, layers_named
from tfgumbel.layers import CostCollector


class GradientStatistics(keras.callbacks.Callback):
    """Logs gradient variance and signal-to-noise of layers during `fit`.

    Every `every` steps the gradient of the training loss is computed `samples`
    times on a held batch, with fresh noise each time. Over the trainable
    weights of a layer, taken as one vector g, the epoch's logs get

    - `gradient_variance/<layer>`: Var g, summed over the weights, estimated
      without bias;
    - `gradient_snr/<layer>`: |E g| / √Var g, where the part of |mean g| that
      is noise has been taken off; 0 if nothing is left.

    They are averages over the measurements of the epoch, of which there is at
    least one, at its end. `History` has them and, if they come later in the
    list of callbacks, `CSVLogger` and `TensorBoard`.

    This is the noise of the samplers (and of dropout) on one batch; the noise
    of drawing batches is not in it. The loss is that of `compile`, weighted
    and with `add_loss` terms, as the model's `compute_loss` gives it. What an
    overridden `train_step` does beyond that is not seen; there is a warning if
    the model was compiled without a loss.

    Training is the same, bit for bit, with and without the callback: all
    variables get their values back, those among them that a call moves itself
    (seeds, running baselines, revived codes, spectral normalization) and those
    that a loss keeps for itself. Noise of `tf.random.normal` and its kind
    cannot be given back.

    Of a model that is distributed over replicas the gradient is the one that
    the optimizer applies: each replica takes its part of the held batch, with
    its own noise, and their gradients are added up.

    Args:
        layers: Layers, or names of layers, at any depth; `None` for all the
            model's direct layers that have trainable weights. Of several of
            one name the later ones are logged with a number, as `<layer>_1`.
        every: Optimizer steps between two measurements; `None` for the end of
            each epoch only.
        data: The held batch, as for `train_on_batch`: `x`, `(x, y)` or `(x,
            y, sample_weight)`.
        samples: Gradients per measurement, at least 2. Each takes a forward
            and a backward pass.

    Raises:
        ValueError: In `fit`, if a layer is missing or has no trainable
            weights, or there are more replicas than examples in `data`.

    Example:

    ```python
    statistics = tg.GradientStatistics(["encoder"], data=(x[:100], y[:100]))
    history = model.fit(x, y, callbacks=[statistics])
    history.history["gradient_variance/encoder"]
    ```
    """

    def __init__(
        self,
        layers: Any = None,
        every: int | None = 100,
        *,
        data: Any,
        samples: int = 16,
    ) -> None:
        super().__init__()
        self.layers = layers
        if every is not None:
            _checks.positive_integer("every", every)
        if _checks.positive_integer("samples", samples) < 2:
            raise ValueError(
                "Argument `samples` must be at least 2, to have a variance. "
                f"Received: samples={samples}"
            )
        if not keras.tree.is_nested(data) and not hasattr(data, "shape"):
            raise TypeError(
                "Argument `data` must be one batch of arrays or tensors, as "
                "for `train_on_batch`: of a dataset, `next(iter(dataset))`. "
                f"Received: data of type {type(data).__name__}"
            )
        self.every = every
        self.samples = samples
        self.data = data

    def set_model(self, model: keras.Model) -> None:
        """Finds the layers to watch.

        Those of a subclassed model that has not been built come later: Keras
        makes their weights in the first training step.
        """
        super().set_model(model)
        _warn_of_another_loss(model)
        self._watched: dict[str, keras.layers.Layer] = {}
        # Keras 3.12 to 3.15 list nested layers by no public method.
        if all(layer.built for layer in model._flatten_layers()):
            self._watched = self._find(model)
        self._measured: list[dict[str, float]] = []
        self._shards = _shards(self.data, model.distribute_strategy)
        self._gradients = tf.function(self._one_sample, autograph=False)

    def on_train_begin(self, logs: Any = None) -> None:
        """Counts the steps from here."""
        self._last = self._step()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts a new average."""
        self._measured = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measures, if `every` steps have passed."""
        step = self._step()
        if self.every is not None and step - self._last >= self.every:
            self._last = step
            self._measured.append(self.measure())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Puts the averages into the epoch's logs."""
        if not self._measured:
            self._measured.append(self.measure())
        if logs is not None:
            for key in self._measured[0]:
                values = [measured[key] for measured in self._measured]
                logs[key] = sum(values) / len(values)

    def measure(self) -> dict[str, float]:
        """Measures at the model's present weights; returns what is logged."""
        self._watched = self._watched or self._find(self.model)
        moments = {name: diagnostics.Moments() for name in self._watched}
        # Every sample sees the same schedules and running statistics, but
        # noise of its own.
        noise = self._state()
        statistics = [ref.deref() for ref in noise if not noise[ref]]
        state = [ref.deref() for ref in noise]
        with diagnostics.estimates.unchanged(state):
            for _ in range(self.samples):
                with diagnostics.estimates.unchanged(statistics):
                    gradients = self._gradients(self._shards)
                for name, gradient in gradients.items():
                    moments[name].add(gradient.numpy())
        variance = {
            f"gradient_variance/{n}": m.variance for n, m in moments.items()
        }
        snr = {f"gradient_snr/{n}": m.snr for n, m in moments.items()}
        return {**variance, **snr}

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _state(self) -> dict[Any, bool]:
        """References to all that a sample may change: whether it is noise's.

        A variable has a copy for each replica that has its own.
        """
        variables = [
            *self.model.trainable_variables,  # a call may move these, too
            *self.model.non_trainable_variables,
            *self.model.metrics_variables,
        ]
        local = self.model.distribute_strategy.experimental_local_results
        found = {
            copy.ref(): _is_seed(variable)
            for variable in variables
            for copy in local(variable.value)
        }
        # Those that Keras knows nothing of, such as a loss's.
        graph = self._gradients.get_concrete_function(self._shards)
        for variable in graph.variables:
            found.setdefault(variable.ref(), variable.dtype.is_integer)
        return found

    def _one_sample(self, shards: Any) -> dict[str, tf.Tensor]:
        """The gradient that the optimizer would apply, flat, by layer."""
        strategy = self.model.distribute_strategy
        gradients = strategy.run(self._of_replica, args=shards)
        return strategy.reduce("SUM", gradients, axis=None)

    def _of_replica(self, x: Any, y: Any, weight: Any) -> dict[str, tf.Tensor]:
        """The gradient of the loss in each layer's weights, flat."""
        scale = self.model.optimizer.scale_loss(tf.ones([]))
        with tf.GradientTape() as tape, CostCollector():
            loss = self.model.compute_loss(
                x, y, self.model(x, training=True), weight, training=True
            )
            loss = tf.cast(loss, tf.float32) * scale
        variables = {
            name: [v.value for v in layer.trainable_variables]
            for name, layer in self._watched.items()
        }
        found = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return {name: _flat(values) / scale for name, values in found.items()}

    def _find(self, model: keras.Model) -> dict[str, keras.layers.Layer]:
        every = _trained(model, recursive=True)
        if self.layers is None:
            return _by_name(_trained(model, recursive=False))
        chosen = entries(self.layers)
        found = [layers_named(entry, every) for entry in chosen]
        if not all(found) or not found:
            names = [e if isinstance(e, str) else e.name for e in chosen]
            known = sorted({layer.name for layer in every})
            raise ValueError(
                "Argument `layers` must name layers of the model that have "
                f"trainable weights, of {known}. Received: {names}"
            )
        return _by_name([layer for (layer,) in found])


def _warn_of_another_loss(model: keras.Model) -> None:
    """Warns where only the model's own `train_step` knows its loss."""

    def is_own(method: Any) -> bool:
        return method.__module__.split(".")[0] not in ("keras", "tfgumbel")

    # Keras 3.12 to 3.15 have no public way to ask for it.
    without = getattr(model, "_compile_loss", None) is None
    if without and is_own(model.train_step) and not is_own(model.compute_loss):
        warnings.warn(
            f"Model {model.name!r} has a `train_step` of its own and was "
            "compiled without a loss, so that GradientStatistics measures the "
            "gradient of `add_loss` terms alone. Give the model a "
            "`compute_loss` that returns what the `train_step` descends.",
            stacklevel=2,
        )


def _trained(model: keras.Model, recursive: bool) -> list[keras.layers.Layer]:
    """Layers inside the model that have trainable weights."""
    # Keras 3.12 to 3.15 list nested layers by no public method.
    layers = model._flatten_layers(include_self=False, recursive=recursive)
    return [layer for layer in layers if layer.trainable_variables]


def _by_name(
    layers: Sequence[keras.layers.Layer],
) -> dict[str, keras.layers.Layer]:
    """The layers, a number after each name that came before."""
    found: dict[str, keras.layers.Layer] = {}
    for layer in layers:
        name, number = layer.name, 0
        while found.get(name, layer) is not layer:
            number += 1
            name = f"{layer.name}_{number}"
        found[name] = layer
    return found


def _shards(data: Any, strategy: tf.distribute.Strategy) -> tuple:
    """x, y and the weights; each replica's part of them if there are several.

    The loss of a replica is scaled for a sum over replicas by Keras.
    """
    data = keras.tree.map_structure(
        _as_tensor, keras.utils.unpack_x_y_sample_weight(data)
    )
    count = strategy.num_replicas_in_sync
    if count == 1:
        return data
    examples = keras.tree.flatten(data)[0].shape[0]
    if examples < count:
        raise ValueError(
            "Argument `data` must hold an example for each replica. Received: "
            f"{examples} examples for {count} replicas"
        )

    def shard(context: Any) -> Any:
        first, last = (
            -(-examples * (context.replica_id_in_sync_group + i) // count)
            for i in range(2)
        )
        return keras.tree.map_structure(
            lambda value: None if value is None else value[first:last], data
        )

    return strategy.experimental_distribute_values_from_function(shard)


def _is_seed(variable: keras.Variable) -> bool:
    """Whether it counts the draws of a layer: of ours, or of Keras's."""
    return variable.path.rpartition("/")[2] in (
        "seed_state",
        "seed_generator_state",
    )


def _as_tensor(value: Any) -> Any:
    return None if value is None else tf.convert_to_tensor(value)


def _flat(gradients: Any) -> tf.Tensor:
    parts = [
        tf.reshape(tf.cast(tf.convert_to_tensor(part), tf.float32), [-1])
        for part in gradients
    ]
    return tf.concat(parts, axis=0)
