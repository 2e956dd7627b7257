"""Bad input is refused by an error that names it and what was received."""

import math
import re
import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import layer_cases
from tests.layers.calls import tensors

annealed = layer_cases(lambda case: case.anneals is not None)
cooled = layer_cases(lambda case: case.anneals == "temperature")
categorical = layer_cases(
    lambda case: (
        "Gate" not in case.id
        and (case.axes or (case.law == "categorical" and len(case.inputs) == 1))
    )
)
every_layer = layer_cases()
sampling = layer_cases(lambda case: case.law is not None)
drawing = layer_cases(lambda case: case.noise is not None)
NAN = float("nan")
SEVERAL = [
    tg.ReparamGaussian,
    lambda: tg.ImplicitReparam("gamma"),
    lambda: tg.ReinforceSampler("gaussian"),
]


def norm(z):
    return tf.reduce_sum(tf.square(z), axis=-1)


def refused(error, *parts):
    """Expects an error whose text holds these parts, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, parts)))


@cooled
@pytest.mark.parametrize("value", [0, -1, NAN, math.inf])
def test_temperature_that_is_not_positive(case, value):
    with refused(
        ValueError, "`temperature`", f"Received: temperature={value!r}"
    ):
        case.make(temperature=value)


@annealed
@pytest.mark.parametrize("value", ["hot", True, None, [0.5]])
def test_temperature_or_weight_that_is_no_number(case, value):
    name = case.anneals
    with refused(TypeError, f"`{name}`", f"Received: {name}={value!r}"):
        case.make(**{name: value})


@annealed
@pytest.mark.parametrize("value", [-0.5, NAN])
def test_negative_weight(case, value):
    name = case.anneals
    with refused(ValueError, f"`{name}`", f"Received: {name}={value!r}"):
        case.make(**{name: value})


@annealed
@pytest.mark.parametrize("value", [-2.0, NAN])
def test_schedule_that_returns_a_bad_value(case, value):
    """At once, when the layer is made: a graph cannot raise later."""
    name = case.anneals

    def schedule(step):
        return tf.where(step >= 1000, value, 1.0)

    with refused(ValueError, "at step 1000", f"`{name}`", f"{name}={value!r}"):
        case.make(**{name: schedule})


@cooled
def test_schedule_that_returns_zero(case):
    with refused(ValueError, "at step 0", "Received: temperature=0.0"):
        case.make(temperature=lambda step: tf.zeros([]))


PYTHON_SCHEDULES = {
    "math": lambda step: max(0.5, math.exp(-1e-6 * step)),
    "int": lambda step: 1.0 if int(step) < 5 else 0.5,
    "if": lambda step: 1.0 if step < 5 else 0.5,
}


@annealed
@pytest.mark.parametrize(
    "schedule", PYTHON_SCHEDULES.values(), ids=PYTHON_SCHEDULES.keys()
)
def test_schedule_that_cannot_run_in_a_graph(case, schedule):
    with refused(ValueError, "TensorFlow ops", "`TemperatureScheduler`"):
        case.make(**{case.anneals: schedule})


def call_eagerly(layer, logits):
    return layer(tf.convert_to_tensor(logits))


def call_symbolically(layer, logits):
    symbol = keras.KerasTensor(logits.shape, dtype=logits.dtype.name)
    return layer(symbol)


both_ways = pytest.mark.parametrize("call", [call_eagerly, call_symbolically])


@categorical
@both_ways
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.float32(0.5), "rank 0"),
        (np.zeros((3, 1), "float32"), "shape (3, 1)"),
    ],
)
def test_too_few_axes_or_categories(case, call, logits, message):
    with refused(ValueError, "`logits`", "Received: logits of", message):
        call(case.make(), np.asarray(logits))


@layer_cases(lambda case: case.axes)
@both_ways
@pytest.mark.parametrize("axis", [2, -3])
def test_axis_out_of_range(case, call, axis):
    with refused(ValueError, "`axis`", f"Received: axis={axis}"):
        call(case.make(axis=axis), np.zeros((3, 4), "float32"))


@layer_cases(lambda case: case.axes)
@pytest.mark.parametrize("axis", [1.0, True, None, "last"])
def test_axis_that_is_no_integer(case, axis):
    with refused(TypeError, "`axis`", f"Received: axis={axis!r}"):
        case.make(axis=axis)


@both_ways
@pytest.mark.parametrize("axis", [0, -2])
def test_divergence_over_the_batch(call, axis):
    with refused(ValueError, "`axis`", f"Received: axis={axis}"):
        call(tg.CategoricalKL(axis=axis), np.zeros((3, 4), "float32"))


@every_layer
@pytest.mark.parametrize("symbolic", [False, True])
def test_integer_inputs(case, symbolic):
    """For the first argument, or the first of a pair."""
    inputs = tf.nest.flatten(tensors(case.inputs))
    inputs[0] = tf.cast(inputs[0], tf.int32)
    if symbolic:
        inputs = [keras.KerasTensor(t.shape, t.dtype.name) for t in inputs]
    with refused(TypeError, "must be of a floating", "dtype int32"):
        case.make()(*tf.nest.pack_sequence_as(case.inputs, inputs))


@drawing
@pytest.mark.parametrize("seed", [1.5, True, "one"])
def test_seed_that_is_no_integer(case, seed):
    with refused(TypeError, "`seed`", f"Received: seed={seed!r}"):
        case.make(seed=seed)


@sampling
def test_unknown_inference_lists_the_valid_ones(case):
    quoted = map(repr, case.modes)
    with pytest.raises(ValueError, match="Received: inference='best'") as info:
        case.make(inference="best")
    assert all(mode in str(info.value) for mode in quoted)


BAD_NAMES = {
    "st_categorical": (tg.StraightThroughCategorical, "estimator", "st_gumbel"),
    "st_bernoulli": (tg.StraightThroughBernoulli, "estimator", "st_gumbel"),
    "distribution": (tg.ReinforceSampler, "distribution", "bernoulli"),
    "baseline": (tg.ReinforceSampler, "baseline", "moving_average"),
    "cost_baseline": (tg.ScoreFunctionCost, "baseline", "moving_average"),
    "gaussian": (tg.ReparamGaussian, "parameterization", "log_stddev"),
    "gaussian_kl": (tg.GaussianKL, "parameterization", "log_stddev"),
}


@pytest.mark.parametrize(
    ("layer", "argument", "valid"), BAD_NAMES.values(), ids=BAD_NAMES.keys()
)
def test_unknown_name_lists_the_valid_ones(layer, argument, valid):
    expected = (f"`{argument}`", repr(valid), f"Received: {argument}='best'")
    with refused(ValueError, *expected):
        layer(**{argument: "best"})


@pytest.mark.parametrize("baseline", [3, len])
def test_baseline_that_is_no_layer(baseline):
    with refused(TypeError, "`baseline`", f"Received: baseline={baseline!r}"):
        tg.ReinforceSampler(baseline=baseline)


@pytest.mark.parametrize("model", [keras.Model, None])
def test_sampler_that_nothing_feeds_a_cost(model):
    """By a plain model's `fit`, and by hand."""
    x = keras.Input((3,))
    sampler = tg.ReinforceSampler(name="lonely")
    z = sampler(x)
    with refused(
        RuntimeError, "'lonely'", "StochasticModel", "return_log_prob"
    ):
        if model is None:
            sampler(np.zeros((2, 3), "float32"), training=True)
        network = (model or keras.Model)(x, z)
        network.compile("sgd", loss="mse")
        network.fit(np.zeros((2, 3)), np.zeros((2, 3)), verbose=0)


