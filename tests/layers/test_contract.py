"""What holds for every layer: a row of `helpers/cases.py` buys every test."""

import copy
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.cases import is_variant, layer_cases
from tests.layers.calls import (
    assert_equal,
    definition,
    differentiated,
    drawn_noise,
    flat_inputs,
    floating,
    network,
    seed_state,
    tensors,
    the_layer,
    training_values,
)
from tests.ops.derivatives import assert_close

# Later rows of a class must equal their definition; the rest is on demand.
every_row = layer_cases()
every_layer = layer_cases(exhaustive=is_variant)
drawing = layer_cases(
    lambda case: case.noise is not None, exhaustive=is_variant
)
with_axes = layer_cases(lambda case: case.axes)
relaxed = layer_cases(lambda case: case.relaxed)
of_one_tensor = layer_cases(
    lambda case: (
        len(case.inputs) == 1 and isinstance(case.inputs[0], np.ndarray)
    )
)
POLICIES = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"]
ONE_UNIT = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def with_noise(case, layer, inputs):
    """Values and gradients of a training call, and the noise it drew."""
    noise = None
    if case.noise is not None:
        noise = drawn_noise(case, layer, seed_state(layer))
    return (
        differentiated(lambda inputs: training_values(layer, inputs), inputs),
        noise,
    )


def assert_follows_definition(case, layer, compiled=lambda f: f):
    inputs = tensors(case.inputs)
    layer(*inputs)  # makes what a layer makes when it is built
    actual, noise = compiled(lambda: with_noise(case, layer, inputs))()
    expected = definition(case, layer, inputs, noise)
    assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def built(case, **kwargs):
    layer = case.make(**kwargs)
    layer(*tensors(case.inputs))
    return layer


def draw(case, layer):
    return training_values(layer, tensors(case.inputs))


def numbers(case, layer):
    """All that a training call yields, in one row."""
    return np.concatenate([np.ravel(value) for value in draw(case, layer)])


@pytest.mark.core
@every_row
def test_training_equals_the_definition(case):
    """Value and gradient, for the noise that was drawn."""
    assert_follows_definition(case, case.make())


@pytest.mark.full
@layer_cases(
    slow=lambda case: case.slow_to_compile,
    exhaustive=lambda case: (
        is_variant(case)
        or "KL" in case.id
        or case.id.startswith(("Permutation", "Concrete", "ScoreFunction"))
    ),
)
@pytest.mark.parametrize("compiled", ["xla"], indirect=True)
def test_training_under_xla_equals_the_definition(case, compiled):
    assert_follows_definition(case, case.make(), compiled)


@with_axes
def test_every_axis_may_hold_the_categories(case):
    for axis in case.axes:
        assert_follows_definition(case, case.make(axis=axis))
        assert_inference(case, case.make(axis=axis), next(iter(case.inference)))


@every_layer
def test_rematerialisation_keeps_the_noise(case):
    """What is computed again in the backward pass is not drawn again."""
    with keras.RematScope(mode="full"):
        layer = case.make()
    assert_follows_definition(case, layer)


