"""Checks of what is kept: weights, configuration, files."""

from __future__ import annotations

import inspect
import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.layers import CostCollector
from tfgumbel.testing._run import Fault, Finding, NotApplicable, check
from tfgumbel.testing._subject import CALLS, Subject, bits


@check(
    "weights",
    "Weights hold no noise: who copies them does not repeat it",
    "keep the state of the noise out of `weights`: a "
    "`keras.random.SeedGenerator` does, `add_weight` does not",
)
def weights(subject: Subject) -> Finding:
    layer, other = subject.make(), subject.make()
    for _ in range(2):
        subject.fingerprint(other)
    other.set_weights(layer.get_weights())
    same = subject.fingerprint(layer) == subject.fingerprint(other)
    if same and layer.weights:
        raise Fault(
            "after set_weights(get_weights()) two layers drew the same noise"
        )
    return Finding(f"{len(layer.weights)} weights, and none is a seed")


@check(
    "configuration",
    "The configuration holds every argument, and makes the same layer",
    "return every argument of the constructor from `get_config`, as numbers, "
    "strings and lists, next to those of `super().get_config()`",
)
def configuration(subject: Subject) -> Finding:
    config = subject.layer.get_config()
    try:
        config = json.loads(json.dumps(config))
    except (TypeError, ValueError) as error:
        raise Fault(f"it is not JSON: {error}") from error
    other = type(subject.layer).from_config(config)
    wanted = _arguments(type(subject.layer))
    if not isinstance(subject.layer, keras.Model):
        wanted |= {"dtype"}  # Of `super()`.
    missing = sorted(wanted - set(config))
    if missing and not _own_from_config(subject.layer):
        raise Fault(f"the constructor takes {', '.join(missing)}, it does not")
    again = json.loads(json.dumps(other.get_config()))
    changed = sorted(key for key in config if again.get(key) != config[key])
    changed += sorted(
        name
        for name, value in _plain(subject.layer).items()
        if _plain(other).get(name, value) != value
    )
    if changed:
        raise Fault(f"the layer made from it has another {changed[0]}")
    return Finding(f"{len(config)} entries")


def _arguments(cls: type) -> set[str]:
    """Arguments of a constructor, by name.

    But for `weights`, values that Keras's Embedding, too, leaves out. What
    constructors of Keras leave out is for Keras to say.
    """
    if cls.__init__.__module__.partition(".")[0] == "keras":  # type: ignore[misc]
        return set()
    kinds = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {
        name
        for name, parameter in parameters.items()
        if parameter.kind in kinds and name not in ("self", "weights")
    }


def _own_from_config(layer: keras.layers.Layer) -> bool:
    own = type(layer).from_config.__func__
    return own is not keras.layers.Layer.from_config.__func__


def _plain(layer: keras.layers.Layer) -> dict[str, Any]:
    """Attributes of its own that are numbers and strings."""
    inherited = vars(keras.layers.Layer())
    return {
        name: value
        for name, value in vars(layer).items()
        if not name.startswith("_")
        and name not in inherited
        and isinstance(value, bool | int | float | str)
    }


@check(
    "keras file",
    "A `.keras` file gives the layer back, and its noise goes on",
    "register the class with keras.saving.register_keras_serializable, and "
    "save what counts the draws (`save_own_variables`): Keras's own "
    "SeedGenerator with a seed starts anew after loading",
)
def keras_file(subject: Subject) -> Finding:
    layer = subject.make_unbuilt()
    model, values = model_of(subject, layer), flat(subject, 64)
    before = [drawn(subject, model, values) for _ in range(3)]
    expected = _predicted(model, values)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        with keras.saving.custom_object_scope(
            {type(layer).__name__: type(layer)}
        ):
            other = keras.saving.load_model(path)
    if _is_steady(subject, layer):
        found = _predicted(other, values)
        if not all(map(np.array_equal, found, expected)):
            raise Fault("the model that was loaded predicts something else")
    if drawn(subject, other, values) in before:
        raise Fault("the layer that was loaded repeats the noise from before")
    return Finding("the same predictions, and new noise")


@check(
    "saved model",
    "A SavedModel predicts the same, and draws anew at each call",
    "compute with TensorFlow alone in `call`, and draw with a seed that is a "
    "variable of the layer",
    quick=False,
)
def saved_model(subject: Subject) -> Finding:
    layer = subject.make()
    model, values = model_of(subject, layer), flat(subject, 64)
    expected = _predicted(model, values)

    def train(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        with CostCollector():
            outputs = tf.nest.flatten(model(inputs, training=True))
        return [*outputs, *model.losses]

    signature = [tf.TensorSpec(t.shape, t.dtype) for t in model.inputs]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve", lambda inputs: model(inputs, training=False), [signature]
    )
    archive.add_endpoint("train", train, [signature])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
    if _is_steady(subject, layer):
        found = tf.nest.flatten(loaded.serve(values))
        if not all(
            np.allclose(f, e, rtol=1e-5, atol=1e-5)
            for f, e in zip(found, expected, strict=True)
        ):
            raise Fault("the SavedModel predicts something else")
    count = CALLS if subject.shares_noise else 2
    prints = {bits(loaded.train(values)) for _ in range(count)}
    if len(prints) == 1:
        raise Fault("two training calls of the SavedModel gave the same values")
    return Finding("the same predictions, and new noise at each call")


def _is_steady(subject: Subject, layer: keras.layers.Layer) -> bool:
    """Whether inference draws nothing."""
    pair = [subject.call(layer, subject.batch, False) for _ in range(2)]
    return pair[0].fingerprint() == pair[1].fingerprint()


def model_of(subject: Subject, layer: keras.layers.Layer) -> keras.Model:
    """A functional model of the layer alone."""

    def symbol(array: np.ndarray) -> Any:
        if array.ndim == 0:
            raise NotApplicable("an input is no batch")
        return keras.Input(array.shape[1:], dtype=array.dtype.name)

    inputs, arguments = tf.nest.map_structure(symbol, tuple(subject.batch))
    outputs = layer(inputs, **arguments)
    symbols = tf.nest.flatten([inputs, arguments])
    return keras.Model(symbols, outputs)


def flat(subject: Subject, count: int) -> list[tf.Tensor]:
    """What `model_of` takes."""
    batch = subject.rows(count, None)
    return tf.nest.flatten([batch.inputs, batch.arguments])


def drawn(
    subject: Subject, model: keras.Model, values: list[tf.Tensor]
) -> bytes:
    """All that a training call gives, bit for bit; or several calls."""

    def draw() -> bytes:
        with CostCollector():
            found = tf.nest.flatten(model(values, training=True))
        return bits([*found, *model.losses])

    return subject.row(draw)


def _predicted(model: keras.Model, values: list[tf.Tensor]) -> list[np.ndarray]:
    outputs = tf.nest.flatten(model(values, training=False))
    return [np.asarray(output) for output in outputs]


CHECKS = (weights, configuration, keras_file, saved_model)
