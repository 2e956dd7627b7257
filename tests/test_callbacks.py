"""Annealing by callback: values, logs, resuming, errors."""

import copy
import csv
import functools
import io
from contextlib import redirect_stdout

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tfgumbel.callbacks import temperature_scheduler

X = np.linspace(-1, 1, 48).reshape(12, 4).astype("float32")
SCHEDULE = tg.schedules.ExponentialAnnealing(1.0, rate=0.05, minimum=0.3)
STEPS = 6  # of batch size 2 per epoch


def model(layer=None, **options):
    layer = layer or tg.GumbelSoftmax(seed=1, name="code")
    x = keras.Input((4,))
    logits = keras.layers.Dense(3, kernel_initializer="ones")(x)
    logits = tg.CategoricalKL(weight=0.5, name="kl")(logits)
    y = keras.layers.Dense(4, kernel_initializer="ones")(layer(logits))
    network = keras.Model(x, y)
    network.compile("sgd", loss="mse", **options)
    return network


def fit(network, callbacks, epochs=2, **options):
    options = {"batch_size": 2, "verbose": 0, "shuffle": False, **options}
    history = network.fit(X, X, epochs=epochs, callbacks=callbacks, **options)
    return history.history


def temperature(network):
    return float(network.get_layer("code").temperature)


class Seen(keras.callbacks.Callback):
    """Records the temperature that each batch was trained at."""

    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(temperature(self.model))


@pytest.mark.full
@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_batch_has_the_value_of_its_step(jit_compile):
    network, seen = model(jit_compile=jit_compile), Seen()
    history = fit(network, [tg.TemperatureScheduler(SCHEDULE), seen])
    expected = [float(SCHEDULE(step)) for step in range(2 * STEPS)]
    np.testing.assert_allclose(seen.values, expected, rtol=1e-6)
    np.testing.assert_allclose(
        history["temperature"], expected[STEPS - 1 :: STEPS], rtol=1e-6
    )


@pytest.mark.full
def test_the_value_is_the_one_the_graph_uses():
    """At a huge temperature every relaxed sample is the uniform one."""
    network = model(tg.GumbelSoftmax(name="code", inference="relaxed"))
    network.get_layer("kl").weight.assign(0.0)
    sample = keras.Model(network.inputs, network.get_layer("code").output)
    assert np.ptp(sample.predict(X, verbose=0)) > 0.1
    fit(network, [tg.TemperatureScheduler(1e6)], epochs=1)
    assert np.ptp(sample.predict(X, verbose=0)) < 1e-4


@pytest.mark.full
def test_once_per_epoch():
    seen = Seen()
    scheduler = tg.TemperatureScheduler(lambda e: 1.0 / (1 + e), per="epoch")
    history = fit(model(), [scheduler, seen], epochs=3)
    assert history["temperature"] == pytest.approx([1.0, 1 / 2, 1 / 3])
    np.testing.assert_allclose(seen.values, np.repeat([1, 1 / 2, 1 / 3], STEPS))


@pytest.mark.full
def test_steps_per_execution_takes_the_first_step_of_each_call():
    network = model(steps_per_execution=3)
    history = fit(network, [tg.TemperatureScheduler(SCHEDULE)], epochs=1)
    assert history["temperature"] == pytest.approx([float(SCHEDULE(3))])


@pytest.mark.full
@pytest.mark.parametrize("known", [True, False])
def test_an_epoch_that_ends_within_an_execution(known):
    """Of six batches in fours; the second four has two."""
    data = tf.data.Dataset.from_tensor_slices((X, X)).batch(2)
    if not known:
        data = data.filter(lambda x, y: True)
    network = model(steps_per_execution=4)
    callbacks = [tg.TemperatureScheduler(SCHEDULE)]
    history = network.fit(data, epochs=2, callbacks=callbacks, verbose=0)
    expected = [float(SCHEDULE(step)) for step in (4, STEPS + 4)]
    assert history.history["temperature"] == pytest.approx(expected)


