"""Calls of a row's layer, alone and inside models."""

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.definitions import NOISE_OF_ROWS, linear_cost
from tests.ops.derivatives import weighted_sum

ZERO = tf.UnconnectedGradients.ZERO


def tensors(inputs, dtype=None):
    """The inputs as tensors, the floating ones in `dtype`."""

    def convert(array):
        tensor = tf.convert_to_tensor(array)
        floating = tensor.dtype.is_floating and dtype is not None
        return tf.cast(tensor, dtype) if floating else tensor

    return tf.nest.map_structure(convert, inputs)


def training_values(layer, inputs):
    """All that a training call yields, as in `LayerCase.training`.

    A sampler that waits for the cost of each example is given a linear one.
    """
    with tg.layers.CostCollector() as collector:
        outputs = tf.nest.flatten(layer(*inputs, training=True))
    costs = [
        draw.surrogate(linear_cost(draw.sample), tf.ones_like(draw.log_prob))
        for draw in collector.draws
    ]
    return [*outputs, *layer.losses, *costs]


def floating(inputs):
    return [t for t in tf.nest.flatten(inputs) if t.dtype.is_floating]


def differentiated(function, inputs, *variables):
    """The values, and the gradients of their weighted sum."""
    sources = floating(inputs)
    with tf.GradientTape() as tape:
        tape.watch(sources)
        values = function(inputs)
        total = tf.add_n(
            [tf.cast(weighted_sum(value), tf.float32) for value in values]
        )
    gradients = tape.gradient(
        total, sources + list(variables), unconnected_gradients=ZERO
    )
    return values, gradients


def seed_state(layer):
    return layer.peek_seed()


def definition(case, layer, inputs, noise):
    """Values and gradients by the row's definition, in float64."""
    noise = None if noise is None else tf.cast(noise, tf.float64)
    values, gradients = differentiated(
        lambda inputs: case.training(layer, noise, *inputs),
        tensors(inputs, tf.float64),
    )
    return values, gradients


def sample_shape(case):
    return tf.nest.flatten(case.inputs)[0].shape


def drawn_noise(case, layer, seed):
    """What the row's layer draws with this seed."""
    if case.noise in NOISE_OF_ROWS:
        axis = getattr(layer, "axis", -1)
        return case.noise(sample_shape(case), seed, axis)
    return case.noise(sample_shape(case), seed)


def network(case, dtype=None, **kwargs):
    """A functional model: a trainable identity, then the row's layer."""

    def placeholder(array):
        half = dtype is not None and array.dtype == np.float32
        name = dtype if half else array.dtype.name
        return keras.Input(array.shape[1:], dtype=name)

    inputs = tf.nest.map_structure(placeholder, case.inputs)
    first, *others = flat = tf.nest.flatten(inputs)
    hidden = [trainable_identity(first), *others]
    outputs = case.make(**kwargs)(*tf.nest.pack_sequence_as(inputs, hidden))
    return keras.Model(flat, outputs)


def trainable_identity(tensor):
    if len(tensor.shape) < 2:
        return tensor
    return keras.layers.Dense(tensor.shape[-1], kernel_initializer="identity")(
        tensor
    )


def flat_inputs(case):
    """What `network(case)` takes."""
    return tensors(tf.nest.flatten(case.inputs))


def the_layer(model):
    """The row's layer in a `network`."""
    return model.layers[-1]


def numpy(structure):
    return tf.nest.map_structure(np.asarray, structure)


def assert_equal(actual, expected):
    """Two structures are equal, bit for bit."""
    actual, expected = (tf.nest.flatten(s) for s in (actual, expected))
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(e))
