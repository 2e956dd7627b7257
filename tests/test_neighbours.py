"""The layers among what Keras users put beside and around them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import assert_equal

X = np.random.default_rng(5).normal(size=(50, 6)).astype("float32")


def autoencoder(baseline="nvil", seed=3):
    """A relaxed code and a reinforced one, one after the other."""
    x = keras.Input((6,))
    logits = tg.CategoricalKL(name="kl")(keras.layers.Dense(4, name="in")(x))
    code = tg.GumbelSoftmax(seed=seed, name="relaxed")(logits)
    logits = keras.layers.Dense(4, name="middle")(code)
    z = tg.ReinforceSampler(baseline=baseline, seed=seed, name="reinforced")(
        logits, context=x
    )
    return tg.StochasticModel(x, keras.layers.Dense(6, name="out")(z))


def compiled(model, optimizer=None):
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse")
    return model


def fit(model, *data, **kwargs):
    return model.fit(
        *(data or (X, X)), **{"verbose": 0, "shuffle": False, **kwargs}
    ).history


def draws(layer):
    """The number of draws so far."""
    return int(layer.seed_state.numpy()[1])


@pytest.mark.full
def test_a_dataset_trains_as_its_arrays_do():
    """With a last batch that is smaller, repeated and prefetched."""
    keras.utils.set_random_seed(1)
    one = compiled(autoencoder())
    other = compiled(keras.models.clone_model(one))
    other.set_weights(one.get_weights())
    fit(one, batch_size=16, epochs=2)
    data = tf.data.Dataset.from_tensor_slices((X, X)).batch(16).repeat()
    fit(other, data.prefetch(2), epochs=2, steps_per_epoch=4)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=a.path)


@pytest.mark.full
@pytest.mark.parametrize("seed", [3, None])
def test_a_clone_has_the_config_and_a_seed_state_of_its_own(seed):
    """With a `seed` its noise begins anew; without, it is another one."""
    model = autoencoder(seed=seed)
    one = model.get_layer("relaxed")
    logits = np.zeros((20, 4), "float32")
    first = one(logits, training=True)
    clone = keras.models.clone_model(model)
    other = clone.get_layer("relaxed")
    assert other.get_config() == one.get_config()
    assert draws(other) == 0 and draws(one) == 1
    again = other(logits, training=True)
    assert np.array_equal(again, first) == (seed is not None)
    assert draws(one) == 1


@pytest.mark.full
def test_nested_models_come_back_from_their_config():
    inner = autoencoder()
    x = keras.Input((6,))
    outer = tg.StochasticModel(x, keras.layers.Dense(6)(inner(x)))
    other = type(outer).from_config(outer.get_config())
    other.set_weights(outer.get_weights())
    assert [layer.name for layer in other._flatten_layers()][1:] == [
        layer.name for layer in outer._flatten_layers()
    ][1:]
    for model in (compiled(outer), compiled(other)):
        fit(model, batch_size=25)
    assert_equal(outer.get_weights(), other.get_weights())
    lines = []
    outer.summary(expand_nested=True, print_fn=lines.append)
    assert "relaxed" in "".join(lines) and "reinforced" in "".join(lines)


@pytest.mark.full
def test_lora_of_the_neighbours_leaves_the_samplers_alone():
    model = autoencoder()
    for name in ("in", "middle", "out"):
        model.get_layer(name).enable_lora(2)
    frozen = [model.get_layer(n)._kernel.numpy() for n in ("in", "middle")]
    low_rank = model.get_layer("middle").lora_kernel_b.numpy()
    fit(compiled(model), batch_size=25)
    after = [model.get_layer(n)._kernel.numpy() for n in ("in", "middle")]
    assert_equal(after, frozen)
    assert np.any(model.get_layer("middle").lora_kernel_b != low_rank)
    assert draws(model.get_layer("relaxed")) == 2


@pytest.mark.exhaustive
def test_quantised_neighbours_leave_the_samplers_alone(tmp_path):
    """A quantised model predicts, samples, and comes back from its file."""
    model = autoencoder(seed=1)
    model.get_layer("relaxed").inference = "mean"
    model.get_layer("reinforced").inference = "mean"
    before = model.predict(X, verbose=0)
    own = [
        *model.get_layer("relaxed").weights,
        *model.get_layer("kl").weights,
        model.get_layer("reinforced").seed_state,
    ]
    values = [weight.numpy() for weight in own]
    model.quantize("int8")
    assert model.get_layer("middle").dtype_policy.name == "int8_from_float32"
    assert_equal(own, values)
    np.testing.assert_allclose(
        model.predict(X, verbose=0), before, atol=0.05 * np.abs(before).max()
    )
    with tg.SamplingScope(1):
        sample = model(X)
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    with tg.SamplingScope(1):
        assert_equal(other(X), sample)


def seed_states(model):
    return [v for v in model.variables if "seed_state" in v.path]


@pytest.mark.full
@pytest.mark.parametrize(
    "overwrite", [3, pytest.param(None, marks=pytest.mark.exhaustive)]
)
def test_averaged_weights_leave_seeds_and_temperatures_alone(overwrite):
    """The optimizer averages what is trained, and nothing else."""
    keras.utils.set_random_seed(2)
    plain = compiled(autoencoder())
    average = compiled(
        keras.models.clone_model(plain),
        keras.optimizers.Adam(
            0.01, use_ema=True, ema_overwrite_frequency=overwrite
        ),
    )
    average.set_weights(plain.get_weights())
    for one, other in zip(
        seed_states(plain), seed_states(average), strict=True
    ):
        other.assign(one)
    model = average.get_layer("relaxed")
    anneal = tg.TemperatureScheduler(lambda step: 1.0 / (1 + step))
    for each in (plain, average):
        fit(each, batch_size=10, epochs=2, callbacks=[anneal])
    assert float(model.temperature) == pytest.approx(0.1)
    for one, other in zip(
        seed_states(plain), seed_states(average), strict=True
    ):
        assert_equal(one, other)
    assert np.any(
        plain.get_layer("middle").kernel != average.get_layer("middle").kernel
    )


@pytest.mark.exhaustive
def test_keras_tuner_searches_temperature_and_rate(tmp_path):
    """The tuner deep-copies the callback for every trial."""
    keras_tuner = pytest.importorskip("keras_tuner")

    def build(hp):
        temperature = tg.schedules.ExponentialAnnealing(
            hp.Float("temperature", 0.5, 2.0),
            rate=hp.Float("rate", 1e-4, 1.0, sampling="log"),
            minimum=0.1,
        )
        x = keras.Input((6,))
        logits = tg.CategoricalKL(name="kl")(keras.layers.Dense(4)(x))
        code = tg.GumbelSoftmax(temperature, name="code", seed=1)(logits)
        model = keras.Model(x, keras.layers.Dense(6)(code))
        return compiled(model)

    tuner = keras_tuner.RandomSearch(
        build, "val_loss", 3, seed=1, directory=tmp_path, project_name="p"
    )
    warm_up = tg.TemperatureScheduler(
        lambda step: step / 10, attribute="weight"
    )
    tuner.search(
        *(X, X),
        validation_data=(X, X),
        epochs=2,
        batch_size=10,
        callbacks=[warm_up, Logged()],
        verbose=0,
    )
    assert warm_up._scalars == [] and len(LOGS) == 6
    assert all(log["kl_weight"] in (0.4, 0.9) for log in LOGS)
    (best,) = tuner.get_best_hyperparameters()
    model = tuner.hypermodel.build(best)
    code = model.get_layer("code")
    assert float(code.temperature) == pytest.approx(best["temperature"])
    fit(model, batch_size=10)
    expected = best["temperature"] * np.exp(-4 * best["rate"])
    assert float(code.temperature) == pytest.approx(
        max(0.1, expected), rel=1e-5
    )
    assert tuner.get_best_models()[0].predict(X, verbose=0).shape == X.shape


LOGS = []


class Logged(keras.callbacks.Callback):
    """Keeps the logs of every epoch of every trial."""

    def on_epoch_end(self, epoch, logs=None):
        LOGS.append(dict(logs))