@pytest.mark.full
def test_logs_reach_csv_tensorboard_and_the_progress_line(tmp_path):
    path = tmp_path / "log.csv"
    printed = io.StringIO()
    callbacks = [
        tg.TemperatureScheduler(SCHEDULE, verbose=1),
        keras.callbacks.CSVLogger(path),
        keras.callbacks.TensorBoard(tmp_path),
    ]
    with redirect_stdout(printed):
        history = fit(model(), callbacks, verbose=1)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    values = [float(row["temperature"]) for row in rows]
    assert values == pytest.approx(history["temperature"])
    assert "temperature: 0." in printed.getvalue()
    assert "Epoch 1: temperature 1" in printed.getvalue()
    assert b"epoch_temperature" in b"".join(
        file.read_bytes() for file in tmp_path.rglob("events*")
    )


@pytest.mark.full
def test_the_weight_of_a_kl_layer():
    network = model()
    warm_up = tg.TemperatureScheduler(
        lambda step: min(1.0, step / 10), attribute="weight"
    )
    history = fit(network, [warm_up, tg.TemperatureScheduler(SCHEDULE)])
    assert history["kl_weight"] == pytest.approx([0.5, 1.0])
    assert float(network.get_layer("kl").weight) == 1.0
    assert history["temperature"][-1] == pytest.approx(temperature(network))


def test_the_capacity_of_a_kl_layer_may_begin_at_zero():
    layer = tg.CategoricalKL(capacity=1.0)
    network = keras.Sequential([keras.Input((4,)), layer])
    network.compile("sgd", "mse")
    rise = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 5.0)
    callback = tg.TemperatureScheduler(rise, attribute="capacity")
    history = fit(network, [callback], epochs=2)
    assert history["kl_capacity"] == pytest.approx([2.5, 5.0])


def test_the_scale_of_a_quantizer():
    codes = tg.StochasticQuantizer(4, 4, name="codes")
    network = keras.Sequential([keras.Input((4,)), codes])
    network.compile("sgd", "mse")
    fall = tg.TemperatureScheduler(lambda step: 0.3, attribute="scale")
    history = fit(network, [fall], epochs=1)
    assert history["scale"] == pytest.approx([0.3])
    assert float(codes.scale) == pytest.approx(0.3)


def test_a_warm_up_does_not_weigh_what_is_no_divergence():
    x = keras.Input((4,))
    even = tg.CodeUsageLoss("load_balance", weight=0.01, name="even")
    network = keras.Model(x, even(tg.CategoricalKL(weight=0.0, name="kl")(x)))
    network.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"whose `weight`.*\['kl', 'even'\]"):
        fit(network, [tg.TemperatureScheduler(1.0, attribute="weight")])
    fit(network, [tg.TemperatureScheduler(1.0, "kl", attribute="weight")], 1)
    assert float(even.weight) == pytest.approx(0.01)
    assert float(network.get_layer("kl").weight) == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        keras.optimizers.schedules.CosineDecay(1.0, 20, alpha=0.1),
        lambda step: 0.7,
        0.7,
    ],
    ids=["keras", "callable", "number"],
)
def test_any_schedule_serves(schedule):
    network = model()
    fit(network, [tg.TemperatureScheduler(schedule)], epochs=1)
    expected = tg.schedules.get(schedule)(STEPS - 1)
    assert temperature(network) == pytest.approx(float(expected))


def test_layers_in_nested_models_are_found():
    inner = model()
    x = keras.Input((4,))
    outer = keras.Model(x, inner(x))
    outer.compile("sgd", loss="mse")
    fit(outer, [tg.TemperatureScheduler(0.25)], epochs=1)
    assert temperature(inner) == 0.25


def test_a_layer_with_its_own_schedule_is_left_alone():
    network = model(tg.GumbelSoftmax(SCHEDULE, name="code"))
    with pytest.raises(ValueError, match="no layer with a `temperature`"):
        fit(network, [tg.TemperatureScheduler(0.25)])
    with pytest.raises(ValueError, match="'code' follows a schedule"):
        fit(network, [tg.TemperatureScheduler(0.25, layers="code")])


