"""What a `ConcreteSelector` does beyond the contract of every layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import softmax
from tests.ops.derivatives import assert_close, value_and_gradients

X = np.random.default_rng(4).normal(size=(6, 5)).astype("float32")
LOGITS = np.array(
    [[0.0, 2.0, 0.0, 1.0, 0.5], [3.0, 0.0, 0.5, 0.0, 1.0]], "float32"
)


def selector(temperature=0.5, logits=LOGITS, **kwargs):
    layer = tg.ConcreteSelector(len(logits), temperature, seed=3, **kwargs)
    layer.build((None, logits.shape[1]))
    layer.logits.assign(logits)
    return layer


def test_inference_passes_on_the_features_that_lead():
    layer = selector()
    np.testing.assert_array_equal(layer.selected, [1, 0])
    assert layer.selected.dtype == np.int32
    np.testing.assert_array_equal(layer(X), X[:, [1, 0]])
    expected = softmax(LOGITS).max(axis=-1).mean()
    assert layer.mean_max_probability == pytest.approx(expected)


def test_two_nodes_may_choose_one_feature():
    layer = selector(logits=LOGITS[[0, 0]])
    np.testing.assert_array_equal(layer(X), X[:, [1, 1]])


def test_one_draw_serves_the_batch():
    """x @ mᵀ for the rows of the identity is mᵀ; each call draws anew."""
    layer = selector()
    eye = np.eye(5, dtype="float32")
    shares = [layer(eye, training=True).numpy() for _ in range(2)]
    assert np.any(shares[0] != shares[1])
    assert_close(np.float32([s.sum(axis=0) for s in shares]), np.ones((2, 2)))
    repeated = layer(np.tile(X[:1], (6, 1)), training=True).numpy()
    np.testing.assert_array_equal(repeated, np.tile(repeated[:1], (6, 1)))


def test_gradient_of_the_logits_is_that_of_the_definition():
    layer = selector()
    noise = tg.random.gumbel([2, 5], layer.peek_seed())
    with tf.GradientTape() as tape:
        y = layer(X, training=True)
        loss = tf.reduce_sum(tf.square(y))
    actual = tape.gradient(loss, layer.logits.value)

    def definition(logits):
        blend = tf.cast(X, tf.float64) @ tf.transpose(
            tf.nn.softmax((logits + tf.cast(noise, tf.float64)) / 0.5)
        )
        return tf.reduce_sum(tf.square(blend))

    # The weight of a scalar's sum is cos 1.
    value, (expected,) = value_and_gradients(
        definition, [tf.constant(LOGITS, tf.float64)]
    )
    assert_close(loss, value, rtol=1e-5)
    assert_close(actual, expected / np.cos(1.0), rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_logits_may_have_a_temperature_of_its_own():
    def blend(*temperatures):
        layer = selector(temperatures[0], backward_temperature=temperatures[1])
        with tf.GradientTape() as tape:
            y = layer(X, training=True)
        return y, tape.gradient(y, layer.logits.value)

    value, gradient = blend(0.5, 1.5)
    np.testing.assert_array_equal(value, blend(0.5, None)[0])
    assert_close(gradient, blend(1.5, None)[1], rtol=1e-5)


def test_logits_are_not_rounded_to_half_precision():
    logits = 1.7 * LOGITS + np.float32(100.3)
    one, other = (
        selector(logits=logits, dtype=policy)(X, training=True)
        for policy in ("float32", "mixed_bfloat16")
    )
    assert_close(tf.cast(other, tf.float32), one, rtol=2.0**-8)


def test_training_left_open_on_a_tape_is_said():
    with tf.GradientTape(), pytest.warns(UserWarning, match="`training`"):
        selector()(X)
    x = tf.constant(X)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        with pytest.warns(UserWarning, match="`training`"):
            selector()(x)


@pytest.mark.full
def test_annealed_selector_finds_the_features_that_matter():
    """y = x₁ - x₃, of five: by `fit`, with a callback."""
    x = np.random.default_rng(0).normal(size=(512, 5)).astype("float32")
    keras.utils.set_random_seed(1)
    layer = tg.ConcreteSelector(2, seed=1)
    model = keras.Sequential([keras.Input((5,)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    schedule = tg.schedules.ExponentialAnnealing(5.0, 0.02, minimum=0.05)
    history = model.fit(
        x,
        x[:, 1] - x[:, 3],
        batch_size=32,
        epochs=15,
        verbose=0,
        callbacks=[tg.TemperatureScheduler(schedule)],
    )
    assert sorted(layer.selected) == [1, 3]
    assert layer.mean_max_probability > 0.95
    temperature = history.history["temperature"]
    assert temperature[0] > temperature[-1] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("k", "inputs"), [(1, (6, 1)), (3, (6, 2)), (3, (3,)), (3, ())]
)
def test_too_few_features_are_an_error(k, inputs):
    """Three nodes want three; a vector has no axis but that of features."""
    layer = tg.ConcreteSelector(k)
    if inputs == (3,):
        assert layer(np.zeros(inputs, "float32")).shape == (3,)
        return
    for make in (np.zeros, keras.KerasTensor):
        with pytest.raises(ValueError, match="`inputs` must"):
            layer(make(inputs, dtype="float32"))


def test_features_of_unknown_number_are_an_error():
    with pytest.raises(ValueError, match="`inputs` must have a known number"):
        tg.ConcreteSelector(1).compute_output_shape((6, None))


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "two"])
def test_bad_number_of_nodes_is_an_error(k):
    error = ValueError if type(k) is int else TypeError
    with pytest.raises(error, match=f"`k` must .*Received: k={k!r}"):
        tg.ConcreteSelector(k)


def test_selection_of_an_unbuilt_layer_is_an_error():
    for name in ("selected", "mean_max_probability"):
        with pytest.raises(ValueError, match="'early' has no logits yet"):
            getattr(tg.ConcreteSelector(2, name="early"), name)


def test_initializer_is_kept_in_the_config():
    layer = tg.ConcreteSelector(2, initializer=keras.initializers.Ones())
    other = tg.ConcreteSelector.from_config(layer.get_config())
    other(X)
    np.testing.assert_array_equal(other.logits, np.ones((2, 5)))
