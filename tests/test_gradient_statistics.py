"""GradientStatistics: what it measures, and that it changes nothing."""

import csv
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots, softmax

X = np.linspace(-1, 1, 48).reshape(12, 4).astype("float32")


def plain_model(sampler=None):
    x = keras.Input((4,))
    sampler = sampler or tg.GumbelSoftmax(seed=1)
    z = sampler(keras.layers.Dense(3, name="encoder")(x))
    model = keras.Model(x, keras.layers.Dense(4, name="decoder")(z))
    model.compile("adam", "mse", jit_compile=False)
    return model


def stochastic_model():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(6, name="encoder")(x)
    hidden = keras.layers.Dropout(0.3, seed=4)(hidden)
    hidden = keras.layers.BatchNormalization()(hidden)
    z = tg.ReinforceSampler(seed=2)(hidden, context=x)
    model = tg.StochasticModel(x, keras.layers.Dense(4, name="decoder")(z))
    model.compile("adam", "mse", metrics=["mae"], jit_compile=False)
    return model


def quantizing_model():
    # A trained codebook, of which codes are revived in nearly every call.
    quantizer = tg.StochasticQuantizer(
        16, 3, seed=1, revive_after=0.1, name="quantizer"
    )
    return plain_model(quantizer)


def spectral_model():
    # Keras divides the trained kernel by its norm in each call.
    normalized = keras.layers.SpectralNormalization(keras.layers.Dense(3))
    return plain_model(keras.Sequential([normalized, tg.GumbelSoftmax(seed=1)]))


def model_of_two_outputs():
    # Keras tracks each output's loss in a metric that `compute_loss` updates.
    x = keras.Input((4,))
    z = tg.GumbelSoftmax(seed=1)(keras.layers.Dense(3, name="encoder")(x))
    outputs = [keras.layers.Dense(4, name=n)(z) for n in ("left", "right")]
    model = keras.Model(x, outputs)
    model.compile("adam", ["mse", "mae"], jit_compile=False)
    return model


class RunningScale(keras.losses.Loss):
    """Keeps a scale and a generator, of which Keras knows nothing."""

    def __init__(self, noisy=True):
        super().__init__()
        self.noisy = noisy
        self.scale = tf.Variable(1.0)
        self.generator = tf.random.Generator.from_seed(3)

    def call(self, y_true, y_pred):
        error = keras.losses.mean_squared_error(y_true, y_pred)
        self.scale.assign(0.9 * self.scale + 0.1 * tf.reduce_mean(error))
        noise = self.generator.uniform(tf.shape(error)) if self.noisy else 1.0
        return error / self.scale * noise


def model_with_a_loss_of_its_own():
    model = plain_model()
    model.compile("adam", RunningScale(), jit_compile=False)
    return model


def targets(model):
    return X if len(model.outputs) == 1 else [X] * len(model.outputs)


def fit(model, *callbacks, epochs=2):
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    options |= {"epochs": epochs, "callbacks": list(callbacks)}
    history = model.fit(X, targets(model), **options)
    return history.history


