"""Four replicas: noise of their own, one state, the training of one device."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import is_variant, layer_cases
from tests.helpers.statistics import assert_same_mean
from tests.layers.calls import tensors, training_values
from tests.models import problem

REPLICAS = 4
SCHEDULE = tg.schedules.ExponentialAnnealing(1.0, rate=0.05, minimum=0.3)


def symbols(inputs):
    return keras.tree.map_structure(
        lambda array: keras.KerasTensor(array.shape, array.dtype.name), inputs
    )


def replica_draws(strategy, case):
    """What each replica draws in two steps, `[steps, replicas, ...]`."""
    # So many examples that no two draws of a few categories agree by chance.
    arrays = keras.tree.map_structure(
        lambda array: np.repeat(array, 8, axis=0), case.inputs
    )
    with strategy.scope():
        layer = case.make()
        layer(*symbols(arrays))
    inputs = tensors(arrays)

    def step():
        every = strategy.run(lambda: training_values(layer, inputs))
        values = [strategy.experimental_local_results(v) for v in every]
        return [
            np.concatenate([np.ravel(value) for value in one])
            for one in zip(*values, strict=True)
        ]

    return np.array([step() for _ in range(2)])


# Keras collects what layers add to the loss for all replicas at once.
@pytest.mark.full
@layer_cases(
    lambda case: (
        case.noise is not None and not case.id.startswith(("KL", "Stochastic"))
    ),
    exhaustive=is_variant,
)
def test_every_layer_draws_anew_on_each_replica(four_replicas, case):
    draws = replica_draws(four_replicas, case)
    distinct = {draw.tobytes() for step in draws for draw in step}
    assert len(distinct) == draws.shape[0] * REPLICAS
    np.testing.assert_array_equal(replica_draws(four_replicas, case), draws)


def test_the_noise_of_replicas_is_independent(four_replicas):
    count = 100_000
    with four_replicas.scope():
        layer = tg.ReparamGaussian(seed=3)
    zeros = tf.zeros([1, count])
    draws = four_replicas.run(lambda: layer((zeros, zeros), training=True))
    rows = np.concatenate(four_replicas.experimental_local_results(draws))
    correlation = np.corrcoef(rows)[np.triu_indices(REPLICAS, 1)]
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(count)


def network():
    """Samplers annealed in both ways, and one with a learned baseline."""
    x = keras.Input((4,))
    logits = keras.layers.Dense(9)(x)
    code = tg.CategoricalKL(weight=SCHEDULE)(logits[:, :3])
    code = tg.GumbelSoftmax(seed=1, name="code")(code)
    bits = tg.BinaryConcrete(SCHEDULE, seed=2, name="bits")(logits[:, 3:6])
    sampler = tg.ReinforceSampler(baseline="nvil", normalize=True)
    exact = sampler(logits[:, 6:], context=x)
    joined = keras.layers.Concatenate()([code, bits, exact])
    model = tg.StochasticModel(x, keras.layers.Dense(4)(joined))
    model.compile("sgd", "mse", jit_compile=False)
    return model


@pytest.mark.slow
def test_the_state_of_replicas_is_one(four_replicas):
    """Of weights, baselines, annealing; with batches that leave some idle."""
    x = np.random.default_rng(5).normal(size=(21, 4)).astype("float32")
    with four_replicas.scope():
        model = network()
    scheduler = tg.TemperatureScheduler(SCHEDULE, layers="code")
    history = model.fit(x, x, 8, epochs=2, verbose=0, callbacks=[scheduler])
    assert np.all(np.isfinite(history.history["loss"]))
    for variable in [*model.weights, *model.optimizer.variables]:
        values = four_replicas.experimental_local_results(variable.value)
        assert len(values) == REPLICAS and np.all(np.isfinite(values[0]))
        for value in values[1:]:
            np.testing.assert_array_equal(value, values[0], variable.path)
    last = float(SCHEDULE(5))
    assert history.history["temperature"][-1] == pytest.approx(last)
    for name in ("code", "bits"):
        value = model.get_layer(name).temperature.numpy()
        assert value == pytest.approx(last)


@pytest.mark.exhaustive
@pytest.mark.parametrize("estimator", ["rebar", "relax"])
def test_control_variates_learn_the_same_everywhere(four_replicas, estimator):
    with four_replicas.scope():
        model = expected_cost(estimator)
    before = [w.numpy() for w in model.weights]
    x = repeated(64)
    model.fit(x, x, 16, verbose=0)
    for variable, old in zip(model.weights, before, strict=True):
        values = four_replicas.experimental_local_results(variable.value)
        for value in values[1:]:
            np.testing.assert_array_equal(value, values[0], variable.path)
        assert not np.array_equal(values[0], old), variable.path


def repeated(batch):
    return np.repeat(problem.INPUTS, batch // len(problem.INPUTS), axis=0)


def expected_cost(estimator):
    z, x = (
        keras.Input((problem.VARIABLES, problem.CATEGORIES)),
        keras.Input((2,)),
    )
    error = keras.ops.square(problem.decoder()(z) - 2 * x)
    cost = keras.Model([z, x], keras.ops.mean(error, axis=-1))
    output = tg.ExpectedCost(cost, estimator)(problem.encoder()(x), x)
    model = keras.Model(x, output)
    model.compile("adam", tg.losses.MeanCost(), jit_compile=False)
    return model


def relaxed():
    x = keras.Input((2,))
    logits = problem.encoder()(x)
    return keras.Model(x, problem.decoder()(tg.GumbelSoftmax(0.7)(logits)))


TRAINED = {
    "relaxed": relaxed,
    "moving_average": lambda: problem.model("moving_average", seed=None),
}


class Repeat(keras.callbacks.Callback):
    """Starts anew every few steps, and notes where each run has ended."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.ends = []

    def on_train_begin(self, logs=None):
        self.start = [
            (variable, variable.numpy())
            for variable in self.model.weights
            if "seed_state" not in variable.path
        ]

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.steps == 0:
            variables = problem.main_weights(self.model)
            end = [variable.numpy().ravel() for variable in variables]
            self.ends.append(np.concatenate(end))
            for variable, value in self.start:
                variable.assign(value)


def ends_of_training(strategy, make, runs=80, steps=8):
    """Weights of encoder and decoder after each of many short runs."""
    scope = contextlib.nullcontext() if strategy is None else strategy.scope()
    with scope:
        model = make()
        model.compile(keras.optimizers.SGD(0.2), "mse", jit_compile=False)
    batch = repeated(64), np.repeat(problem.TARGETS, 16, axis=0)
    data = tf.data.Dataset.from_tensors(batch).repeat(runs * steps)
    repeat = Repeat(steps)
    model.fit(data, verbose=0, callbacks=[repeat])
    return np.array(repeat.ends)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["relaxed", "moving_average"])
def test_training_ends_as_on_one_device(four_replicas, name):
    """At the same global batch: the same mean, the same spread."""
    keras.utils.set_random_seed(8)
    several = ends_of_training(four_replicas, TRAINED[name])
    alone = ends_of_training(None, TRAINED[name])
    assert_same_mean(several, alone, 0.1)
    ratio = np.var(several, axis=0).sum() / np.var(alone, axis=0).sum()
    assert 0.5 < ratio < 2.0
