"""Temperatures that are trained, and those of the gradient alone."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.definitions import drawn, one_hot, row_uniforms, through
from tests.helpers.rows import LOGITS
from tests.layers.calls import differentiated
from tests.ops.derivatives import assert_close, weights_like

RELAXED = {"categorical": tg.GumbelSoftmax, "bits": tg.BinaryConcrete}
relaxed = pytest.mark.parametrize("make", RELAXED.values(), ids=RELAXED.keys())


def cost_at(layer, log_temperature=None):
    """A cost of the layer's next sample, for the noise of its first call."""
    if log_temperature is not None:
        layer.trainable_variables[0].assign(log_temperature)
    layer.seed_state.assign([3, 0])
    y = layer(LOGITS, training=True)
    return tf.reduce_sum(weights_like(y) * y * y)


@relaxed
@pytest.mark.parametrize("temperature", [0.2, 0.7, 3.0])
def test_trained_temperature_has_the_gradient_of_finite_differences(
    make, temperature
):
    layer = make(temperature, trainable_temperature=True, seed=3)
    (weight,) = layer.trainable_variables
    with tf.GradientTape() as tape:
        cost = cost_at(layer)
    gradient = tape.gradient(cost, weight.value)
    centre, step = float(np.log(temperature)), 1e-2
    ends = [cost_at(layer, centre + d) for d in (step, -step)]
    expected = float(ends[0] - ends[1]) / (2 * step)
    assert float(gradient) == pytest.approx(expected, rel=1e-2, abs=1e-4)


@pytest.mark.full
@relaxed
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_trained_temperature_learns_in_fit(make, sign):
    """Spread samples ask for a high one, corners for a low one; never ≤ 0."""
    layer = make(1.0, trainable_temperature=True, seed=1)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(
        keras.optimizers.SGD(50.0),
        loss=lambda target, y: sign * tf.reduce_mean(tf.square(y - 0.5), -1),
    )
    x = np.tile(LOGITS[0, :1], (64, 1))
    model.fit(x, x, batch_size=32, epochs=4, verbose=0)
    temperature = float(layer.temperature)
    assert temperature > 1.5 if sign > 0 else 0 < temperature < 0.7


@relaxed
def test_trained_temperature_is_the_exponential_of_its_weight(make):
    """And positive, whatever the weight; the layer can be frozen."""
    layer = make(0.25, trainable_temperature=True)
    assert float(layer.temperature) == pytest.approx(0.25)
    layer.trainable_variables[0].assign(-80.0)
    assert float(layer.temperature) == pytest.approx(np.exp(-80.0))
    layer.trainable = False
    assert layer.trainable_variables == []
    again = make.from_config(layer.get_config())
    assert float(again.temperature) == pytest.approx(0.25)
    assert len(again.weights) == len(layer.weights) == 1


@relaxed
def test_what_cannot_be_trained_is_refused(make):
    schedule = tg.schedules.ExponentialAnnealing(1.0)
    for each in (schedule, keras.saving.serialize_keras_object(schedule)):
        with pytest.raises(
            ValueError, match="`temperature` .*schedule .*Received"
        ):
            make(each, trainable_temperature=True)
    with pytest.raises(ValueError, match="`trainable_temperature` .*hard=True"):
        make(hard=True, trainable_temperature=True)
    with pytest.raises(ValueError, match="`backward_temperature` .*Received"):
        make(backward_temperature=0.5, trainable_temperature=True)
    with pytest.raises(ValueError, match="Received: temperature=-1"):
        make(-1, trainable_temperature=True)


@pytest.mark.parametrize("kind", [float, np.array, tf.constant, keras.Variable])
@pytest.mark.parametrize("trained", [True, False])
def test_what_is_assigned_is_checked(kind, trained):
    layer = tg.GumbelSoftmax(0.5, trainable_temperature=trained)
    layer.temperature = kind(0.25)
    assert float(layer.temperature) == pytest.approx(0.25)
    for bad in (-1.0, 0.0, float("nan")):
        with pytest.raises(ValueError, match="Received: temperature="):
            layer.temperature = kind(bad)
    assert float(layer.temperature) == pytest.approx(0.25)


@pytest.mark.parametrize("trained", [True, False])
def test_what_a_graph_assigns_is_known_only_there(trained):
    layer = tg.GumbelSoftmax(0.5, trainable_temperature=trained)

    @tf.function
    def assign(value):
        layer.temperature = value

    assign(tf.constant(0.25))
    assert float(layer.temperature) == pytest.approx(0.25)


def test_a_layer_without_a_backward_temperature_has_none_to_read():
    assert tg.GumbelSoftmax().backward_temperature is None


@pytest.mark.parametrize("layers", [None, "mine"])
def test_scheduler_refuses_a_trained_temperature(layers):
    layer = tg.GumbelSoftmax(trainable_temperature=True, name="mine")
    model = keras.Sequential([keras.Input((4,)), layer])
    scheduler = tg.TemperatureScheduler(0.5, layers=layers)
    with pytest.raises(ValueError, match="'mine' trains its temperature"):
        scheduler.set_model(model)