@pytest.mark.full
@pytest.mark.parametrize(
    "make",
    [
        stochastic_model,
        quantizing_model,
        spectral_model,
        model_with_a_loss_of_its_own,
        pytest.param(plain_model, marks=pytest.mark.slow),
        pytest.param(model_of_two_outputs, marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_bit_for_bit(make):
    keras.utils.set_random_seed(3)
    without = make()
    history = fit(without)
    keras.utils.set_random_seed(3)
    watched = make()
    data = (X, targets(watched))
    statistics = tg.GradientStatistics(every=2, data=data, samples=3)
    logged = fit(watched, statistics)
    for a, b in zip(without.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), a.path)
    for a, b in zip(
        without.optimizer.variables, watched.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), a.path)
    for key, values in history.items():
        assert logged[key] == values
    assert len(logged["gradient_variance/encoder"]) == 2
    assert min(logged["gradient_variance/encoder"]) > 0


@pytest.mark.full
def test_reinforce_has_the_variance_of_enumeration():
    x = keras.Input((1,))
    logits = keras.layers.Dense(3, use_bias=False, name="encoder")(x)
    z = tg.ReinforceSampler(baseline=None, seed=2)(logits)
    decoder = keras.layers.Dense(1, use_bias=False, name="decoder")
    model = tg.StochasticModel(x, decoder(z))
    model.compile("sgd", "mse")
    model.get_layer("encoder").kernel.assign([[0.5, -1.0, 0.2]])
    decoder.kernel.assign([[1.0], [-1.5], [0.5]])
    one = np.ones([1, 1], "float32")
    statistics = tg.GradientStatistics(data=(one, 0 * one), samples=1500)
    statistics.set_model(model)
    found = statistics.measure()
    q = softmax([0.5, -1.0, 0.2])
    f = np.square([1.0, -1.5, 0.5])
    g = f[:, None] * (one_hots(3) - q)
    square = np.square(g - q @ g).sum(1)
    error = np.sqrt((q @ np.square(square) - (q @ square) ** 2) / 1500)
    assert 5 * error < 0.3 * (q @ square)
    assert abs(found["gradient_variance/encoder"] - q @ square) < 5 * error
    snr = np.linalg.norm(q @ g) / np.sqrt(q @ square)
    assert found["gradient_snr/encoder"] == pytest.approx(snr, rel=0.1)


@pytest.mark.full
def test_dropout_is_noise_as_well():
    """Of (2 w b)² the slope is 8 w b, with b a fair coin: variance 16 w²."""
    x = keras.Input((1,))
    kept = keras.layers.Dropout(0.5, seed=4)(x)
    dense = keras.layers.Dense(1, use_bias=False, name="encoder")
    model = keras.Model(x, dense(kept))
    model.compile("sgd", "mse")
    dense.kernel.assign([[0.5]])
    one = np.ones([1, 1], "float32")
    statistics = tg.GradientStatistics(data=(one, 0 * one), samples=200)
    statistics.set_model(model)
    found = statistics.measure()["gradient_variance/encoder"]
    assert found == pytest.approx(16 * 0.25, rel=0.1)


@pytest.mark.full
def test_gumbel_softmax_has_the_variance_of_direct_measurement():
    keras.utils.set_random_seed(1)
    model = plain_model()
    weight = np.linspace(0.0, 2.0, 12)
    statistics = tg.GradientStatistics(data=(X, X, weight), samples=400)
    statistics.set_model(model)
    found = statistics.measure()["gradient_variance/encoder"]
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")

    @tf.function
    def gradient(seed):
        with tf.GradientTape() as tape:
            noise = tg.random.gumbel([12, 3], seed)
            z = tg.ops.gumbel_softmax(encoder(X), noise, temperature=1.0)
            error = tf.reduce_mean(tf.square(decoder(z) - X), axis=1)
            loss = tf.reduce_sum(error * weight.astype("float32")) / 12
        return tape.gradient(loss, encoder.trainable_variables)

    draws = [gradient(tf.constant([7, i])) for i in range(400)]
    flat = np.array(
        [np.concatenate([g.numpy().ravel() for g in d]) for d in draws]
    )
    squares = np.square(flat - flat.mean(0)).sum(1)
    error = np.sqrt(2) * squares.std() / np.sqrt(400)
    assert 5 * error < 0.4 * squares.mean()
    assert abs(found - squares.mean()) < 5 * error


class Count(tg.GradientStatistics):
    """Remembers the steps at which it measured."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.steps = []

    def measure(self):
        self.steps.append(int(self.model.optimizer.iterations))
        return {"gradient_variance/x": float(len(self.steps))}


@pytest.mark.full
@pytest.mark.parametrize(
    ("every", "steps", "logged"),
    [(2, [2, 4, 6, 8, 10, 12], [2.0, 5.0]), (None, [6, 12], [1.0, 2.0])],
)
def test_when_it_measures(every, steps, logged):
    count = Count(every=every, data=(X, X))
    history = fit(plain_model(), count)
    assert count.steps == steps
    assert history["gradient_variance/x"] == logged


@pytest.mark.full
def test_steps_per_execution_and_seldom():
    model = plain_model()
    model.compile("adam", "mse", steps_per_execution=3, jit_compile=False)
    count = Count(every=2, data=(X, X))
    fit(model, count)
    assert count.steps == [3, 6, 9, 12]
    count = Count(every=100, data=(X, X))
    fit(model, count)
    assert count.steps == [18, 24]


@pytest.mark.full
def test_layers_by_name_by_object_and_in_nested_models(tmp_path):
    inner = plain_model()
    x = keras.Input((4,))
    model = keras.Model(x, inner(x))
    model.compile("adam", "mse")
    everything = tg.GradientStatistics(data=(X, X), samples=2)
    everything.set_model(model)
    assert list(everything._watched) == [inner.name]
    chosen = [inner.get_layer("decoder"), "encoder"]
    statistics = tg.GradientStatistics(chosen, data=(X, X), samples=2)
    path = tmp_path / "log.csv"
    fit(model, statistics, keras.callbacks.CSVLogger(path), epochs=1)
    with path.open() as file:
        (row,) = csv.DictReader(file)
    for key in ("variance/decoder", "variance/encoder", "snr/decoder"):
        assert float(row[f"gradient_{key}"]) >= 0


@pytest.mark.full
@pytest.mark.parametrize("estimator", [None, "implicit_mle"])
def test_loss_scaling_is_taken_out(estimator):
    def measured(policy):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(1)
        sampler = estimator and tg.SubsetSampler(
            *(2, "plackett_luce"), estimator=estimator, seed=1, step=9.0
        )
        model = plain_model(sampler)
        statistics = tg.GradientStatistics(data=(X, X), samples=20)
        fit(model, statistics, epochs=1)
        return statistics.measure()["gradient_variance/encoder"]

    assert measured("mixed_float16") == pytest.approx(
        measured("float32"), rel=0.1
    )


def plain_sgd(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(5)
        model = stochastic_model()
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    return model


@pytest.mark.full
def test_on_replicas_it_is_the_gradient_that_the_optimizer_applies(strategy):
    """Of one batch: what a step of SGD subtracts, in the same noise."""
    model = plain_sgd(strategy)
    data = (X[:8], X[:8], np.linspace(0.0, 2.0, 8))
    statistics = tg.GradientStatistics(data=data, samples=2)
    statistics.set_model(model)
    layer = model.get_layer("encoder")
    state = [v.numpy() for v in model.non_trainable_variables]
    found = statistics._gradients(statistics._shards)["encoder"].numpy()
    for variable, value in zip(
        model.non_trainable_variables, state, strict=True
    ):
        variable.assign(value)
    before = [v.numpy() for v in layer.trainable_variables]
    options = {"verbose": 0, "shuffle": False}
    model.fit(*data[:2], 8, sample_weight=data[2], **options)
    step = [
        b - v.numpy()
        for b, v in zip(before, layer.trainable_variables, strict=True)
    ]
    flat = np.concatenate([part.ravel() for part in step])
    assert np.abs(flat).max() > 0.01
    np.testing.assert_allclose(found, flat, atol=1e-6)


@pytest.mark.exhaustive
def test_training_on_replicas_is_the_same_bit_for_bit(strategy):
    def trained(*callbacks):
        model = plain_sgd(strategy)
        model.optimizer.learning_rate = 0.1
        return model, fit(model, *callbacks, epochs=1)

    without, history = trained()
    statistics = tg.GradientStatistics(every=3, data=(X, X), samples=2)
    watched, logged = trained(statistics)
    for a, b in zip(without.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), a.path)
    for key, values in history.items():
        assert logged[key] == values
    assert min(logged["gradient_variance/encoder"]) > 0


@pytest.mark.full
def test_bad_arguments(strategy):
    with pytest.raises(ValueError, match="samples=1"):
        tg.GradientStatistics(data=X, samples=1)
    with pytest.raises(ValueError, match="every=0"):
        tg.GradientStatistics(data=X, every=0)
    with pytest.raises(ValueError, match="'encoder'.*Received: .'missing'"):
        fit(plain_model(), tg.GradientStatistics("missing", data=X))
    with strategy.scope():
        model = plain_model()
    with pytest.raises(ValueError, match="1 examples for 2 replicas"):
        fit(model, tg.GradientStatistics(data=(X[:1], X[:1])))


def test_layers_of_one_name_are_told_apart():
    """Each by its own gradient, which one scale makes larger."""
    x = keras.Input((4,))
    encoders, outputs = [], []
    for scale in (1.0, 2.0):
        encoder = keras.layers.Dense(3, "linear", False, "zeros")
        encoder.name = "encoder"
        encoders.append(encoder)
        z = tg.GumbelSoftmax(seed=int(scale))(keras.Model(x, encoder(x))(x))
        outputs.append(keras.layers.Rescaling(scale)(z))
    model = keras.Model(x, keras.layers.Add()(outputs))
    model.compile("sgd", lambda y, p: p[:, 0], jit_compile=False)

    def ratio(layers):
        watch = tg.GradientStatistics(layers, data=(X, X), samples=400)
        watch.set_model(model)
        first = watch.measure()
        names = ["gradient_variance/encoder", "gradient_variance/encoder_1"]
        assert set(names) < set(first)
        return first[names[1]] / first[names[0]]

    assert 3.0 < ratio(encoders) < 5.0
    assert 0.2 < ratio(encoders[::-1]) < 0.33


def test_a_dataset_is_no_batch():
    dataset = tf.data.Dataset.from_tensors((X, X))
    with pytest.raises(TypeError, match=r"next\(iter\(dataset\)\)"):
        tg.GradientStatistics(data=dataset)
    tg.GradientStatistics(data=next(iter(dataset)))


@pytest.mark.parametrize("knows", [False, True])
def test_a_loss_that_only_a_train_step_knows_is_said(knows):
    class Own(keras.Model):
        def train_step(self, data):
            raise NotImplementedError

    class Known(Own):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            raise NotImplementedError

    plain = plain_model()
    model = (Known if knows else Own)(plain.inputs, plain.outputs)
    model.compile("adam")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tg.GradientStatistics(data=(X, X)).set_model(model)
    messages = [str(each.message) for each in caught]
    assert any("`add_loss` terms alone" in m for m in messages) != knows


class Counting(keras.layers.Layer):
    """Whose output grows with every call in training."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(), initializer="ones")
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, x, training=None):
        if training:
            self.calls.assign_add(1.0)
        return x * self.kernel * self.calls


def test_every_sample_begins_with_the_same_state():
    model = keras.Sequential([keras.Input((2,)), Counting(name="counting")])
    model.compile("sgd", "mse")
    data = np.ones((4, 2)), np.zeros((4, 2))
    statistics = tg.GradientStatistics(every=None, data=data, samples=3)
    history = model.fit(*data, verbose=0, callbacks=[statistics]).history
    assert history["gradient_variance/counting"] == [0.0]
    assert float(model.layers[0].calls) == 1.0


@pytest.mark.parametrize("noisy", [False, True])
def test_a_loss_begins_each_sample_at_one_scale_and_with_other_noise(noisy):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", RunningScale(noisy))
    statistics = tg.GradientStatistics(every=None, data=(X, X), samples=3)
    history = model.fit(X, X, verbose=0, callbacks=[statistics]).history
    ((variance,),) = [v for k, v in history.items() if "variance" in k]
    assert (variance > 0.0) == noisy