@both_ways
@pytest.mark.parametrize(
    "layer",
    [
        tg.ReparamGaussian,
        tg.GaussianKL,
        lambda: tg.ReinforceSampler("gaussian"),
        lambda: tg.ExpectedCost(norm, "pathwise", distribution="gaussian"),
    ],
)
@pytest.mark.parametrize("rows", [2, 3])
def test_gaussian_without_a_pair(call, layer, rows):
    """Also where the one tensor could be unpacked to two."""
    with refused(ValueError, "pair (mean, scale)", "Received:"):
        call(layer(), np.zeros((rows, 3), "float32"))


@pytest.mark.parametrize("layer", [tg.ReparamGaussian, tg.GaussianKL])
def test_gaussian_of_two_shapes(layer):
    with refused(ValueError, "`mean` and `scale`", "(2, 3)", "(2, 4)"):
        layer()((tf.zeros((2, 3)), tf.zeros((2, 4))))


@pytest.mark.parametrize("layer", [tg.ReparamGaussian, tg.GaussianKL])
@pytest.mark.parametrize(
    ("shape", "message"), [((2, 7), "triangle"), ((2, 6), "[..., D]")]
)
def test_triangle_of_a_wrong_size(layer, shape, message):
    with refused(
        ValueError, message, f"scale of shape ({shape[0]}, {shape[1]}"
    ):
        layer("tril")((tf.zeros((2, 4)), tf.zeros(shape)))


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", ["cost", "log_prob"])
def test_cost_that_is_not_per_example(name, symbolic):
    shapes = {"cost": (3,), "log_prob": (3,), name: (3, 1)}
    make = keras.KerasTensor if symbolic else tf.zeros
    with refused(ValueError, f"`{name}`", f"{name} of shape (3, 1)"):
        tg.ScoreFunctionCost()(make(shapes["cost"]), make(shapes["log_prob"]))


