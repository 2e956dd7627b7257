"""What goes wrong in one place leaves the rest as it was."""

import concurrent.futures

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

X = np.random.default_rng(3).normal(size=(64, 5)).astype("float32")


def reinforce_model(baseline="nvil"):
    keras.utils.set_random_seed(4)
    x = keras.Input((5,))
    sampler = tg.ReinforceSampler(baseline=baseline, seed=6, name="sampler")
    z = sampler(keras.layers.Dense(4)(x), context=x)
    model = tg.StochasticModel(x, keras.layers.Dense(5)(z))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def fit(model, x=X, epochs=2, **kwargs):
    return model.fit(
        x, x, 16, epochs=epochs, shuffle=False, verbose=0, **kwargs
    )


class Fails(keras.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 6:
            raise RuntimeError("power failure")


@pytest.mark.full
def test_a_run_that_failed_can_be_saved_and_goes_on(tmp_path):
    whole = reinforce_model()
    fit(whole)
    failed = reinforce_model()
    with pytest.raises(RuntimeError, match="power failure"):
        fit(failed, callbacks=[Fails()])
    failed.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    fit(again, X[32:], epochs=1)  # The two batches that were left.
    for one, other in zip(again.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


@pytest.mark.full
def test_a_failing_cost_leaves_no_collector_behind():
    model = reinforce_model()
    fit(model)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(X, X[:, :3], verbose=0)  # Targets of the wrong shape.
    sampler = model.get_layer("sampler")
    with pytest.raises(RuntimeError, match="nothing feeds it"):
        sampler(np.zeros((2, 4), "float32"), training=True)
    fit(model)


@pytest.mark.full
@pytest.mark.parametrize(
    "baseline",
    ["moving_average", pytest.param("nvil", marks=pytest.mark.slow)],
)
def test_a_batch_of_nan_targets_does_not_poison_the_running_mean(baseline):
    model = reinforce_model(baseline)
    fit(model)
    running = model.get_layer("sampler").baseline
    before = [w.numpy() for w in running.non_trainable_variables]
    frozen = [w.numpy() for w in model.trainable_variables]
    model.fit(X, np.full_like(X, np.nan), 64, verbose=0)
    for weight, value in zip(
        running.non_trainable_variables, before, strict=True
    ):
        np.testing.assert_array_equal(weight.numpy(), value)
    for weight, value in zip(model.trainable_variables, frozen, strict=True):
        weight.assign(value)
    assert np.isfinite(model.evaluate(X, X, verbose=0))


@pytest.mark.slow
def test_threads_get_the_answers_of_one(tmp_path):
    model = reinforce_model()
    model.export(tmp_path, verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    batches = [X[i : i + 8 + i] for i in range(32)]
    alone = [loaded.serve(batch).numpy() for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: loaded.serve(x).numpy(), batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
