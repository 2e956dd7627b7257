"""A layer under test: how it is made anew, called, and made to repeat."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

# TensorFlow 2.20 and 2.21 have no public way to list what an object tracks.
from tensorflow.python.checkpoint import graph_view

from tfgumbel import distributions
from tfgumbel.distributions import Distribution
from tfgumbel.layers import CostCollector
from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Finding,
    NotApplicable,
    packed,
    require_numbers,
    require_seed,
    shortened,
)

CALLS = 128
"""Calls that a statistic takes where a batch shares its noise."""

FEW = 16
"""Calls that do not all leave something as it was, but for a rare chance."""

DIFFERENT = 8
"""Values seen in a row of calls after which no two rows are equal by chance."""

NOISE = "correlation · √N"

RANDOM_OPS = ("Random", "Rng", "Multinomial", "PyFunc")


class Batch(NamedTuple):
    """What a layer is called with: its first argument, and others by name."""

    inputs: Any
    arguments: dict[str, Any]

    def at(self, inputs: list[Any]) -> Batch:
        """The same with other inputs, flat."""
        packed = tf.nest.pack_sequence_as(self.inputs, inputs)
        return self._replace(inputs=packed)


@dataclasses.dataclass
class Call:
    """What a call yields.

    Attributes:
        outputs: The outputs, flat.
        losses: What the layer added to the loss.
        draws: What its samplers left for the cost of each example.
        position: Which of the outputs is the sample.
        by_score: Whether the gradient comes through the second output, the
            log-probability of the sample.
    """

    outputs: list[tf.Tensor]
    losses: list[tf.Tensor]
    draws: list[Any]
    position: int = 0
    by_score: bool = False

    @property
    def sample(self) -> tf.Tensor:
        """The output that is drawn."""
        return self.outputs[self.position]

    def per_example(self, weights: Any) -> tf.Tensor:
        """A linear cost of the sample for each example, float32 `[N]`.

        With the gradient that samplers and log-probabilities give it.
        """
        if not self.draws:
            cost = _linear(self.sample, weights)
            if self.by_score:
                log_prob = tf.cast(self.outputs[1], tf.float32)
                zero = log_prob - tf.stop_gradient(log_prob)
                cost += tf.stop_gradient(cost) * zero
            return cost
        costs = [
            draw.surrogate(
                _linear(draw.sample, weights), tf.ones_like(draw.log_prob)
            )
            for draw in self.draws
        ]
        return tf.add_n(costs)

    def others(self) -> tf.Tensor | None:
        """A cost of the outputs that are no sample, if there are some."""
        others = [
            tf.reduce_sum(tf.square(tf.cast(output, tf.float32)))
            for place, output in enumerate(self.outputs)
            if place != self.position and output.dtype.is_floating
        ]
        return tf.add_n(others) if others else None

    def bent(self, middle: float, width: float) -> tf.Tensor:
        """A cost of the first entry that is not linear, float32 `[N]`."""
        flat = tf.reshape(self.sample, [len(self.sample), -1])
        return tf.tanh((tf.cast(flat[:, 0], tf.float32) - middle) / width)

    def fingerprint(self) -> bytes:
        """All values, bit for bit."""
        return bits([*self.outputs, *self.losses])


def bits(values: Iterable[Any]) -> bytes:
    """All values, bit for bit."""
    return b"".join(np.asarray(value).tobytes() for value in values)


def _linear(sample: tf.Tensor, weights: Any) -> tf.Tensor:
    products = tf.cast(sample, tf.float32) * tf.constant(weights, tf.float32)
    return tf.reduce_sum(products, axis=range(1, products.shape.rank))


class Subject:
    """A layer under test.

    Args:
        layer: The layer, or a function that makes one.
        inputs: First argument of a call; `None` for logits.
        arguments: Other arguments of a call, by name.
        distribution: What the samples follow, given the inputs as parameters;
            `False` for none that is known.
        per_example: Whether each example has noise of its own.
        surrogate: Whether the gradient is meant to be that of another
            function than the value's.
        strategy: A `tf.distribute` strategy of several replicas, or `None`.
        seed: Where random inputs come from.
        full: Whether to take more draws.
    """

    def __init__(
        self,
        layer: Any,
        inputs: Any = None,
        arguments: dict[str, Any] | None = None,
        distribution: Any = None,
        per_example: bool = True,
        surrogate: bool = False,
        strategy: Any = None,
        seed: int = 0,
        full: bool = False,
    ) -> None:
        self.random = np.random.default_rng(require_seed(seed))
        keras.utils.set_random_seed(seed % 2**31)
        is_layer = isinstance(layer, keras.layers.Layer)
        self._factory = None if is_layer else _factory(layer)
        self.layer = layer if is_layer else _made(layer)
        given = self._default() if inputs is None else inputs
        self.batch = Batch(_batches(given), _arrays(arguments or {}))
        require_numbers(tf.nest.flatten(self.batch.inputs))
        self.per_example = per_example
        self.surrogate = surrogate
        self.strategy = strategy
        self.full = full
        parameters = inspect.signature(self.layer.call).parameters
        self.takes_training = "training" in parameters
        self.position = 0
        self.returns_log_prob = False
        self._require_call()
        self.distribution = self._what_it_draws(distribution)
        self.returns_log_prob = self._has_log_prob_alone()

    def _has_log_prob_alone(self) -> bool:
        """Whether the gradient is in a second output, `[B]`, only."""
        batch = self.rows(4)
        outputs = self.call(self.layer, batch).outputs
        if len(outputs) != 2 or outputs[1].shape.rank != 1:
            return False
        *_, gradients = self.differentiated(self.layer, batch)
        return all(gradient is None for gradient in gradients)

    @functools.cached_property
    def shares_noise(self) -> bool:
        """Whether one draw is for the whole batch, meant or not."""
        if not self.per_example:
            return True
        layer, batch = self.make(), self.rows(256)
        samples = [self.call(layer, batch).sample for _ in range(4)]
        return not self.passes_on and same_rows(samples)

    @functools.cached_property
    def passes_on(self) -> bool:
        """Whether its output is its input, and its noise is in a loss."""
        inputs = tf.nest.flatten(self.batch.inputs)
        # Of several calls: noise may leave the inputs as they are by chance.
        return all(
            any(np.array_equal(sample, array) for array in inputs)
            for sample in self._few(self.position)
        )

    @property
    def name(self) -> str:
        """The layer's name and class."""
        return f"Layer {self.layer.name!r} ({type(self.layer).__name__})"

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The layer's configuration; empty where there is none."""
        try:
            return self.layer.get_config()
        except Exception:  # The check of configurations says why.
            return {}

    def learned_inputs(self) -> list[bool]:
        """Of each floating input, whether it must receive a gradient.

        That is known where it is a parameter of the distribution.
        """
        tensors = tf.nest.flatten(self.batch.inputs)
        own = self.distribution or self._declared
        if own is None or len(own.parameters) != len(tensors):
            return [False] * len(floating(tensors))
        return [
            name in own.learned()
            for name, tensor in zip(own.parameters, tensors, strict=True)
            if floating(tensor)
        ]

    @property
    def _declared(self) -> Distribution | None:
        """The distribution that the layer itself names."""
        own = getattr(self.layer, "distribution", None)
        return own if isinstance(own, Distribution) else None

    @functools.cached_property
    def drifts(self) -> bool:
        """Whether what it draws changes from call to call, as by a schedule."""
        layer = self.make()
        first = self.samples(layer)
        for _ in range(4):
            self.call(layer, self.batch)
        distance = _measure.between_means(first**2, self.samples(layer) ** 2)
        return distance > _measure.STANDARD_ERRORS

    @functools.cached_property
    def many(self) -> int:
        """How many examples a statistical check takes; of large ones fewer."""
        inputs = tf.nest.flatten(self.batch.inputs)
        shapes = [self.sample_shape, *(array.shape[1:] for array in inputs)]
        size = max(map(math.prod, shapes))
        most, numbers = (2**17, 2**23) if self.full else (2**15, 2**21)
        return int(np.clip(numbers // size, 256, most))

    def _default(self) -> Any:
        """Normal numbers; of constants whole ones, which no check changes."""
        own = self._declared
        if own is None:
            return self.random.normal(size=(4, 5)).astype("float32")
        # Two of an example's five items, or five trials of each variable.
        constant = np.full(4, 2) if own.event_rank else np.full((4, 5), 5)
        names = list(own.parameters)
        arrays = self.random.normal(size=(len(names), 4, 5)).astype("float32")
        inputs = tuple(
            constant if name in own.constants else array
            for name, array in zip(names, arrays, strict=True)
        )
        return packed(inputs)

    def _require_call(self) -> None:
        shapes = [a.shape for a in tf.nest.flatten(self.batch.inputs)]
        try:
            call = self.call(self.layer, self.batch)
        except Exception as error:
            raise ValueError(
                f"{self.name} cannot be called with inputs of shape "
                f"{', '.join(map(str, shapes))}: {shortened(error)}. Give what "
                "it is called with: `inputs=`, the first argument, and "
                "`arguments={...}`, the others by name"
            ) from error
        if not any(o.dtype.is_floating for o in call.outputs):
            raise ValueError(
                f"{self.name} must return a floating tensor. Received: "
                f"{', '.join(o.dtype.name for o in call.outputs)}"
            )
        self.position = self._position(call.outputs)
        call = self.call(self.layer, self.batch)
        self.sample_shape = tuple(call.sample.shape[1:])
        self.credits = bool(call.draws)
        if not self._is_random(call):
            raise ValueError(
                f"{self.name} is not random: a training call holds no random "
                "operation and gives the same values each time, so that there "
                "is nothing to check. Received: inputs of shape "
                f"{', '.join(map(str, shapes))}"
            )
        if self._hides_noise():
            raise ValueError(
                f"{self.name} gives the same values each time for these "
                "inputs, which let none of its noise show, as zeros do under "
                "dropout. Give others as `inputs=`"
            )

    def _hides_noise(self) -> bool:
        """Whether other inputs show noise, and these do not."""
        if self._varies(self.batch):
            return False
        other = tf.nest.map_structure(
            lambda a: (
                self.random.normal(size=a.shape).astype(a.dtype)
                if a.dtype.kind == "f"
                else a
            ),
            self.batch.inputs,
        )
        try:
            return self._varies(self.batch._replace(inputs=other))
        except Exception:  # They may not be what it takes.
            return False

    def _varies(self, batch: Batch) -> bool:
        """Whether two of several calls differ."""
        first = self.call(self.layer, batch).fingerprint()
        return any(
            self.call(self.layer, batch).fingerprint() != first
            for _ in range(CALLS)
        )

    def _position(self, outputs: list[tf.Tensor]) -> int:
        """Of the floating outputs, the first that differs between calls."""
        places = [i for i, o in enumerate(outputs) if o.dtype.is_floating]
        if len(places) > 1:
            for place in places:
                if any(
                    not np.array_equal(output, outputs[place])
                    for output in self._few(place)
                ):
                    return place
        return places[0]

    def _few(self, place: int) -> Iterator[tf.Tensor]:
        """An output of several training calls, one after the other."""
        for _ in range(FEW):
            yield self.call(self.layer, self.batch).outputs[place]

    def _is_random(self, first: Call) -> bool:
        if any(r in op for op in self.operations() for r in RANDOM_OPS):
            return True
        if self.passes_on:  # A loss may change by a schedule.
            return False
        again = self.call(self.layer, self.batch)
        if again.fingerprint() != first.fingerprint():
            return True
        try:
            other = self.call(self.make(), self.batch)
        except NotApplicable:
            return False
        return other.fingerprint() != first.fingerprint()

    def operations(self) -> set[str]:
        """Types of the operations of a training call, where it has a graph."""
        function = tf.function(
            lambda: self.call(self.layer, self.batch).outputs, autograph=False
        )
        try:
            graph = function.get_concrete_function().graph.as_graph_def()
        except Exception:  # The check of graphs says why.
            return set()
        bodies = [f.node_def for f in graph.library.function]
        return {node.op for body in [graph.node, *bodies] for node in body}

    def _what_it_draws(self, given: Any) -> Distribution | None:
        """The distribution that was given, or that can be recognised."""
        if given is not None and given is not False:
            found = distributions.get(given)
            self._require_parameters(found)
            return found
        if given is False or self.passes_on:
            return None
        shapes = [a.shape[1:] for a in tf.nest.flatten(self.batch.inputs)]
        if self._declared is None:
            fits = shapes == [self.sample_shape]
            fits = fits and not self.layer.trainable_weights
            return self._categorical() if fits else None
        own = getattr(self.layer, "training_distribution", self._declared)
        if own is None or own.sample_shape(shapes) != self.sample_shape:
            return None
        if isinstance(own, distributions.Categorical):
            return own if on_simplex(self._one(), own.axis) else None
        return own

    def _require_parameters(self, distribution: Distribution) -> None:
        names = list(distribution.parameters)
        count = len(tf.nest.flatten(self.batch.inputs))
        if count != len(names):
            raise ValueError(
                f"Argument `distribution` takes the inputs for its parameters, "
                f"{', '.join(names)}, and there are {count}: all of them stand "
                "in `inputs=`, the first argument of a call, and none in "
                f"`arguments=`. Received: distribution={distribution!r}"
            )

    def _categorical(self) -> Distribution | None:
        """Categories along the axis along which a sample sums to one."""
        (array,) = tf.nest.flatten(self.batch.inputs)
        sample = self._one()
        for axis in (-1, *range(1, sample.ndim - 1)):
            # Inputs that are probabilities are no logits.
            if (
                array.dtype.kind == "f"
                and on_simplex(sample, axis)
                and not on_simplex(array, axis)
            ):
                return distributions.Categorical(axis=axis)
        return None

    def _one(self) -> np.ndarray:
        """A sample of the batch."""
        return single(self.call(self.layer, self.batch).sample)

    # Making and calling

    def make(self, **changes: Any) -> keras.layers.Layer:
        """Returns another layer, built, with the trained weights of this one.

        Args:
            **changes: Entries of the configuration to replace.
        """
        layer = self.make_unbuilt(**changes)
        self.call(layer, self.batch)
        for one, other in zip(
            layer.trainable_variables,
            self.layer.trainable_variables,
            strict=True,
        ):
            one.assign(tf.cast(tf.convert_to_tensor(other), one.dtype))
        return layer

    def make_unbuilt(self, **changes: Any) -> keras.layers.Layer:
        """Returns another layer that was never called."""
        if self._factory is not None and not changes:
            return self._factory()
        return self._from_config(changes)

    def _from_config(self, changes: dict[str, Any]) -> keras.layers.Layer:
        try:
            config = self.layer.get_config()
            missing = sorted(set(changes) - set(config))
            if missing:
                raise NotApplicable(
                    f"its configuration has no {', '.join(missing)}"
                )
            return type(self.layer).from_config({**config, **changes})
        except NotApplicable:
            raise
        except Exception as error:
            raise NotApplicable(
                "no other layer can be made from its configuration "
                f"({shortened(error, 100)}); a function that makes one can be "
                "given instead of the layer"
            ) from error

    def rows(self, count: int, example: int | None = 0) -> Batch:
        """Returns a batch of this many examples, all of them one example.

        Args:
            count: How many.
            example: Its index; `None` to repeat the whole batch.
        """
        size = len(tf.nest.flatten(self.batch.inputs)[0])

        def repeat(array: np.ndarray) -> tf.Tensor:
            if array.ndim == 0 or len(array) != size:
                return tf.constant(array)
            if example is None:
                repeated = np.resize(array, (count, *array.shape[1:]))
            else:
                repeated = np.repeat(array[example][None], count, axis=0)
            return tf.constant(repeated)

        return Batch(*tf.nest.map_structure(repeat, tuple(self.batch)))

    def call(
        self, layer: Any, batch: Batch, training: bool | None = True
    ) -> Call:
        """Calls the layer, or a model of it."""
        arguments = dict(batch.arguments)
        if self.takes_training:
            arguments["training"] = training
        inputs = tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)
        with CostCollector() as collector:
            outputs = flat_outputs(layer(inputs, **arguments))
        return Call(
            outputs,
            list(layer.losses),
            list(collector.draws),
            self.position,
            self.returns_log_prob,
        )

    def half(self, dtype: str) -> keras.layers.Layer:
        """Returns a layer of this precision, with the layers inside it.

        Of the mixed one where its weights cannot be made in it: the initial
        values of some have no kernel in bfloat16.
        """
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(dtype)
            layer = self.make()  # Whose parts, too, follow the policy.
            if layer.dtype_policy.name == dtype:
                return layer
            parts = _replaced(self.config, self.config.get("dtype"), dtype)
            return self.make(**{**parts, "dtype": dtype})
        except tf.errors.OpError:
            if dtype.startswith("mixed") or not self.layer.weights:
                raise
            return self.half(f"mixed_{dtype}")
        finally:
            keras.config.set_dtype_policy(before)

    def fingerprint(self, layer: Any, count: int = 256) -> bytes:
        """All values of a training call, bit for bit.

        Where a batch has one draw, of several calls.
        """
        batch = self.batch if self.shares_noise else self.rows(count)
        return self.row(lambda: self.call(layer, batch).fingerprint())

    def row(self, draw: Callable[[], bytes]) -> bytes:
        """What one call gives, bit for bit.

        Where a batch has one draw, which may have few values, several calls:
        until so many different ones were seen, or their number is reached.
        """
        if not self.shares_noise:
            return draw()
        prints: list[bytes] = []
        while len(prints) < CALLS and len(set(prints)) < DIFFERENT:
            prints.append(draw())
        return b"".join(prints)

    def collected(
        self, function: Callable[[Batch], Any], count: int | None = None
    ) -> np.ndarray:
        """What a function gives for one example, many times, `[N, ...]`.

        In one call or, where one draw is for the whole batch, in many.
        """
        if not self.shares_noise:
            return single(function(self.rows(count or self.many)))
        one = self.rows(1)
        return np.concatenate([single(function(one)) for _ in range(CALLS)])

    def samples(self, layer: Any, count: int | None = None) -> np.ndarray:
        """Samples for one example, many times, float32 `[N, ...]`."""
        return self.collected(lambda b: self.call(layer, b).sample, count)

    def projected(self, samples: np.ndarray) -> np.ndarray:
        """One number for each example: a fixed combination of its entries."""
        flat = np.reshape(samples, [len(samples), -1])
        return flat @ np.ravel(self.weights)

    def most_dependent(self, samples: list[np.ndarray]) -> Finding:
        """The dependence of any two of several draws."""
        if self.passes_on or same_rows(samples):
            return Finding("they differ")
        rows = [self.projected(sample) for sample in samples]
        figure = max(
            _measure.dependence(one, other)
            for i, one in enumerate(rows)
            for other in rows[:i]
        )
        return Finding(NOISE, figure, _measure.STANDARD_ERRORS)

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Weights of a linear cost of the sample."""
        return self.random.normal(size=self.sample_shape).astype("float32")

    def differentiated(
        self,
        layer: Any,
        batch: Batch,
        cost_of: Callable[[Call], tf.Tensor] | None = None,
    ) -> tuple[Call, tf.Tensor, list[tf.Tensor | None]]:
        """A call, a cost for each example, and its gradient in the inputs."""
        cost_of = cost_of or self.linear
        sources = floating(batch.inputs)
        with tf.GradientTape() as tape:
            tape.watch(sources)
            call = self.call(layer, batch)
            cost = cost_of(call)
        return call, cost, tape.gradient(cost, sources)

    def linear(self, call: Call) -> tf.Tensor:
        """A linear cost for each example."""
        return call.per_example(self.weights)

    def bent(self) -> Callable[[Call], tf.Tensor]:
        """Returns another cost, a step about as wide as what is drawn."""
        first = self.samples(self.make()).reshape(self.many, -1)[:, 0]
        return lambda call: call.bent(first.mean(), first.std() + 1e-6)

    def repeater(self, layer: keras.layers.Layer) -> Callable[[], None]:
        """Returns a function after which the layer draws the same again."""
        variables = state_of(layer)
        values = [variable.numpy() for variable in variables]
        seed = int(self.random.integers(2**31))

        def back() -> None:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            keras.utils.set_random_seed(seed)

        back()
        return back


def state_of(layer: keras.layers.Layer) -> list[Any]:
    """All variables: those that Keras lists, and those that it does not."""
    tracked = graph_view.ObjectGraphView(layer).breadth_first_traversal()[0]
    found = {id(v): v for v in tracked if isinstance(v, tf.Variable)}
    found |= {id(v.value): v.value for v in layer.variables}
    return list(found.values())


def on_simplex(sample: Any, axis: int) -> bool:
    """Whether all values are probabilities that sum to one along an axis."""
    values = single(sample)
    return bool(
        values.ndim > 1
        and np.all(values >= 0)
        and np.allclose(values.sum(axis=axis), 1.0, atol=0.02)
    )


def flat_outputs(outputs: Any) -> list[Any]:
    """The tensors among what a layer returns."""
    return [o for o in tf.nest.flatten(outputs) if o is not None]


def same_rows(samples: list[np.ndarray]) -> bool:
    """Whether all examples of each batch are the same."""
    return all(np.all(sample == sample[:1]) for sample in samples)


def single(tensor: Any) -> np.ndarray:
    """A tensor of any floating type, sparse gradients too, in float32."""
    return np.asarray(tf.cast(tf.convert_to_tensor(tensor), tf.float32))


def floating(inputs: Any) -> list[tf.Tensor]:
    """The floating tensors among the inputs."""
    tensors = map(tf.convert_to_tensor, tf.nest.flatten(inputs))
    return [tensor for tensor in tensors if tensor.dtype.is_floating]


def require_floating(subject: Subject) -> None:
    """Raises if no input can be moved a little."""
    if not floating(subject.batch.inputs):
        raise NotApplicable("its inputs are no floating numbers")


def _replaced(config: Any, old: Any, dtype: str) -> Any:
    """A configuration with another `dtype`, in the layers inside it, too."""
    if isinstance(config, list | tuple):
        return type(config)(_replaced(part, old, dtype) for part in config)
    if not isinstance(config, dict):
        return config
    return {
        key: dtype
        if key == "dtype" and part == old
        else _replaced(part, old, dtype)
        for key, part in config.items()
    }


def _batches(inputs: Any) -> Any:
    """A structure of arrays, or the array that lists of numbers are."""
    arrays = _arrays(inputs)
    if not any(array.ndim for array in tf.nest.flatten(arrays)):
        arrays = np.asarray(inputs)
        if not arrays.ndim:
            raise ValueError(
                "Argument `inputs` must hold a batch of examples. "
                f"Received: inputs={inputs!r}"
            )
    return arrays


def _arrays(structure: Any) -> Any:
    return tf.nest.map_structure(np.asarray, structure)


def _factory(layer: Any) -> Callable[[], keras.layers.Layer]:
    _refuse_legacy(layer)
    if not callable(layer):
        raise TypeError(
            "Argument `layer` must be a layer of Keras 3, or a function that "
            f"makes one. Received: layer={layer!r}"
        )
    return layer


def _refuse_legacy(layer: Any) -> None:
    bases = [*type(layer).__mro__, *getattr(layer, "__mro__", ())]
    if any(base.__module__.partition(".")[0] == "tf_keras" for base in bases):
        raise TypeError(
            "Argument `layer` must be a layer of Keras 3; one of tf_keras "
            "(Keras 2) is none. Import it from `keras`, and unset "
            f"TF_USE_LEGACY_KERAS. Received: layer={layer!r}"
        )


def _made(factory: Callable[[], Any]) -> keras.layers.Layer:
    layer = factory()
    _refuse_legacy(layer)
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            "Argument `layer` must make a layer of Keras 3. "
            f"Received: a function that returns {layer!r}"
        )
    return layer
