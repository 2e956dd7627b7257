"""What a `StochasticGate` does beyond the contract of every layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean

KINDS = ["hard_concrete", "gaussian"]
kinds = pytest.mark.parametrize("kind", KINDS)
START = np.array([-1.0, 0.2, 0.8, 2.0], "float32")
one_kind = pytest.mark.parametrize(
    "kind",
    ["hard_concrete", pytest.param("gaussian", marks=pytest.mark.exhaustive)],
)


def gate(kind, weight=1.0, start=START, **kwargs):
    layer = tg.StochasticGate(kind, weight, seed=1, **kwargs)
    layer.build((None, len(start)))
    layer.gates.assign(start)
    return layer


@kinds
def test_the_cost_is_the_expected_number_of_open_gates(kind):
    layer = gate(kind, 0.5)
    z = layer(np.ones((50_000, 4), "float32"), training=True).numpy()
    number = (z > 0).sum(axis=-1)
    assert_mean(number, layer.losses[0] / 0.5, smallest_bias=0.05)
    np.testing.assert_allclose(layer.expected_open(), layer.losses[0] / 0.5)
    assert np.any(z == 1) and np.any((z > 0) & (z < 1))


@pytest.mark.full
@kinds
def test_the_gradients_in_the_gates(kind):
    """Of the cost, and of Σ w z, against finite differences of means."""
    weights = np.array([1.0, -2.0, 0.5, 3.0], "float32")

    def mean_and_cost(start):
        layer = gate(kind, 0.3, start)
        x = np.tile(weights, (100_000, 1))
        with tf.GradientTape() as tape:
            z = layer(x, training=True)  # the same noise each time
            mean = tf.reduce_mean(tf.reduce_sum(z, axis=-1))
            total = mean + layer.losses[0]
        return float(total), tape.gradient(total, layer.gates.value)

    _, gradient = mean_and_cost(START)
    for item in range(4):
        sides = []
        for sign in (1, -1):
            moved = START.copy()
            moved[item] += sign * 0.05
            sides.append(mean_and_cost(moved)[0])
        slope = (sides[0] - sides[1]) / 0.1
        np.testing.assert_allclose(gradient[item], slope, atol=5e-3)


@kinds
def test_what_is_fixed_at_inference(kind):
    layer = gate(kind, start=np.array([-4.0, 0.3, 3.0, 9.0], "float32"))
    gates = layer.fixed_gates()
    np.testing.assert_array_equal(
        layer(np.ones((2, 4), "float32")), [gates] * 2
    )
    np.testing.assert_array_equal(layer.open_gates(), [1, 2, 3])
    assert gates[0] == 0 and gates[3] == 1 and 0 < gates[1] < 1


@kinds
def test_an_inference_that_samples(kind):
    layer = gate(kind, inference="sample")
    first, second = (layer(np.ones((3, 4), "float32")) for _ in range(2))
    assert np.any(first != second)


@pytest.mark.full
@one_kind
def test_features_are_selected(kind):
    """Two of ten features make the output; the gates of the rest close."""
    random = np.random.default_rng(1)
    x = random.normal(size=(512, 10)).astype("float32")
    y = 2.0 * x[:, :1] - 1.5 * x[:, 3:4]
    model = keras.Sequential(
        [
            keras.Input((10,)),
            tg.StochasticGate(kind, 0.2, seed=1),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, y, epochs=60, batch_size=64, verbose=0)
    np.testing.assert_array_equal(model.layers[0].open_gates(), [0, 3])


@pytest.mark.full
@one_kind
@pytest.mark.parametrize(
    "sparsity", [pytest.param(0.25, marks=pytest.mark.exhaustive), 0.75]
)
def test_a_target_is_reached(kind, sparsity):
    """Whatever the task wants: here, every gate open, or none."""
    for sign in (1.0, -1.0):
        layer = tg.StochasticGate(kind, sparsity=sparsity, seed=1)
        inputs = keras.Input((40,))
        outputs = layer(inputs)
        model = keras.Model(inputs, outputs)
        model.compile(
            keras.optimizers.Adam(0.02),
            lambda y, z, sign=sign: -0.02 * sign * tf.reduce_sum(z, axis=-1),
            steps_per_execution=40,
        )
        x = np.ones((3200, 40), "float32")
        model.fit(x, x, epochs=6, batch_size=8, verbose=0)
        share = 1.0 - layer.expected_open() / 40
        np.testing.assert_allclose(share, sparsity, atol=0.05)


def test_the_multiplier_ascends_in_training():
    layer = gate("hard_concrete", 2.0, sparsity=0.5)
    layer.multiplier.assign(0.3)
    share = layer.expected_open() / 4 - 0.5
    loss = 4 * (0.3 * share + 2.0 / 2 * share**2)
    for training, expected in ((False, 0.3), (True, 0.3 + 0.02 * share)):
        layer(np.ones((2, 4), "float32"), training=training)
        np.testing.assert_allclose(layer.losses[-1], loss, rtol=1e-5)
        np.testing.assert_allclose(layer.multiplier, expected, rtol=1e-5)
    assert len(layer.trainable_weights) == len(layer.weights) == 1
    layer.trainable = False  # gates that do not move are not pulled
    layer(np.ones((2, 4), "float32"), training=True)
    np.testing.assert_allclose(layer.multiplier, expected, rtol=1e-5)


def test_gates_cost_once_in_however_many_places():
    """As weights that are shared; gates of examples are others each time."""
    shared = gate("hard_concrete", 2.0, sparsity=0.5)
    x = keras.Input((3, 4))
    model = keras.Model(x, keras.layers.TimeDistributed(shared)(x) + shared(x))
    share = shared.expected_open() / 4 - 0.5
    for calls in (1, 2):
        model(np.ones((2, 3, 4), "float32"), training=True)
        assert len(model.losses) == 1
        ascent = calls * 0.02 * share
        np.testing.assert_allclose(shared.multiplier, ascent, rtol=1e-5)
    each = tg.StochasticGate()
    x, gates = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([x, gates], each(x, gates) + each(x, 2.0 * gates))
    model([np.ones((2, 4), "float32")] * 2)
    assert len(model.losses) == 2


def test_gates_of_examples_on_two_replicas_steer_as_on_one_device(strategy):
    """Only the cost moves the gates of what is zero."""

    def model():
        inputs = keras.Input((2,))
        gates = keras.layers.Dense(3)(inputs)
        zeros = keras.layers.Rescaling(0.0)(gates)
        steered = tg.StochasticGate(weight=3.0, sparsity=0.5, name="gate")
        model = keras.Model(inputs, steered(zeros, gates))
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        return model

    with strategy.scope():
        several = model()
    alone = model()
    alone.set_weights(several.get_weights())
    # The replicas' examples are far apart.
    x = np.repeat([[-3.0, 1.0], [2.0, 3.0]], 4, axis=0).astype("float32")
    for each in (several, alone):
        each.fit(x, np.zeros((8, 3)), batch_size=8, epochs=3, verbose=0)
    for a, b in zip(several.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    found, expected = (m.get_layer("gate").multiplier for m in (several, alone))
    of_replicas = strategy.experimental_local_results(found.value)
    np.testing.assert_allclose(
        of_replicas, [float(expected)] * 2, rtol=1e-5, atol=1e-7
    )


def test_gates_of_the_examples():
    layer = tg.StochasticGate(seed=1)
    gates = tf.constant([[-9.0, 9.0], [9.0, -9.0], [0.0, 0.0]])
    y = layer(np.full((3, 2), 2.0, "float32"), gates)
    np.testing.assert_allclose(y, [[0, 2], [2, 0], [1, 1]], atol=1e-6)
    assert not layer.weights
    with pytest.raises(ValueError, match="no gates of its own"):
        layer.open_gates()
    with pytest.raises(ValueError, match="gates of each example"):
        layer(np.ones((3, 2), "float32"))


def test_the_weight_is_annealed():
    layer = gate("hard_concrete", 0.0)
    layer(np.ones((1, 4), "float32"))
    assert float(layer.losses[0]) == 0.0
    layer.weight = 0.5
    layer(np.ones((1, 4), "float32"))
    assert float(layer.losses[0]) > 0.5


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"kind": "soft"}, (2, 3), "'gaussian'.*kind='soft'"),
        ({"axis": 2}, (2, 3), "axis=2 for inputs of shape"),
        ({"axis": 0}, (2, 3), "other than that of the batch"),
        ({"axis": -2}, (2, 3), "other than that of the batch"),
        ({"weight": -1.0}, (2, 3), "weight=-1.0"),
        ({"sparsity": 1.0}, (2, 3), "sparsity=1.0"),
        ({"stddev": 0.5}, (2, 3), "`stddev` belongs to kind='gaussian'"),
        (
            {"kind": "gaussian", "temperature": 0.5},
            (2, 3),
            "`temperature` belongs to kind='hard_concrete'",
        ),
        ({"inference": "mean"}, (2, 3), "'mode', 'sample'"),
    ],
)
def test_bad_arguments(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        tg.StochasticGate(**arguments)(tf.ones(shape))


def test_gates_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"\[B, 3\].*\(2, 4\)"):
        tg.StochasticGate()(tf.ones([2, 3]), tf.ones([2, 4]))
    with pytest.raises(ValueError, match=r"\[B, 3\]"):
        tg.StochasticGate()(keras.Input((3,)), keras.Input((4,)))


@pytest.mark.parametrize(
    ("inputs", "gates", "message"),
    [
        ([2, 5], None, r"have 3 features on axis -1.*\(2, 5\)"),
        ([2, 1], None, r"have 3 features on axis -1.*\(2, 1\)"),
        ([2, 3], [2, 1], r"\[B, 3\].*\(2, 1\)"),
        ([2, 3], [4, 3], r"each example.*\(4, 3\).*\(2, 3\)"),
        ([2, 3], [1, 3], r"each example.*\(1, 3\).*\(2, 3\)"),
        ([1, 3], [2, 3], r"each example.*\(2, 3\).*\(1, 3\)"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_other_shapes_than_it_was_built_for(inputs, gates, message, training):
    layer = tg.StochasticGate()
    layer(tf.ones([2, 3]), gates and tf.ones([2, 3]))
    given = gates and tf.ones(gates)
    with pytest.raises(ValueError, match=message):
        layer(tf.ones(inputs), given, training=training)


def test_a_number_of_features_that_is_known_when_it_runs():
    layer = tg.StochasticGate(initializer="ones")
    expected = layer(tf.ones([2, 3]))
    signature = [tf.TensorSpec([None, None])]
    run = tf.function(layer.__call__, input_signature=signature)
    np.testing.assert_array_equal(run(tf.ones([2, 3])), expected)
