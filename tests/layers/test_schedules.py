"""A schedule as a layer's temperature or weight: one step per training call."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import is_variant, layer_cases
from tests.helpers.rows import SCHEDULE
from tests.layers.calls import (
    differentiated,
    flat_inputs,
    network,
    tensors,
    the_layer,
    training_values,
)

schedule = tg.schedules.ExponentialAnnealing(**SCHEDULE)
X = np.linspace(-1, 1, 48).reshape(16, 3).astype("float32")
annealed = layer_cases(
    lambda case: case.anneals is not None, exhaustive=is_variant
)


@annealed
def test_every_training_call_is_a_step(case):
    """The value used, and shown, is that of the step; inference takes none."""
    layer = case.make(**{case.anneals: schedule})
    inputs = tensors(case.inputs)
    train = tf.function(lambda: training_values(layer, inputs))
    first = float(getattr(layer, case.anneals))
    assert first == pytest.approx(float(schedule(0)))
    for step in range(4):
        train()
        layer(*inputs, training=False)
        value = float(getattr(layer, case.anneals))
        assert value == pytest.approx(float(schedule(step)))


@annealed
@pytest.mark.parametrize("value", [0.25, 4.0])
def test_new_value_takes_effect_in_a_traced_graph(case, value):
    """As when a callback assigns it: the gradient is that at this value."""
    layer, fresh = (case.make(**{case.anneals: v}) for v in (0.7, value))
    inputs = tensors(case.inputs)

    def gradients(layer):
        return differentiated(lambda i: training_values(layer, i), inputs)[1]

    traced = tf.function(lambda: gradients(layer))
    traced()
    getattr(layer, case.anneals).assign(value)
    if case.noise is not None:
        layer.seed_state.assign(fresh.seed_state)
    after, expected = traced(), gradients(fresh)
    np.testing.assert_allclose(after[0], expected[0], rtol=1e-5, atol=1e-6)


class Recorder(keras.layers.Layer):
    """Adds the temperature of each step to a sum, seen as a metric."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.taken = self.add_weight(
            shape=(16,), initializer="zeros", trainable=False
        )

    def call(self, logits, training=None):
        step = tf.convert_to_tensor(self.layer.annealed("temperature").step)
        z = self.layer(logits, training=training)
        if training:
            value = tf.convert_to_tensor(self.layer.temperature)
            taken = tf.one_hot(tf.cast(step, tf.int32), 16) * value
            self.taken.assign_add(taken)
        return z


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_anneals_exactly_whatever_the_steps_per_execution(jit_compile):
    """Eight steps in calls of four."""
    recorder = Recorder(tg.GumbelSoftmax(schedule, seed=1))
    model = keras.Sequential([keras.Input((3,)), recorder])
    model.compile(
        "sgd", loss="mse", steps_per_execution=4, jit_compile=jit_compile
    )
    model.fit(X, X, batch_size=2, verbose=0)
    expected = [float(schedule(step)) for step in range(8)] + [0.0] * 8
    np.testing.assert_allclose(recorder.taken, expected, rtol=1e-6)
    assert int(recorder.layer.annealed("temperature").step) == 8


@pytest.mark.full
def test_schedule_goes_on_after_a_reload(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), tg.GumbelSoftmax(schedule, seed=1)]
    )
    model.compile("sgd", loss="mse")
    model.fit(X, X, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(X, X, batch_size=8, verbose=0)
    layer = loaded.layers[-1]
    assert float(layer.temperature) == pytest.approx(float(schedule(3)))
    assert (
        layer.annealed("temperature").schedule.get_config()
        == schedule.get_config()
    )


def test_a_layer_may_be_made_while_a_function_is_traced():
    """As in a `build` that `fit` is the first to call."""
    made = []

    @tf.function(autograph=False)
    def once():
        if not made:
            made.append(tg.GumbelSoftmax(schedule))
        return made[0](X, training=True)

    once()
    assert float(made[0].temperature) == pytest.approx(float(schedule(0)))


def test_keras_schedule_serves_as_a_temperature():
    cosine = keras.optimizers.schedules.CosineDecay(1.0, 10, alpha=0.2)
    layer = tg.GumbelSoftmax(cosine)
    for _ in range(3):
        layer(X, training=True)
    assert float(layer.temperature) == pytest.approx(float(cosine(2)))


@annealed
def test_clone_of_a_model_has_a_step_of_its_own(case):
    model = network(case, **{case.anneals: schedule})
    clone = keras.models.clone_model(model)
    training_values(clone, [flat_inputs(case)])
    assert int(the_layer(clone).annealed(case.anneals).step) == 1
    assert int(the_layer(model).annealed(case.anneals).step) == 0


def test_a_value_that_follows_a_schedule_is_not_assigned():
    layer = tg.GumbelSoftmax(tg.schedules.ExponentialAnnealing())
    with pytest.raises(ValueError, match="follows a schedule.*temperature=0.5"):
        layer.temperature = 0.5


def test_a_stateless_scope_keeps_the_steps_to_itself():
    """As `stateless_call` returns them: the layer stands where it stood."""
    layer = tg.GumbelSoftmax(schedule, seed=3)
    inputs = tf.constant(X)
    layer(inputs)
    before = [variable.numpy() for variable in layer.variables]
    with keras.StatelessScope() as scope:
        inside = [layer(inputs, training=True) for _ in range(2)]
    step = layer.state("temperature_step")
    assert int(scope.get_current_value(step)) == 2
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    for sample in inside:
        np.testing.assert_array_equal(layer(inputs, training=True), sample)
