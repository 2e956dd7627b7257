"""What every layer does in training code that its users write themselves.

A row of `helpers/cases.py` buys a call on a tape without `training`, copied
weights, assignment, Keras's masks, inputs of unknown rank, twins of one seed,
and derivatives in forward mode. Half precision is in `test_contract.py`.
"""

import gc
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import is_variant, layer_cases
from tests.layers.calls import (
    assert_equal,
    differentiated,
    flat_inputs,
    floating,
    network,
    tensors,
    the_layer,
    training_values,
)
from tests.ops.derivatives import weighted_sum

every_layer = layer_cases(exhaustive=is_variant)
annealed = layer_cases(
    lambda case: case.anneals is not None and "schedule" not in case.id,
    exhaustive=is_variant,
)
drawing = layer_cases(
    lambda case: case.noise is not None, exhaustive=is_variant
)
inferring = layer_cases(
    lambda case: case.law is not None, exhaustive=is_variant
)
divergences = layer_cases(
    # Those that sample would draw other noise for another shape, and nats for
    # free are counted per group, masked or not.
    lambda case: (
        "KL" in case.id
        and case.noise is None
        and not {"prior", "free_bits"} & set(case.id.split("-"))
    ),
    exhaustive=is_variant,
)
WARNING = "called without `training` while a gradient is recorded"


def recorded(layer, inputs, **kwargs):
    with tf.GradientTape() as tape:
        tape.watch(floating(inputs))
        return layer(*inputs, **kwargs)


def returns_log_prob(case):
    return isinstance(case.make(), tg.ReinforceSampler) and (
        case.make().return_log_prob
    )


@inferring
def test_training_left_open_on_a_tape_is_said_once(case):
    layer, inputs = case.make(), tensors(case.inputs)
    if returns_log_prob(case):
        with pytest.raises(ValueError, match="log-probability"):
            recorded(layer, inputs)
        return
    with pytest.warns(UserWarning, match=WARNING) as warned:
        recorded(layer, inputs)
        recorded(layer, inputs)
    assert len(warned) == 1


@pytest.mark.parametrize("variable", [tf.Variable, keras.Variable])
def test_training_left_open_for_a_variable_is_said(variable):
    logits = variable(np.zeros((2, 3), "float32"))
    with tf.GradientTape(), pytest.warns(UserWarning, match=WARNING):
        tg.StraightThroughBernoulli()(logits)


