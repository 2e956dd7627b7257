"""A smaller model without the gates that are closed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfgumbel.layers.stochastic_gate import StochasticGate

_WITH_KERNEL = (keras.layers.Dense, keras.layers.Conv2D)
_POOLS = (
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)
# Layers that treat each feature by itself, and scale with what they are given.
_LINEAR = (keras.layers.Dropout, keras.layers.ReLU, keras.layers.LeakyReLU)
# Layers of which it is not seen what they do.
_HOLDERS = (keras.Model, keras.layers.Wrapper, keras.layers.Lambda)
_LINEAR_ACTIVATIONS = ("linear", "relu", "leaky_relu")


def prune_gates(model: keras.Model) -> keras.Sequential:
    """Returns a smaller model with the outputs that `model` has at inference.

    Each `StochasticGate` is taken out. The units of the `Dense` layer, or the
    filters of the `Conv2D`, before it whose gate is closed go, with what
    follows takes of them; open gates are multiplied into the kernel that
    follows. A gate on the inputs leaves the model's inputs as they are, and
    zeros in the first kernel (`open_gates()` says which inputs are needed).

    Args:
        model: A built chain of layers, `keras.Sequential` or functional: of
            `Dense`, `Conv2D`, learned gates on the last axis, `Flatten`,
            pooling, dropout and activations. `BatchNormalization` may stand
            before a gate, and between a gate and the next kernel only what is
            linear in the size of its inputs, such as ReLU. Features are on
            the last axis. Other layers of Keras's may stand elsewhere, such as
            `Rescaling` in front and `Softmax` at the end; a gate takes nothing
            out of what is before them.

    Returns:
        A new `keras.Sequential` with weights of its own, not compiled.

    Raises:
        TypeError: If `model` is no Keras model, or has a layer that is none of
            these where a gate has to pass it, holds other layers, or is of a
            subclass with a `call` of its own.
        ValueError: If the model is not built or no chain from one input to one
            output, a gate is not learned or not on the last axis, all gates of
            a layer are closed, no kernel follows a gate where one is needed,
            a softmax or the like mixes features that a gate takes away, or a
            layer is quantised, adapted (LoRA) or has its channels first.

    Example:

    >>> import keras, numpy as np, tfgumbel as tg
    >>> model = keras.Sequential([
    ...     keras.Input((4,)),
    ...     keras.layers.Dense(3, activation="relu"),
    ...     tg.StochasticGate(),
    ...     keras.layers.Dense(1),
    ... ])
    >>> _ = model.layers[1].gates.assign([5.0, -5.0, 0.0])
    >>> [w.shape for w in tg.prune_gates(model).get_weights()]
    [(4, 2), (2,), (2, 1), (1,)]
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "Argument `model` must be a Keras model. "
            f"Received: model of type {type(model).__name__}"
        )
    layers = _layers(model)
    chain = _Chain(model.inputs[0].shape)
    for layer in layers:
        chain.add(layer)
    return chain.finished(model)


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a chain, in order."""
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Argument `model` must be a built keras.Sequential or functional "
            f"model. Received: model={model!r}"
        )
    if isinstance(model, keras.Sequential):
        return list(model.layers)
    # Keras 3.12 to 3.15 have no public way to see which layer feeds which.
    by_depth = model._nodes_by_depth
    if len(model.outputs) > 1:
        raise ValueError(
            "Argument `model` must be a chain, which has one output. "
            f"Received: {model.name!r} with {len(model.outputs)} outputs"
        )
    layers = []
    for depth in sorted(by_depth, reverse=True):
        node, *others = by_depth[depth]
        if others or len(node.input_tensors) > 1:
            raise ValueError(
                "Argument `model` must be a chain, in which each layer takes "
                "what the one before gives. Received: layer "
                f"{node.operation.name!r} in {model.name!r}"
            )
        if not node.is_input:
            layers.append(node.operation)
    return layers


class _Chain:
    """The smaller layers so far, and what of their output is wanted.

    Attributes:
        layers: Pairs of a layer and its weights.
        kept: Which features of the last output of the model there are.
        scale: What the next kernel has to multiply them by.
        producer: Index of the layer that features can still be taken out of,
            if there is one.
        shape: Shape of the last output of the model.
    """

    def __init__(self, shape: Any) -> None:
        self.shape = tuple(shape)
        self.layers: list[tuple[keras.layers.Layer, list[np.ndarray]]] = []
        self.kept: np.ndarray | None = None
        self.scale: np.ndarray | None = None
        self.producer: int | None = None

    def add(self, layer: keras.layers.Layer) -> None:
        """Takes the next layer of the model."""
        _require_plain(layer)
        if isinstance(layer, StochasticGate):
            self._gate(layer)
        elif isinstance(layer, _WITH_KERNEL):
            self._kernel(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            self._normalization(layer)
        elif isinstance(layer, keras.layers.Flatten):
            self._flatten(layer)
        else:
            self._elementwise(layer)
        self.shape = tuple(layer.compute_output_shape(self.shape))

    def _gate(self, gate: StochasticGate) -> None:
        if gate.axis % len(self.shape) != len(self.shape) - 1:
            raise ValueError(
                "Only gates on the last axis can be pruned. Received: layer "
                f"{gate.name!r} with axis={gate.axis}"
            )
        values = gate.fixed_gates()
        if self.kept is not None:
            values = values[self.kept]
        if not np.any(values > 0):
            raise ValueError(
                "A model whose gates are all closed gives the same for every "
                f"input. Received: layer {gate.name!r} with no open gate"
            )
        self.scale = values if self.scale is None else self.scale * values
        if self.producer is not None and self.kept is not None:
            wanted = values > 0
            self.kept, self.scale = self.kept[wanted], self.scale[wanted]
            self._drop(self.producer, wanted)

    def _drop(self, first: int, wanted: np.ndarray) -> None:
        """Takes features out of the producer and what came after it."""
        for index in range(first, len(self.layers)):
            layer, weights = self.layers[index]
            if not _treats_each_alone(layer, wanted):
                raise ValueError(
                    "What stands between a kernel and its gate must treat "
                    "each feature by itself, so that closed ones can go. "
                    f"Received: layer {layer.name!r} with activation "
                    f"{layer.activation!r}"
                )
            weights = [weight[..., wanted] for weight in weights]
            self.layers[index] = layer, weights

    def _kernel(self, layer: Any) -> None:
        if getattr(layer, "groups", 1) != 1:
            raise ValueError(
                "A convolution in groups cannot be pruned. Received: layer "
                f"{layer.name!r} with groups={layer.groups}"
            )
        kernel, *bias = weights = layer.get_weights()
        if len(weights) != 1 + layer.use_bias:
            raise ValueError(
                "A layer can be pruned whose weights are a kernel and a bias, "
                "neither quantised nor adapted (LoRA). Received: layer "
                f"{layer.name!r} with {len(weights)} weights"
            )
        if self.kept is not None:
            kernel = kernel[..., self.kept, :]
        if self.scale is not None:
            kernel = kernel * self.scale[:, None]
        self.producer, self.scale = len(self.layers), None
        self.kept = np.arange(kernel.shape[-1])
        self.layers.append((layer, [kernel, *bias]))

    def _normalization(self, layer: keras.layers.BatchNormalization) -> None:
        self._require_no_scale(layer)
        if layer.axis % len(self.shape) != len(self.shape) - 1:
            raise ValueError(
                "Only normalization of the last axis can be pruned. Received: "
                f"layer {layer.name!r} with axis={layer.axis}"
            )
        self.layers.append((layer, layer.get_weights()))

    def _flatten(self, layer: keras.layers.Flatten) -> None:
        """Features of all positions, one after the other, stand in a row."""
        positions = int(np.prod(self.shape[1:-1]))
        if positions > 1:
            features = self.shape[-1]
            if self.kept is not None:
                first = features * np.arange(positions)[:, None]
                self.kept = (first + self.kept).ravel()
            if self.scale is not None:
                self.scale = np.tile(self.scale, positions)
            self.producer = None
        self.layers.append((layer, []))

    def _elementwise(self, layer: keras.layers.Layer) -> None:
        known = (keras.layers.Activation, *_LINEAR, *_POOLS)
        if not isinstance(layer, known):
            self._unknown(layer)
            return
        if not _scales(layer):
            self._require_no_scale(layer)
        self.layers.append((layer, []))

    def _unknown(self, layer: keras.layers.Layer) -> None:
        """A layer that is taken as it is, with all features before it."""
        if self.scale is not None or isinstance(layer, _HOLDERS):
            raise TypeError(
                "Argument `model` must consist of layers that can be pruned: "
                "Dense, Conv2D, gates, BatchNormalization, Flatten, pooling, "
                "Dropout, ReLU, LeakyReLU and Activation, and of others only "
                "where no gate has to pass them. "
                f"Received: {layer!r}"
            )
        self.producer = self.kept = None
        self.layers.append((layer, layer.get_weights()))

    def _require_no_scale(self, layer: keras.layers.Layer) -> None:
        if self.scale is not None:
            raise ValueError(
                "Open gates are multiplied into the kernel that follows, and "
                f"layer {layer.name!r} stands between, which is not linear in "
                "the size of its inputs"
            )

    def finished(self, model: keras.Model) -> keras.Sequential:
        """Returns the smaller model."""
        if self.scale is not None:
            raise ValueError(
                "A gate must be followed by a Dense or Conv2D layer, whose "
                "kernel takes it up. Received: a model that ends in a gate"
            )
        first = model.inputs[0]
        inputs = keras.Input(first.shape[1:], dtype=first.dtype)
        smaller = keras.Sequential([inputs], name=f"{model.name}_pruned")
        names: list[str] = []
        for layer, weights in self.layers:
            # A layer that the model uses twice is two layers here.
            again = names.count(layer.name)
            names.append(layer.name)
            name = f"{layer.name}_{again}" if again else layer.name
            smaller.add(_resized(layer, weights, name))
            smaller.layers[-1].set_weights(weights)
        return smaller


def _require_plain(layer: Any) -> None:
    """Raises for a layer that does something else than its class in Keras."""
    own = not isinstance(layer, StochasticGate)
    call = getattr(type(layer), "call", None)
    if own and call and call.__module__.split(".")[0] != "keras":
        raise TypeError(
            "Argument `model` must consist of Keras's own layers and gates: "
            "what another `call` computes is not known. Received: "
            f"{layer!r}"
        )
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError(
            "Only features on the last axis can be pruned. Received: layer "
            f"{layer.name!r} with data_format='channels_first'"
        )


def _treats_each_alone(layer: Any, wanted: np.ndarray) -> bool:
    """Whether the activation of what is wanted needs nothing else."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return True
    x, other = np.random.default_rng(0).normal(size=(2, 8, len(wanted)))
    values = [
        np.asarray(activation(keras.ops.convert_to_tensor(each, "float32")))
        for each in (x, np.where(wanted, x, other))
    ]
    if values[0].shape != x.shape:
        return False
    one, another = (value[:, wanted] for value in values)
    return np.allclose(one, another, atol=1e-6)


def _scales(layer: Any) -> bool:
    """Whether twice the input gives twice the output."""
    if isinstance(layer, keras.layers.Activation):
        name = getattr(layer.activation, "__name__", None)
        return name in _LINEAR_ACTIVATIONS
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value is None and layer.threshold == 0
    return True


def _resized(
    layer: keras.layers.Layer, weights: list[np.ndarray], name: str
) -> keras.layers.Layer:
    """The layer anew, with as many units as its weights have."""
    config = {**layer.get_config(), "name": name}
    activation = getattr(layer, "activation", None)
    if not isinstance(activation, keras.layers.Layer | None):
        config["activation"] = activation  # any function, registered or not
    if isinstance(layer, _WITH_KERNEL):
        size = "units" if "units" in config else "filters"
        config[size] = weights[0].shape[-1]
    return type(layer).from_config(config)