@pytest.mark.full
def test_chosen_layers_by_object_or_name_and_in_copies():
    network = model()
    layer = network.get_layer("code")
    for chosen in (layer, [layer], "code", ["code"]):
        scheduler = tg.TemperatureScheduler(0.125, layers=chosen)
        fit(network, [scheduler], epochs=1)
        assert temperature(network) == 0.125
        layer.temperature.assign(1.0)
    other = model()
    scheduler = tg.TemperatureScheduler(0.125, layers=layer)
    fit(other, [copy.deepcopy(scheduler)], epochs=1)
    assert temperature(other) == 0.125


@pytest.mark.full
def test_mixed_precision_with_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    network = model()
    assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer)
    fit(network, [tg.TemperatureScheduler(SCHEDULE)], epochs=1)
    assert network.get_layer("code").temperature.dtype == "float32"
    assert temperature(network) < 1.0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "hot", None])
def test_a_schedule_that_returns_no_temperature(value):
    scheduler = tg.TemperatureScheduler(lambda step: value)
    with pytest.raises(ValueError, match=f"returned {value!r} at step 0"):
        fit(model(), [scheduler])


def test_bad_arguments():
    with pytest.raises(ValueError, match="`per`.*per='day'"):
        tg.TemperatureScheduler(SCHEDULE, per="day")
    with pytest.raises(TypeError, match="`schedule`.*schedule=None"):
        tg.TemperatureScheduler(None)
    with pytest.raises(ValueError, match="names 'missing'.*'code'"):
        fit(model(), [tg.TemperatureScheduler(SCHEDULE, layers="missing")])


class Stop(Exception):
    """What a preempted job looks like from inside `fit`."""


