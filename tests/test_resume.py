"""A run that is stopped in mid-epoch and resumed ends with the same weights.

Bit for bit, in a graph on one device. Nothing is seeded and the twin that
resumes has seen other data, so that whatever is not restored shows.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

X = np.random.default_rng(3).normal(size=(40, 4)).astype("float32")
BATCH, STEPS, SAVED_AT, BACKED_UP_EVERY = 4, 10, 7, 4
SCHEDULE = tg.schedules.ExponentialAnnealing(1.0, rate=0.05, minimum=0.3)
dense = keras.layers.Dense


def autoencoder(encode):
    """From code to reconstruction; `encode` maps x to codes."""
    x = keras.Input((4,))
    y = dense(4)(keras.layers.Concatenate()(encode(x)))
    return compiled(tg.StochasticModel(x, y), "mse")


def compiled(model, loss):
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def annealed(x):
    """By a callback, by schedules inside the graph, and by training."""
    bits = tg.BinaryConcrete(SCHEDULE, hard=True, backward_temperature=SCHEDULE)
    logits = tg.CategoricalKL(weight=SCHEDULE)(dense(3)(x))
    trained = tg.GumbelSoftmax(trainable_temperature=True)(dense(3)(x))
    return [tg.GumbelSoftmax(name="code")(logits), bits(dense(3)(x)), trained]


def reinforced(x):
    running = tg.ReinforceSampler(baseline="moving_average", normalize=True)
    nvil = tg.ReinforceSampler("bernoulli", "nvil", normalize=True)
    return [running(dense(3)(x)), nvil(dense(3)(x), context=x)]


def expected_cost(estimator, distribution, **options):
    z, x = keras.Input((3,)), keras.Input((4,))
    error = keras.ops.mean(keras.ops.square(dense(4)(z) - x), axis=-1)
    cost = keras.Model([z, x], error)
    logits = dense(3)(x)
    estimator = tg.estimators.get(
        estimator, distribution=distribution, **options
    )
    output = tg.ExpectedCost(cost, estimator)(logits, x)
    return compiled(keras.Model(x, output), tg.losses.MeanCost())


MODELS = {
    "annealed": lambda: autoencoder(annealed),
    "reinforced": lambda: autoencoder(reinforced),
    "rebar": lambda: expected_cost("rebar", "bernoulli"),
    "relax": lambda: expected_cost("relax", "categorical", relaxed_cost=True),
    "nvil": lambda: expected_cost("nvil", "categorical", samples=2),
}
MARKS = {"rebar": "slow", "relax": "exhaustive", "nvil": "exhaustive"}


class SaveAt(keras.callbacks.Callback):
    """Saves the model in two ways after one of the steps."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == SAVED_AT:
            self.model.save(self.folder / "model.keras")
            checkpoint = tf.train.Checkpoint(model=self.model)
            checkpoint.write(str(self.folder / "checkpoint"))


def fit(model, callbacks=(), start=0):
    """One epoch, or what is left of it."""
    callbacks = list(callbacks)
    if any(layer.name == "code" for layer in model.layers):
        callbacks.append(tg.TemperatureScheduler(SCHEDULE, layers="code"))
    x = X[start * BATCH :]
    model.fit(x, x, BATCH, shuffle=False, verbose=0, callbacks=callbacks)


def backup(folder):
    return keras.callbacks.BackupAndRestore(
        folder / "backup", save_freq=BACKED_UP_EVERY, delete_checkpoint=False
    )


def variables(model):
    return [*model.weights, *model.optimizer.variables]


def assert_state(model, expected):
    for variable, value in zip(variables(model), expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=getattr(pytest.mark, MARKS[name]))
        if name in MARKS
        else name
        for name in MODELS
    ],
)
def test_resumed_in_mid_epoch(name, tmp_path):
    whole = MODELS[name]()
    fit(whole, [SaveAt(tmp_path), backup(tmp_path)])
    assert int(whole.optimizer.iterations) == STEPS
    end = [v.numpy() for v in variables(whole)]
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(loaded, start=SAVED_AT)
    assert_state(loaded, end)
    twin = MODELS[name]()
    checkpoint = tf.train.Checkpoint(model=twin)
    status = checkpoint.read(str(tmp_path / "checkpoint"))
    status.assert_existing_objects_matched()
    fit(twin, start=SAVED_AT)
    assert_state(twin, end)
    last = STEPS // BACKED_UP_EVERY * BACKED_UP_EVERY
    fit(twin, [backup(tmp_path)], start=last)
    assert_state(twin, end)