def test_scheduler_sets_the_others():
    layers = [
        tg.GumbelSoftmax(trainable_temperature=True),
        tg.GumbelSoftmax(1.0, backward_temperature=1.0),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", loss="mse")
    callbacks = [
        tg.TemperatureScheduler(0.5),
        tg.TemperatureScheduler(0.3, attribute="backward_temperature"),
    ]
    x = LOGITS[0]
    history = model.fit(x, x, verbose=0, callbacks=callbacks).history
    assert float(layers[1].temperature) == 0.5
    assert float(layers[1].backward_temperature) == pytest.approx(0.3)
    assert history["backward_temperature"] == pytest.approx([0.3])
    assert float(layers[0].temperature) != 0.5


DECOUPLED = {
    "GumbelSoftmax": lambda **k: tg.GumbelSoftmax(hard=True, **k),
    "StraightThroughCategorical": functools.partial(
        tg.StraightThroughCategorical, "gumbel"
    ),
    "BinaryConcrete": lambda **k: tg.BinaryConcrete(hard=True, **k),
    "StraightThroughBernoulli": functools.partial(
        tg.StraightThroughBernoulli, "gumbel"
    ),
    "StraightThroughEmbedding": functools.partial(
        tg.StraightThroughEmbedding,
        *(4, 3),
        estimator="gumbel",
        embeddings_initializer=keras.initializers.RandomNormal(seed=3),
    ),
    "StochasticQuantizer": functools.partial(
        tg.StochasticQuantizer,
        *(5, 4),
        estimator="gumbel",
        commitment=0.0,
        initializer=keras.initializers.RandomNormal(stddev=1.0, seed=3),
    ),
    "SubsetSampler": functools.partial(tg.SubsetSampler, 2, "plackett_luce"),
    "PermutationSampler": tg.PermutationSampler,
}
decoupled = pytest.mark.parametrize(
    "make", DECOUPLED.values(), ids=DECOUPLED.keys()
)


def value_and_gradient(layer, logits=LOGITS):
    return differentiated(
        lambda x: [layer(x, training=True)], tf.constant(logits)
    )


@decoupled
def test_hard_value_has_the_gradient_at_the_backward_temperature(make):
    """And a weight that a new value can be assigned to, or a schedule."""
    layer = make(temperature=0.1, backward_temperature=0.8, seed=2)
    expected = make(temperature=0.8, seed=2)

    def at_two_temperatures(layer, temperature):
        first = value_and_gradient(layer)
        temperature.assign(2.0)
        return first, value_and_gradient(layer)

    assert_close(
        at_two_temperatures(layer, layer.backward_temperature),
        at_two_temperatures(expected, expected.temperature),
    )
    config = layer.get_config()
    assert config["backward_temperature"] == 0.8
    assert make().get_config()["backward_temperature"] is None


@pytest.mark.parametrize("make", RELAXED.values(), ids=RELAXED.keys())
def test_relaxed_value_keeps_the_forward_temperature(make):
    layer = make(0.4, backward_temperature=1.5, seed=2)
    values, gradients = value_and_gradient(layer)
    assert_close(values, value_and_gradient(make(0.4, seed=2))[0])
    expected = value_and_gradient(make(1.5, seed=2))[1]
    assert_close(gradients, expected, rtol=1e-5)


def test_backward_temperature_follows_a_schedule():
    schedule = tg.schedules.ExponentialAnnealing(2.0, rate=0.5, minimum=0.3)
    layer = tg.StraightThroughCategorical(
        "gumbel", backward_temperature=schedule, seed=2
    )
    for step in range(3):
        layer(LOGITS, training=True)
        value = float(layer.backward_temperature)
        assert value == pytest.approx(float(schedule(step)))
    copy = type(layer).from_config(layer.get_config())
    assert float(copy.backward_temperature) == 2.0


def test_forward_temperature_of_the_distribution_itself():
    """Decoupled straight-through: z ~ softmax(θ / τ_f), gradient at τ_b."""
    forward, backward = 0.4, 1.3
    ratio = backward / forward
    hard = tg.GumbelSoftmax(hard=True, backward_temperature=ratio, seed=2)
    plain = tg.StraightThroughCategorical("st", ratio, seed=2)
    gumbels = tg.random.gumbel(LOGITS.shape, hard.peek_seed())
    uniforms = row_uniforms(LOGITS.shape, plain.peek_seed())
    for layer in (hard, plain):
        scaled = forward * gumbels if layer is hard else 0.0

        def definition(logits, layer=layer, scaled=scaled):
            z = drawn(logits / forward, tf.cast(uniforms, logits.dtype), -1)
            if layer is hard:
                z = one_hot(logits / forward + gumbels, -1)
            return [through(z, tf.nn.softmax((logits + scaled) / backward))]

        actual = differentiated(
            lambda x, la=layer: [la(x / forward, training=True)],
            tf.constant(LOGITS),
        )
        expected = differentiated(definition, tf.constant(LOGITS))
        assert_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "warm"])
@decoupled
def test_bad_backward_temperature_is_an_error(make, value):
    with pytest.raises(
        (ValueError, TypeError), match="Received: backward_temperature="
    ):
        make(backward_temperature=value)


@pytest.mark.parametrize(
    "layer", [tg.StraightThroughCategorical, tg.StraightThroughBernoulli]
)
def test_other_estimators_have_one_temperature(layer):
    with pytest.raises(ValueError, match="`backward_temperature` .*'st'"):
        layer("st", backward_temperature=0.5)