def test_a_divergence_of_a_sample():
    logits = keras.Input((3,))
    sample = tg.GumbelSoftmax(name="code")(logits)
    with pytest.warns(UserWarning, match="a sample of 'code'"):
        tg.CategoricalKL()(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tg.CategoricalKL()(logits)  # where it belongs
        tg.CategoricalKL()(tg.StraightThroughEmbedding(3, 5)(logits))
        z = tg.ReparamGaussian()((logits, logits))
        tg.CategoricalKL()(z)  # a logistic-normal's logits
        tg.GaussianKL()([(logits, logits), (z, logits)])  # a random walk


def test_baseline_without_its_context():
    layer = tg.ScoreFunctionCost("nvil")
    layer.build((3,), (3,), (3, 2))
    with refused(ValueError, "`context`", "Received: context=None"):
        layer(tf.zeros(3), tf.zeros(3), training=True)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: tg.ExpectedCost(norm, "nvil"),
        lambda: tg.ExpectedCost(norm, "relax"),
        lambda: tg.ReinforceSampler(baseline="nvil"),
    ],
)
def test_a_network_on_a_context_of_unknown_size(layer):
    x = keras.Input((None, 3))
    with refused(ValueError, "have known sizes", "shape (None, None, 3)"):
        layer()(x, x)


@pytest.mark.parametrize("baseline", [None, "nvil"])
def test_training_a_sampler_without_a_batch(baseline):
    sampler = tg.ReinforceSampler(baseline=baseline)
    assert sampler(tf.zeros(4)).shape == (4,)
    with (
        tg.layers.CostCollector(),
        refused(ValueError, "`logits`", "axis for the batch", "(4,)"),
    ):
        sampler(tf.zeros(4), training=True)


class Late(tg.distributions.Bernoulli):
    """Of Bernoulli variables; a constant that it ignores comes last."""

    name = "late"
    parameters: ClassVar = {
        **tg.distributions.Bernoulli.parameters,
        "c": tf.abs,
    }
    constants: ClassVar = ("c",)

    def log_probs(self, parameters, sample):
        return super().log_probs(parameters[:1], sample)

    def sample(self, parameters, seed):
        return super().sample(parameters[:1], seed)


@pytest.mark.parametrize("shape", [(), (3,), (4, 1), (4, 3)], ids=str)
@pytest.mark.parametrize("law", [tg.distributions.Binomial, Late])
@pytest.mark.parametrize("baseline", ["nvil", "moving_average"])
def test_constants_of_any_shape_are_a_context(law, shape, baseline):
    logits = tf.reshape(tf.range(12.0), (4, 3))
    constant = tf.fill(shape, 5.0)
    given = (logits, constant) if law is Late else (constant, logits)
    flat = law().flatten(given).numpy()
    assert flat.shape == law().flat_shape([t.shape for t in given]) == (4, 6)
    parts = [flat[:, :3], flat[:, 3:]][:: 1 if law is Late else -1]
    np.testing.assert_array_equal(parts[0], logits)
    np.testing.assert_array_equal(parts[1], np.full((4, 3), 5.0))
    sampler = tg.ReinforceSampler(law(), baseline=baseline)
    with tg.layers.CostCollector():
        assert sampler(given, training=True).shape == (4, 3)
    reinforce = tg.estimators.Reinforce(law(), baseline=baseline)
    layer = tg.ExpectedCost(lambda z: z[:, 0], reinforce)
    assert layer(given, training=True).shape == (4,)


def test_context_of_another_number_of_examples():
    """One row too would be broadcast, and be wrong."""
    message = ("`context`", "context of shape (1, 2) for 3 examples")
    context = tf.zeros((1, 2))
    with refused(ValueError, *message):
        cost = tg.ScoreFunctionCost("nvil")
        cost(tf.zeros(3), tf.zeros(3), context, training=True)
    with tg.layers.CostCollector(), refused(ValueError, *message):
        sampler = tg.ReinforceSampler(baseline="nvil")
        sampler(tf.zeros((3, 4)), context=context, training=True)
    with refused(ValueError, *message):
        cost = tg.ExpectedCost(lambda z, x: z[:, 0], estimator="nvil")
        cost(tf.zeros((3, 4)), context, training=True)


def test_a_context_of_several_tensors():
    context = [tf.zeros((3, 2)), tf.zeros((3, 1))]
    message = "`context`", "Concatenate", "a list of 2"
    with refused(TypeError, *message):
        cost = tg.ScoreFunctionCost("nvil")
        cost(tf.zeros(3), tf.zeros(3), context, training=True)
    with tg.layers.CostCollector(), refused(TypeError, *message):
        sampler = tg.ReinforceSampler(baseline=None)
        sampler(tf.zeros((3, 4)), context=context, training=True)