@every_layer
def test_plain_inference_is_silent(case):
    layer, inputs = case.make(), tensors(case.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        layer(*inputs)
        layer(*inputs, training=False)
        if not returns_log_prob(case):
            recorded(layer, inputs, training=False)
        with tf.GradientTape() as tape:
            tape.watch(floating(inputs))
            training_values(layer, inputs)
        network(case).predict(flat_inputs(case), verbose=0)


@annealed
def test_assignment_is_what_the_next_call_reads(case):
    """Also in a graph that was traced before."""
    layer, other = case.make(), case.make(**{case.anneals: 1.3})
    inputs = tensors(case.inputs)
    traced = tf.function(lambda: training_values(layer, inputs))
    traced()
    setattr(layer, case.anneals, 1.3)
    assert float(getattr(layer, case.anneals)) == pytest.approx(1.3)
    if case.noise is not None:
        layer.seed_state.assign(other.seed_state)
    assert_equal(traced(), tf.function(training_values)(other, inputs))


@annealed
@pytest.mark.parametrize("value", [-1.0, float("nan"), "hot"])
def test_what_the_constructor_refuses_is_not_assigned(case, value):
    layer = case.make()
    before = float(getattr(layer, case.anneals))
    with pytest.raises((TypeError, ValueError), match=f"{case.anneals}="):
        setattr(layer, case.anneals, value)
    assert float(getattr(layer, case.anneals)) == before


@every_layer
def test_copied_weights_leave_the_noise_and_the_schedule(case):
    """A target network draws by itself, whatever weights it is given."""
    first, second = network(case), network(case)
    inputs = flat_inputs(case)
    for _ in range(3):
        with tg.layers.CostCollector():
            first(inputs, training=True)
    states = [v.numpy() for v in non_weights(the_layer(second))]
    second.set_weights(first.get_weights())
    for before, after in zip(
        states, non_weights(the_layer(second)), strict=True
    ):
        np.testing.assert_array_equal(before, after.numpy())
    assert_equal(first.get_weights(), second.get_weights())


def non_weights(layer):
    """State of the row's own layer, not of a baseline inside it."""
    weights = {id(w) for w in layer.weights}
    return [v for v in layer.variables if id(v) not in weights]


@every_layer
def test_state_is_no_weight(case):
    layer = the_layer(network(case))
    state = {v.name for v in non_weights(layer)}
    if case.noise is not None:
        assert "seed_state" in state
    if case.anneals is not None:
        assert case.anneals in state


@divergences
def test_masked_steps_do_not_count(case):
    """The loss is the one of the first step alone."""
    first = tf.nest.map_structure(lambda a: a[:, :1], case.inputs)
    padded = tensors(
        tf.nest.map_structure(
            lambda a: np.concatenate([a, 1e2 * np.ones_like(a)], 1), first
        )
    )
    for tensor in floating(padded):
        tensor._keras_mask = tf.constant([[True, False]] * 3)
    # A prior of each step would not fit another number of steps.
    prior = {"prior_logits": 0.3} if "BernoulliKL" in case.id else {}
    alone, masked = case.make(**prior), case.make(**prior)
    alone(*tensors(first))
    masked(*padded)
    np.testing.assert_allclose(masked.losses, alone.losses, rtol=1e-6)


@every_layer
def test_inputs_of_unknown_rank(case):
    """A graph of unknown rank samples, or is refused by a sentence."""
    layer = case.make()
    signature = [
        tf.TensorSpec(None, tf.as_dtype(np.asarray(a).dtype))
        for a in tf.nest.flatten(case.inputs)
    ]

    @tf.function(input_signature=signature)
    def call(*flat):
        inputs = tf.nest.pack_sequence_as(case.inputs, flat)
        return tf.nest.flatten(layer(*inputs, training=True))

    try:
        values = call(*tf.nest.flatten(tensors(case.inputs)))
    except ValueError as error:
        assert "rank" in str(error), error
    else:
        assert all(np.all(np.isfinite(value)) for value in values)


def train_both(case, **other):
    """Two layers of the row in one graph, the second with these changes."""
    inputs, layers = tensors(case.inputs), (case.make(), case.make(**other))
    tf.function(lambda: [training_values(la, inputs) for la in layers])()


@drawing
def test_twins_of_one_seed_are_warned_of(case):
    if case.make().seed is None:
        pytest.skip("has no seed of its own")
    with pytest.warns(UserWarning, match="draw the same noise"):
        train_both(case)


def test_twins_in_loops_of_their_own_are_warned_of():
    one, other = tg.GumbelSoftmax(seed=1), tg.GumbelSoftmax(seed=1)

    @tf.function
    def both(rows):
        for layer in (one, other):
            tf.map_fn(lambda row, of=layer: of(row, training=True), rows)

    with pytest.warns(UserWarning, match="draw the same noise"):
        both(tf.zeros([3, 2, 4]))


def drawn_by(*layers):
    for layer in layers:
        layer(tf.zeros([2, 3]), training=True)


def test_twins_by_turns_are_warned_of():
    """In eager mode, where no graph holds both."""
    one, other, third = (tg.GumbelSoftmax(seed=1) for _ in range(3))
    drawn_by(third, one, other, one)
    with pytest.warns(UserWarning, match="draw the same noise"):
        drawn_by(other)


@pytest.mark.parametrize("how", ["ahead", "not by turns", "itself", "gone"])
def test_what_is_no_twin_in_eager_mode(how):
    one, other = (tg.GumbelSoftmax(seed=1) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        if how == "ahead":
            drawn_by(one, *[one, other] * 3)
        elif how == "not by turns":
            drawn_by(one, other, other, one)
        elif how == "itself":
            for count in (0, 0, 1, 1):  # As where noise is drawn again.
                one.seed_state.assign([1, count])
                drawn_by(one)
        else:
            drawn_by(one, other, one)
            del one
            gc.collect()
            drawn_by(other)


@drawing
def test_different_seeds_are_no_twins(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train_both(case, seed=11)


def test_classes_of_one_seed_are_no_twins():
    one, other = tg.GumbelSoftmax(seed=1), tg.BinaryConcrete(seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tf.function(drawn_by)(one, other)


@layer_cases(
    lambda case: "implicit_mle" not in case.id,  # nonlinear in w
    exhaustive=is_variant,
)
def test_forward_mode_agrees_with_backward_mode(case):
    """uᵀ(Jᵀw) = wᵀ(Ju), for the same noise."""
    layer, inputs = case.make(), tensors(case.inputs)
    layer(*inputs)
    sources = floating(inputs)
    state = [v.numpy() for v in layer.variables]
    random = np.random.default_rng(4)
    tangents = [
        tf.constant(random.normal(size=s.shape).astype("float32"))
        for s in sources
    ]

    def values(inputs):
        for variable, value in zip(layer.variables, state, strict=True):
            variable.assign(value)
        return training_values(layer, inputs)

    with tf.autodiff.ForwardAccumulator(sources, tangents) as accumulator:
        total = tf.add_n([weighted_sum(v) for v in values(inputs)])
    forward = accumulator.jvp(total, unconnected_gradients="zero")
    _, gradients = differentiated(values, inputs)
    backward = tf.add_n(
        [tf.reduce_sum(g * u) for g, u in zip(gradients, tangents, strict=True)]
    )
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-4)


LOGGED = {
    "kl": (
        tg.BernoulliKL,
        lambda kl, x: tf.reduce_mean(tf.reduce_sum(kl.divergence(x), axis=1)),
    ),
    "usage": (
        lambda **kwargs: tg.CodeUsageLoss("entropy", **kwargs),
        lambda usage, x: usage.usage(x),
    ),
}


@pytest.mark.parametrize("name", LOGGED)
@pytest.mark.parametrize("batch", [2, 3])
def test_a_layer_that_is_called_twice_logs_the_sum(name, batch):
    """As the loss has it, over all examples; in `evaluate` too."""
    make, value = LOGGED[name]
    layer, x = make(name=name), keras.Input((3,))
    model = keras.Model(x, layer(x) + layer(keras.layers.Rescaling(2.0)(x)))
    model.compile("sgd")
    logits = np.square(np.arange(12, dtype="float32") % 5).reshape(4, 3) / 4
    parts = np.split(logits, [batch])
    expected = [value(layer, part) + value(layer, 2 * part) for part in parts]
    expected = np.average(expected, weights=[batch, 4 - batch])
    assert abs(expected) > 0.01
    logs = model.evaluate(logits, batch_size=batch, verbose=0, return_dict=True)
    assert logs[name] == pytest.approx(expected, rel=1e-5)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    options = {"batch_size": batch, "shuffle": False, "verbose": 0}
    history = model.fit(logits, **options).history
    assert history[name] == pytest.approx([expected], rel=1e-5)


KINDS = {
    "GumbelSoftmax": lambda seed: tg.GumbelSoftmax(hard=True, seed=seed),
    "StraightThroughCategorical": lambda seed: tg.StraightThroughCategorical(
        seed=seed
    ),
    "StraightThroughCategorical-st_gumbel": lambda seed: (
        tg.StraightThroughCategorical(estimator="st_gumbel", seed=seed)
    ),
    "ReinforceSampler": lambda seed: tg.ReinforceSampler(seed=seed),
}


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_kinds_of_layers_draw_differently_from_one_seed(one, other):
    names = [name.partition("-")[0] for name in (one, other)]
    if names[0] >= names[1]:
        pytest.skip("one class, or seen the other way round")
    logits = tf.zeros([4000, 2])
    with tg.layers.CostCollector():
        a, b = (
            KINDS[name](1)(logits, training=True)[:, 0] for name in (one, other)
        )
    correlation = np.corrcoef(a, b)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(4000)


@pytest.mark.full
def test_a_model_in_keras_form_and_a_copy_are_no_twins_by_turns():
    """Training one after the other is no training of both."""
    x = np.ones((8, 4), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for _ in range(2):
            layer = tg.GumbelSoftmax(seed=3)
            model = keras.Sequential([keras.layers.Dense(4), layer])
            model.compile("sgd", "mse", jit_compile=False)
            model.fit(x, x, verbose=0)


def test_arguments_may_be_named_in_any_order():
    logits, mask = keras.Input((3,)), keras.Input((3,), dtype="bool")
    z = tg.GumbelSoftmax()(category_mask=mask, logits=logits)
    other = tg.ReinforceSampler()(context=keras.Input((7,)), logits=logits)
    assert z.shape == other.shape == (None, 3)


def test_inference_of_a_layer_that_keras_called_for_shapes_is_set_in_silence():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.sampler = tg.GumbelSoftmax()

        def call(self, x, training=None):
            return self.sampler(x, training=training)

    block = Block()
    block(keras.Input((3,)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        block.sampler.inference = "sample"


@pytest.mark.full
def test_keras_may_be_set_to_double_precision():
    """Losses that layers add are of its dtype, as those of `compile`."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        x = keras.Input((4,))
        y = tg.StochasticQuantizer(6, 4)(tg.CategoricalKL(name="kl")(x))
        y = tg.StochasticGate()(tg.CodeUsageLoss("entropy", name="use")(y))
        model = keras.Model(x, y)
        model.compile("sgd", "mse")
        data = np.ones((8, 4))
        logs = model.fit(data, data, verbose=0).history
    finally:
        keras.config.set_floatx("float32")
    assert y.dtype == "float64"
    assert {"kl", "use"} < set(logs)
    assert np.all(np.isfinite([logs[key] for key in logs]))


@pytest.mark.parametrize(
    "make",
    [tg.ReinforceSampler, lambda **options: tg.SubsetSampler(2, **options)],
)
def test_a_mean_at_inference_carries_no_gradient(make):
    logits = tf.constant([[0.3, -0.2, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        mean = make(inference="mean")(logits, training=False)
    assert not np.all(mean == np.round(mean))
    assert tape.gradient(mean, logits) is None


def test_keras_compiles_no_sampler_that_xla_does_not_know():
    assert tg.ReinforceSampler().supports_jit
    assert not tg.ReinforceSampler("poisson").supports_jit