def assert_inference(case, layer, mode):
    weights = list(layer.weights)
    before = [w.numpy() for w in weights]
    inputs = tensors(case.inputs)
    outputs = tf.nest.flatten(layer(*inputs, training=False))
    if not case.draws_always:
        assert_equal(weights, before)
    expected = case.inference[mode](layer, *tensors(case.inputs, tf.float64))
    assert_close(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.core
@every_row
def test_inference_is_deterministic_and_draws_nothing(case):
    """By default, and in every mode that does not sample."""
    modes = list(case.inference)
    assert_inference(case, case.make(), modes[0])
    for mode in modes if case.law else []:
        assert_inference(case, case.make(inference=mode), mode)


@relaxed
def test_relaxed_inference_equals_training(case):
    layer, trained = case.make(inference="relaxed"), case.make()
    inputs = tensors(case.inputs)
    outputs = layer(*inputs, training=False)
    assert_equal(outputs, trained(*inputs, training=True))


@every_row
def test_config_round_trip(case):
    """Through JSON; the layer that comes back draws the same."""
    layer = case.make(name="it")
    config = json.loads(json.dumps(layer.get_config()))
    arguments = set(inspect.signature(type(layer)).parameters)
    assert arguments <= {*config, "weights", "kwargs"}
    other = type(layer).from_config(config)
    assert other.get_config() == layer.get_config()
    for name in arguments:
        plain = getattr(layer, name, None)
        if isinstance(plain, str | int | float | tuple):
            assert getattr(other, name) == plain, name
    assert type(layer).from_config(other.get_config()).name == "it"
    assert len(other.weights) == len(layer.weights)
    if case.noise is not None:
        assert other.seed == layer.seed
        assert_equal(numbers(case, other), numbers(case, layer))


@every_layer
def test_batch_size_may_be_unknown(case):
    """And so may a size in the middle, as of a sequence."""
    layer = built(case)
    # Groups of variables divide a number that must be known.
    grouped = getattr(layer, "groups", None) is not None

    def unknown(array):
        middle = array.shape[1:-1] if grouped else [None] * (array.ndim - 2)
        return tf.TensorSpec(
            [None, *middle, *array.shape[1:][-1:]], array.dtype
        )

    @tf.function(input_signature=tf.nest.map_structure(unknown, case.inputs))
    def call(*inputs):
        return layer(*inputs, training=False), training_values(layer, inputs)

    for size in (3, 2):
        inputs = tf.nest.map_structure(lambda a, n=size: a[:n], case.inputs)
        expected = tf.nest.flatten(layer(*tensors(inputs)))[0].shape
        for outputs in call(*inputs):
            assert tf.nest.flatten(outputs)[0].shape == expected


@pytest.mark.full
@every_layer
def test_graph_equals_eager(case):
    """The same noise, values and gradients, call after call."""
    eager, graph = built(case), built(case)
    graph.set_weights(eager.get_weights())
    inputs = tensors(case.inputs)
    step = tf.function(lambda: with_noise(case, graph, inputs)[0])
    for _ in range(2):
        expected = with_noise(case, eager, inputs)[0]
        assert_close(step(), expected, rtol=1e-5, atol=1e-6)


@drawing
def test_set_random_seed_makes_layers_without_a_seed_reproducible(case):
    def first():
        keras.utils.set_random_seed(3)
        return numbers(case, case.make(seed=None))

    assert_equal(first(), first())


@every_layer
@pytest.mark.parametrize("policy", POLICIES)
def test_half_precision_rounds_once(case, policy):
    """Values are those of float32, rounded at the end to the policy's dtype."""
    single = built(case)
    layer = built(case, dtype=policy)
    layer.set_weights(single.get_weights())
    inputs = tensors(case.inputs, layer.compute_dtype)
    values = training_values(layer, inputs)
    expected = training_values(single, tensors(inputs, "float32"))
    assert values[0].dtype == layer.compute_dtype
    assert_close(
        [tf.cast(value, tf.float32) for value in values],
        expected,
        rtol=ONE_UNIT[layer.compute_dtype],
        atol=1e-6,
    )


@every_layer
def test_double_precision_is_that_of_the_definition(case):
    """Inputs in float64; the result is of the policy's dtype."""
    layer = built(case)
    values = training_values(layer, tensors(case.inputs, "float64"))
    expected = definition_of_call(case, layer, values)
    assert_close(values, expected, rtol=1e-5, atol=1e-6)


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16"])
def test_symbolic_outputs_have_the_actual_dtype_and_shape(case, policy):
    keras.config.set_dtype_policy(policy)
    compute = keras.config.dtype_policy().compute_dtype
    model = network(case, compute)
    layer = the_layer(model)
    if case.law:
        assert model.outputs[0].dtype == layer.compute_dtype == compute
    for training in (False, True):
        outputs = outputs_of(
            model, tensors(flat_inputs(case), compute), training
        )
        for actual, symbol in zip(outputs, model.outputs, strict=True):
            assert actual.dtype.name == symbol.dtype
            assert (None, *actual.shape[1:]) == symbol.shape
    assert shape_from_shapes(layer, case) == tf.nest.map_structure(
        lambda symbol: symbol.shape, layer.output
    )


def shape_from_shapes(layer, case):
    """What `keras.layers.TimeDistributed`, for one, asks for."""
    shapes = tf.nest.map_structure(
        lambda array: (None, *np.shape(array)[1:]), case.inputs
    )
    found = layer.compute_output_shape(*shapes)
    return list(found) if isinstance(found[0], tuple) else found


def outputs_of(model, inputs, training):
    """The model's outputs only."""
    if not training:
        return tf.nest.flatten(model(inputs))
    return training_values(model, [inputs])[: len(model.outputs)]


@every_layer
def test_float32_inputs_keep_their_precision_under_mixed_policies(case):
    """The policy decides the dtype of the result, not of the computation."""
    mixed = built(case, dtype="mixed_float16")
    values = training_values(mixed, tensors(case.inputs))
    expected = definition_of_call(case, mixed, values)
    assert_close(
        [tf.cast(value, tf.float32) for value in values],
        expected,
        rtol=2.0**-10,
        atol=1e-6,
    )


def definition_of_call(case, layer, values):
    """The row's definition with the noise of the layer's last call."""
    noise = None
    if case.noise is not None:
        last = seed_state(layer) - tf.constant([0, 1], tf.int64)
        noise = drawn_noise(case, layer, last)
    return definition(case, layer, tensors(case.inputs), noise)[0]


@every_row
def test_nan_stays_in_its_example(case):
    """In value and gradient; a loss summed over the batch must show it."""
    inputs = copy.deepcopy(case.inputs)
    first = tf.nest.flatten(inputs)[0]
    first[(1, *[0] * (first.ndim - 1))] = np.nan
    clean, bad = built(case), built(case)
    bad.set_weights(clean.get_weights())
    assert_same_neighbours(case, bad, clean, inputs)
    for mode in case.inference if case.law else []:
        layer = case.make(inference=mode)
        outputs = tf.nest.flatten(layer(*tensors(inputs)))
        expected = tf.nest.flatten(layer(*tensors(case.inputs)))
        assert_nan_in_example(outputs, expected)


def assert_same_neighbours(case, bad, clean, inputs):
    count = len(floating(tensors(inputs)))
    results = [
        differentiated(lambda x, la=layer: training_values(la, x), tensors(i))
        for layer, i in ((bad, inputs), (clean, case.inputs))
    ]
    (values, gradients), (clean_values, clean_gradients) = results
    per_example = [v for v in values if v.shape.rank > 0]
    assert_nan_in_example(per_example, clean_values[: len(per_example)])
    assert len(gradients) == count
    if case.couples:
        return
    for gradient, expected in zip(gradients, clean_gradients, strict=True):
        assert_equal(gradient[0::2], expected[0::2])


def assert_nan_in_example(values, expected):
    assert np.isnan(values[0][1]).any()
    for value, neighbour in zip(values, expected, strict=True):
        assert_equal(value[0::2], neighbour[0::2])


@every_layer
def test_deepcopy_draws_on_by_itself(case):
    layer = built(case)
    draw(case, layer)
    other = copy.deepcopy(layer)
    assert_equal(draw(case, other), draw(case, layer))
    state = [w.numpy() for w in layer.weights]
    draw(case, other)
    assert_equal(layer.weights, state)


class Subclassed(keras.Model):
    """A model that calls one layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs, training=None):
        return self.layer(*inputs, training=training)


@every_layer
def test_subclassed_model_calls_the_layer(case):
    layer = built(case)
    model = Subclassed(built(case))
    model.layer.set_weights(layer.get_weights())
    assert_equal(model(tensors(case.inputs)), layer(*tensors(case.inputs)))
    assert_equal(
        training_values(model, [tensors(case.inputs)]), draw(case, layer)
    )
    assert len(model.weights) == len(layer.weights)


@of_one_tensor
def test_sequential_model_calls_the_layer(case):
    layer, other = case.make(), case.make()
    shape = case.inputs[0].shape[1:]
    model = keras.Sequential([keras.Input(shape), layer])
    assert_equal(
        training_values(model, tensors(case.inputs)), draw(case, other)
    )


@every_layer
def test_functional_model_is_cloned_and_summarised(case):
    model = network(case, name="it")
    lines = []
    model.summary(print_fn=lines.append)
    assert "│ it" in "".join(lines)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    inputs = [flat_inputs(case)]
    assert_equal(training_values(clone, inputs), training_values(model, inputs))