@pytest.mark.parametrize("layer", SEVERAL, ids=lambda layer: layer().name)
def test_parameters_one_by_one(layer):
    """Not as the one tuple that they are."""
    with refused(TypeError, "as one argument: `layer((", "Received: 2"):
        layer()(tf.zeros((2, 3)), tf.zeros((2, 3)))


def test_a_drawn_sample_may_be_scored_without_training():
    """Neither refused nor warned of, for it was drawn."""
    layer = tg.ReinforceSampler(return_log_prob=True, inference="sample")
    logits = tf.constant([[0.3, -0.2]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z, log_prob = layer(logits)
    expected = z - tf.nn.softmax(logits)
    np.testing.assert_allclose(
        tape.gradient(log_prob, logits), expected, rtol=1e-5
    )


def test_a_score_function_cost_on_a_tape_without_training():
    layer = tg.ScoreFunctionCost("moving_average")
    with tf.GradientTape() as tape:
        log_prob = tf.zeros(3)
        tape.watch(log_prob)
        with pytest.warns(UserWarning, match="without `training`"):
            layer(tf.ones(3), log_prob)


one_tensor = layer_cases(
    lambda case: (
        not isinstance(case.inputs[0], list | tuple) and "KL" not in case.id
    )
)


@one_tensor
@pytest.mark.parametrize(
    ("symbolic", "pack"),
    [(False, list), (True, tuple), (True, lambda pair: {"a": pair[0]})],
    ids=["list", "tuple", "dict"],
)
def test_a_structure_in_place_of_a_tensor(case, symbolic, pack):
    """Some would stack them, and call two batches one."""
    first, *others = tensors(case.inputs)
    if symbolic:
        first = keras.KerasTensor(first.shape, first.dtype.name)
        others = [keras.KerasTensor(t.shape, t.dtype.name) for t in others]
    with refused(TypeError, "takes one tensor", "Received: a"):
        case.make()(pack([first, first]), *others)


@drawing
def test_a_layer_that_each_call_makes_anew(case):
    made = []

    @tf.function(autograph=False)
    def once():
        if not made:  # As in a `build` that `fit` is the first to call.
            made.append(case.make())
        return tf.zeros([])

    @tf.function(autograph=False)
    def call():
        case.make()
        return tf.zeros([])

    once()
    with refused(ValueError, "Layer", "`tf.function`", "`__init__`"):
        call()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("layer", "built", "given"),
    [
        (lambda: tg.ConcreteSelector(2), [3, 6], [3, 5]),
        (lambda: tg.ConcreteSelector(2), [3, 6], [3, 7]),
        (lambda: tg.StraightThroughEmbedding(6, 4), [3, 6], [3, 5]),
        (lambda: tg.StraightThroughEmbedding(6, 4), [3, 6], [3, 7]),
        (
            lambda: tg.CodeUsageLoss("diversity", momentum=0.5),
            [3, 4, 6],
            [3, 4, 5],
        ),
        (
            lambda: tg.CodeUsageLoss("diversity", momentum=0.5),
            [3, 4, 6],
            [3, 1, 6],
        ),
    ],
)
def test_another_width_than_it_was_built_for(layer, built, given, training):
    made = layer()
    made(tf.ones(built), training=training)
    with refused(ValueError, "Argument", "Received: ", "shape", str(given[-1])):
        made(tf.ones(given), training=training)


def mapped(layer, inputs):
    """A training call of two rows."""
    twice = tf.nest.map_structure(lambda t: tf.stack([t, t]), tensors(inputs))
    return tf.vectorized_map(
        lambda row: layer(*row, training=True), tuple(twice)
    )


@every_layer
def test_a_vectorized_map(case):
    # Noise, losses and averages would be those of the first row; a gradient
    # by hand is dropped.
    with refused(ValueError, "Layer", "inside `tf.vectorized_map`, where"):
        mapped(case.make(), case.inputs)


def test_averages_in_a_vectorized_map():
    layer = tg.StochasticQuantizer(
        4,
        3,
        estimator="nearest",
        update="ema",
        commitment=0.0,
        revive_after=None,
    )
    layer(tf.ones([2, 3]))
    with refused(ValueError, "averages inputs inside `tf.vectorized_map`"):
        mapped(layer, [np.ones([2, 3], "float32")])


@pytest.mark.full
def test_a_prediction_in_a_vectorized_map():
    """What is added to a loss that nobody reads does no harm."""

    class Mapped(keras.Model):
        def call(self, x):
            return tf.vectorized_map(kl, x)

    kl, x = tg.CategoricalKL(), np.ones([4, 2, 3], "float32")
    kl(x[0])
    model = Mapped()
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    with refused(ValueError, "adds a loss inside `tf.vectorized_map`"):
        model.evaluate(x, x, verbose=0)
