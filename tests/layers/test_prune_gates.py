"""A pruned model gives what the gated one gave."""

import keras
import numpy as np
import pytest

import tfgumbel as tg

Dense, Conv2D = keras.layers.Dense, keras.layers.Conv2D


def randomized(model, seed=1):
    """Random weights; about half of the gates are closed."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        scale = 5.0 if isinstance(layer, tg.StochasticGate) else 1.0
        weights = [
            np.abs(random.normal(size=w.shape)) + 0.1
            if isinstance(layer, keras.layers.BatchNormalization)
            else scale * random.normal(size=w.shape)
            for w in layer.get_weights()
        ]
        layer.set_weights(weights)
    return model


def assert_same(model, smaller, shape):
    x = np.random.default_rng(2).normal(size=(5, *shape)).astype("float32")
    expected = model.predict(x, verbose=0)
    found = smaller.predict(x, verbose=0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-6)


def stack(*layers, shape=(6,)):
    return randomized(keras.Sequential([keras.Input(shape), *layers]))


@pytest.mark.full
@pytest.mark.parametrize("kind", ["hard_concrete", "gaussian"])
def test_a_stack_of_dense_layers(kind):
    model = stack(
        Dense(20, activation="relu"),
        tg.StochasticGate(kind),
        Dense(15, activation="tanh"),
        tg.StochasticGate(kind),
        keras.layers.Dropout(0.5),
        Dense(3, activation="softmax"),
    )
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (6,))
    opened = [len(model.layers[i].open_gates()) for i in (1, 3)]
    kernels = [layer.kernel.shape for layer in smaller.layers if layer.weights]
    first, second = opened
    assert kernels == [(6, first), (first, second), (second, 3)]
    assert first < 20 and second < 15
    # The model itself is as it was.
    assert model.layers[0].units == 20


@pytest.mark.full
def test_a_stack_of_convolutions():
    model = stack(
        Conv2D(8, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("elu"),
        tg.StochasticGate(),
        keras.layers.ReLU(),
        keras.layers.MaxPooling2D(),
        Conv2D(6, 2, strides=2, activation="tanh"),
        tg.StochasticGate(),
        keras.layers.Flatten(),
        Dense(4),
        shape=(8, 8, 2),
    )
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (8, 8, 2))
    assert smaller.count_params() < model.count_params()
    assert smaller.layers[0].filters == len(model.layers[3].open_gates())


@pytest.mark.full
def test_gates_on_the_inputs_and_after_flatten():
    """Nothing to take out of: zeros in the kernel instead."""
    model = stack(
        tg.StochasticGate(),
        Conv2D(3, 2),
        keras.layers.Flatten(),
        tg.StochasticGate(),
        Dense(2),
        shape=(4, 4, 3),
    )
    model.layers[0].gates.assign([1.0, -9.0, 4.0])
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (4, 4, 3))
    closed = np.setdiff1d(np.arange(3), model.layers[0].open_gates())
    np.testing.assert_array_equal(closed, [1])
    kernel = smaller.layers[0].kernel.numpy()
    assert np.all(kernel[:, :, closed] == 0)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Activation("leaky_relu"),
        keras.layers.AveragePooling2D(2),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.GlobalMaxPooling2D(),
    ],
    ids=lambda layer: layer.name,
)
def test_what_may_stand_between_a_gate_and_the_next_kernel(layer):
    model = stack(
        *(Conv2D(6, 2), tg.StochasticGate(), layer),
        *(keras.layers.Flatten(), Dense(2)),
        shape=(4, 4, 2),
    )
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (4, 4, 2))
    assert smaller.layers[0].filters == len(model.layers[1].open_gates()) < 6


@pytest.mark.full
def test_two_gates_in_a_row():
    model = stack(
        Dense(30), tg.StochasticGate(), tg.StochasticGate("gaussian"), Dense(2)
    )
    assert_same(model, tg.prune_gates(model), (6,))


def test_a_functional_model():
    x = keras.Input((6,), name="features")
    y = Dense(2)(tg.StochasticGate()(Dense(10)(x)))
    model = randomized(keras.Model(x, y))
    assert_same(model, tg.prune_gates(model), (6,))


def test_a_model_made_layer_by_layer():
    """Keras calls the first layers anew for each that is added."""
    model = keras.Sequential([keras.Input((6,))])
    for layer in (Dense(20), tg.StochasticGate(), Dense(2)):
        model.add(layer)
    assert_same(randomized(model), tg.prune_gates(model), (6,))


def test_units_go_where_nothing_is_flattened():
    model = stack(
        Dense(20), keras.layers.Flatten(), tg.StochasticGate(), Dense(2)
    )
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (6,))
    assert smaller.layers[0].units == len(model.layers[2].open_gates())


def test_a_layer_that_is_used_twice():
    """Of which the smaller model has two, of different sizes."""
    shared, twice = keras.layers.ReLU(), Dense(6)
    x = keras.Input((6,))
    y = tg.StochasticGate()(shared(twice(x)))
    y = tg.StochasticGate()(shared(twice(y)))
    model = randomized(keras.Model(x, Dense(2)(y)))
    smaller = tg.prune_gates(model)
    assert_same(model, smaller, (6,))
    assert smaller.layers[2].units < 6


def test_inputs_keep_their_type():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(9, 3),
            keras.layers.Flatten(),
            Dense(8),
            tg.StochasticGate(),
            Dense(2),
        ]
    )
    smaller = tg.prune_gates(randomized(model))
    assert smaller.inputs[0].dtype == "int32"
    x = np.arange(45).reshape(9, 5) % 9
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-4)


def test_an_activation_that_no_file_could_name():
    model = stack(
        Dense(12, activation=lambda x: x * keras.ops.sigmoid(x)),
        tg.StochasticGate(),
        Dense(2),
    )
    assert_same(model, tg.prune_gates(model), (6,))


def test_what_mixes_features_stays_whole_where_no_gate_is_closed():
    model = stack(Dense(4, activation="softmax"), tg.StochasticGate(), Dense(1))
    model.layers[1].gates.assign([0.0, 1.0, 2.0, 9.0])
    assert_same(model, tg.prune_gates(model), (6,))


def gated(*after, gate=None):
    return stack(Dense(4), gate or tg.StochasticGate(), *after)


def branched():
    x = keras.Input((6,))
    h = Dense(4)(x)
    y = keras.layers.Add()([tg.StochasticGate()(h), h])
    return keras.Model(x, Dense(1)(y))


def closed():
    model = gated(Dense(1))
    model.layers[1].gates.assign(np.full(4, -9.0))
    return model


def test_other_layers_where_no_gate_has_to_pass_them():
    """In front, at the end, and before a gate, which then only multiplies."""
    normal = keras.layers.LayerNormalization()
    model = stack(
        keras.layers.Rescaling(0.5, offset=-1.0),
        keras.layers.Reshape((4, 4, 1)),
        Conv2D(5, 2, activation="relu"),
        tg.StochasticGate(),
        Conv2D(4, 2),
        keras.layers.Reshape((16,)),
        normal,
        tg.StochasticGate(),
        Dense(3),
        keras.layers.Softmax(),
        shape=(16,),
    )
    open_and_closed = [9.0, -9.0, 0.5, -9.0, 0.0]
    model.layers[3].gates.assign(open_and_closed)
    model.layers[7].gates.assign((3 * open_and_closed)[:15] + [9.0])
    normal.set_weights(np.random.default_rng(1).normal(size=(2, 16)))
    smaller = tg.prune_gates(model)
    x = np.random.default_rng(2).normal(size=(6, 16)).astype("float32")
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-6)
    shapes = [weight.shape for weight in smaller.get_weights()]
    assert shapes[:3] == [(2, 2, 1, 3), (3,), (2, 2, 3, 4)]
    assert shapes[3:] == [(4,), (16,), (16,), (16, 3), (3,)]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LSTM(3, return_sequences=True),
        keras.layers.GRU(3, return_sequences=True),
        keras.layers.SeparableConv1D(3, 2),
        keras.layers.Conv1DTranspose(3, 2),
    ],
    ids=lambda layer: layer.name,
)
def test_other_layers_keep_their_size(layer):
    """Of their weights, not the last axis of the first says how many units."""
    model = stack(layer, tg.StochasticGate(), Dense(2), shape=(5, 4))
    model.layers[1].gates.assign([9.0, -9.0, 0.5])
    assert_same(model, tg.prune_gates(model), (5, 4))


def mixed(*before):
    model = stack(*before, tg.StochasticGate(), Dense(1))
    model.layers[-2].gates.assign([9.0, -9.0, 9.0, 0.0])
    return model


def mean(x):
    return keras.ops.mean(x, axis=-1, keepdims=True)


def two_outputs():
    x = keras.Input((6,))
    h = Dense(4)(x)
    return keras.Model(x, [h, Dense(1)(tg.StochasticGate()(h))])


def two_inputs():
    x = keras.Input((6,))
    y = Dense(1)(tg.StochasticGate()(Dense(4)(x)))
    return keras.Model([x, keras.Input((6,))], y)


def of_positions():
    normal = keras.layers.BatchNormalization(axis=1)
    return stack(Dense(4), normal, tg.StochasticGate(), Dense(1), shape=(4, 6))


def adapted():
    model = gated(Dense(1))
    model.layers[0].enable_lora(2)
    return model


def quantized():
    model = gated(Dense(1))
    model.quantize("int8")
    return model


def channels_first(layer):
    return stack(
        Dense(5),
        tg.StochasticGate(),
        layer(data_format="channels_first"),
        Dense(1),
        shape=(4, 4, 2),
    )


class Centred(Dense):
    def call(self, x, training=None):
        y = super().call(x)
        return y - keras.ops.mean(y, axis=-1, keepdims=True)


def sequence():
    return stack(Dense(4), tg.StochasticGate(axis=1), Dense(1), shape=(3, 6))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: 3, TypeError, "Keras model.*int"),
        (lambda: gated(), ValueError, "ends in a gate"),
        (lambda: keras.Sequential([Dense(3)]), ValueError, "built"),
        (branched, ValueError, "chain"),
        (closed, ValueError, "no open gate"),
        (sequence, ValueError, "last axis.*axis=1"),
        (
            lambda: gated(keras.layers.Activation("tanh"), Dense(1)),
            ValueError,
            "stands between",
        ),
        (
            lambda: gated(keras.layers.Activation("elu"), Dense(1)),
            ValueError,
            "stands between",
        ),
        (
            lambda: gated(keras.layers.ReLU(max_value=1.0), Dense(1)),
            ValueError,
            "stands between",
        ),
        (
            lambda: gated(keras.layers.ReLU(threshold=0.5), Dense(1)),
            ValueError,
            "stands between",
        ),
        (
            lambda: gated(keras.layers.BatchNormalization(), Dense(1)),
            ValueError,
            "stands between",
        ),
        (
            lambda: gated(keras.layers.LayerNormalization(), Dense(1)),
            TypeError,
            "can be pruned",
        ),
        (
            lambda: stack(
                Conv2D(4, 2),
                tg.StochasticGate(),
                Conv2D(4, 2, groups=2),
                shape=(5, 5, 2),
            ),
            ValueError,
            "groups=2",
        ),
        (two_outputs, ValueError, "2 outputs"),
        (two_inputs, ValueError, "chain"),
        (of_positions, ValueError, "normalization of the last axis.*axis=1"),
        (
            lambda: mixed(Dense(4, activation="softmax")),
            ValueError,
            "each feature by itself.*softmax",
        ),
        (
            lambda: mixed(Dense(4), keras.layers.Activation("log_softmax")),
            ValueError,
            "each feature by itself.*log_softmax",
        ),
        (
            lambda: mixed(Dense(4), keras.layers.Activation(mean)),
            ValueError,
            "each feature by itself.*mean",
        ),
        (
            lambda: mixed(Dense(4, lambda x: x + 0.01 * mean(x))),
            ValueError,
            "each feature by itself",
        ),
        (adapted, ValueError, "LoRA.*4 weights"),
        (quantized, ValueError, "quantised.*3 weights"),
        (
            lambda: channels_first(keras.layers.MaxPooling2D),
            ValueError,
            "channels_first",
        ),
        (
            lambda: channels_first(keras.layers.Flatten),
            ValueError,
            "channels_first",
        ),
        (
            lambda: stack(
                keras.Sequential([Dense(4), tg.StochasticGate()]), Dense(1)
            ),
            TypeError,
            "can be pruned.*Sequential",
        ),
        (lambda: gated(Centred(1)), TypeError, "another `call`.*Centred"),
    ],
)
def test_what_cannot_be_pruned(make, error, message):
    with pytest.raises(error, match=message):
        tg.prune_gates(make())