class StopAt(keras.callbacks.Callback):
    """Raises at a given step of the optimizer."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            raise Stop


def stochastic_model():
    x = keras.Input((4,))
    logits = keras.layers.Dense(6, kernel_initializer="ones")(x)
    relaxed = tg.GumbelSoftmax(seed=1, name="code")(logits[:, :3])
    exact = tg.ReinforceSampler(
        baseline=keras.layers.Dense(1, kernel_initializer="ones"), seed=2
    )(logits[:, 3:], context=x)
    mixed = keras.layers.Concatenate()([relaxed, exact])
    y = keras.layers.Dense(4, kernel_initializer="ones")(mixed)
    network = tg.StochasticModel(x, y)
    network.compile("adam", loss="mse", jit_compile=False)
    return network


def assert_same_weights(first, second):
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), a.path)


@pytest.mark.full
def test_a_run_restored_from_a_backup_is_the_uninterrupted_run(tmp_path):
    whole = stochastic_model()
    fit(whole, [tg.TemperatureScheduler(SCHEDULE)], epochs=4)

    def callbacks(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return [tg.TemperatureScheduler(SCHEDULE), backup, *more]

    with pytest.raises(Stop):
        fit(stochastic_model(), callbacks(StopAt(2 * STEPS + 3)), epochs=4)
    resumed = stochastic_model()
    fit(resumed, callbacks(), epochs=4)
    assert_same_weights(whole, resumed)


@pytest.mark.full
def test_a_reloaded_model_continues_schedule_and_noise(tmp_path):
    whole = stochastic_model()
    fit(whole, [tg.TemperatureScheduler(SCHEDULE)], epochs=4)
    half = stochastic_model()
    fit(half, [tg.TemperatureScheduler(SCHEDULE)], epochs=2)
    half.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    history = fit(resumed, [tg.TemperatureScheduler(SCHEDULE)], epochs=2)
    last = float(SCHEDULE(4 * STEPS - 1))
    assert history["temperature"][-1] == pytest.approx(last)
    assert_same_weights(whole, resumed)


@pytest.mark.full
def test_a_checkpoint_holds_the_noise(tmp_path):
    first, second = stochastic_model(), stochastic_model()
    fit(first, [tg.TemperatureScheduler(SCHEDULE)], epochs=1)
    path = tf.train.Checkpoint(model=first).save(str(tmp_path / "at"))
    tf.train.Checkpoint(model=second).restore(path)
    np.testing.assert_array_equal(
        second.get_layer("code").seed_state.numpy(),
        first.get_layer("code").seed_state.numpy(),
    )
    assert temperature(second) == temperature(first)


class Critic(keras.Model):
    """Steps one of its optimizers three times in a batch, as GANs do."""

    def __init__(self, times=3):
        super().__init__()
        self.times = times
        self.code = tg.GumbelSoftmax()
        self.number = self.add_weight(shape=(), name="number")
        self.often, self.rarely = (keras.optimizers.SGD() for _ in range(2))

    def train_step(self, x):
        for optimizer in (*self.times * [self.often], self.rarely):
            optimizer.apply([tf.ones([])], [self.number])
        self.code(x, training=True)
        return {"number": self.number}


def accumulating():
    network = keras.Sequential([keras.layers.Dense(4), tg.GumbelSoftmax()])
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=3)
    network.compile(optimizer, "mse", jit_compile=False)
    return network


def critic(times=3):
    network = Critic(times)
    network.compile()
    return network


@pytest.mark.parametrize("make", [critic, accumulating])
def test_a_later_fit_goes_on_by_batches(make):
    network, x = make(), np.zeros((32, 4), "float32")
    data = (x,) if make is critic else (x, x)
    for last in (7, 15):
        anneal = tg.TemperatureScheduler(lambda step: 1.0 + step)
        logged = network.fit(*data, batch_size=4, verbose=0, callbacks=[anneal])
        assert logged.history["temperature"] == [1.0 + last]


@pytest.mark.parametrize(
    "make", [functools.partial(critic, times=1), accumulating]
)
def test_a_resumed_fit_goes_on_by_the_optimizer_that_stepped_most(
    make, monkeypatch
):
    """In another process nothing is known of the run before."""
    network, x = make(), np.zeros((32, 4), "float32")
    data = (x, x) if make is accumulating else (x,)
    for last in (7, 15):
        monkeypatch.setattr(temperature_scheduler, "_runs", {})
        anneal = tg.TemperatureScheduler(lambda step: 1.0 + step)
        logged = network.fit(*data, batch_size=4, verbose=0, callbacks=[anneal])
        assert logged.history["temperature"] == [1.0 + last]


@pytest.mark.full
def test_a_new_optimizer_begins_anew():
    network, x = model(), np.zeros((32, 4), "float32")
    for optimizer, last in ((network.optimizer, 7), ("sgd", 7), (None, 15)):
        if optimizer is not None:
            network.compile(optimizer, "mse")
        anneal = tg.TemperatureScheduler(lambda step: 1.0 + step)
        logged = network.fit(x, x, batch_size=4, verbose=0, callbacks=[anneal])
        assert logged.history["temperature"] == [1.0 + last]


def twins(name="code"):
    """A model of two models, each with a layer of this name."""
    x = keras.Input((4,))
    inner = []
    for _ in range(2):
        logits = keras.layers.Dense(3, name="encoder")(x)
        inner.append(keras.Model(x, tg.GumbelSoftmax(name=name)(logits)))
    sample = keras.layers.Add()([each(x) for each in inner])
    network = keras.Model(x, keras.layers.Dense(4)(sample))
    network.compile("sgd", loss="mse")
    return network, [each.get_layer(name) for each in inner]


@pytest.mark.parametrize("chosen", [0, 1])
def test_of_layers_of_one_name_the_one_that_is_given(chosen):
    network, layers = twins()
    callback = tg.TemperatureScheduler(0.25, layers=layers[chosen])
    fit(network, [callback], epochs=1)
    expected = [1.0, 1.0]
    expected[chosen] = 0.25
    assert [float(layer.temperature) for layer in layers] == expected


def test_a_name_of_several_layers_is_refused():
    network, _ = twins()
    callback = tg.TemperatureScheduler(0.25, layers="code")
    with pytest.raises(ValueError, match="'code', as 2 layers of the model"):
        callback.set_model(network)
