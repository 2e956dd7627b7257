"""`ReinforceSampler` under MirroredStrategy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.models import problem


def population_moments(network):
    """Mean and variance of the flat sample, over inputs and samples."""
    q = tf.nn.softmax(network.get_layer("encoder")(problem.INPUTS))
    mean = tf.reduce_mean(tf.reshape(q, [len(problem.INPUTS), -1]), axis=0)
    return mean.numpy(), (mean * (1.0 - mean)).numpy()


def normalised_model(baseline):
    normalise = keras.layers.BatchNormalization(
        synchronized=True, center=False, scale=False
    )
    network = problem.model(baseline, lambda z: problem.decoder(normalise)(z))
    network.compile(
        keras.optimizers.SGD(problem.LEARNING_RATE),
        loss="mse",
        jit_compile=False,
    )
    return network, normalise


@pytest.mark.full
def test_synchronised_normalisation_does_not_mix_the_replicas(strategy):
    """Two replicas with SyncBatchNormalization between sampler and loss.

    Each replica waits inside its forward pass for the other's statistics;
    draws kept in a common place could be credited with the other's costs.
    Those are independent of the draw, so they would show as variance.
    The reference takes the statistics of the whole population as given, as
    the estimator takes those of the batch.
    """
    with strategy.scope():
        network, normalise = normalised_model(None)
    gradients = problem.fit_gradients(network, steps=48, batch=4096)
    mean, variance = population_moments(network)
    normalise.moving_mean.assign(mean)
    normalise.moving_variance.assign(variance)
    exact = problem.exact_gradients(network, problem.squared_error)
    for measured, expected in zip(gradients, exact, strict=True):
        assert_mean(measured, expected, 0.15)
    alone, _ = normalised_model(None)
    reference = problem.fit_gradients(alone, steps=48, batch=4096)
    ratio = problem.gradient_variance(gradients) / problem.gradient_variance(
        reference
    )
    assert 0.67 < ratio < 1.5


@pytest.mark.full
@pytest.mark.parametrize(
    "baseline",
    [pytest.param("moving_average", marks=pytest.mark.exhaustive), "nvil"],
)
def test_baselines_learn_on_replicas_without_bias(strategy, baseline):
    with strategy.scope():
        network = problem.model(baseline)
        network.compile(
            keras.optimizers.SGD(problem.LEARNING_RATE),
            loss="mse",
            jit_compile=False,
        )
    gradients = problem.fit_gradients(network, steps=24, batch=4096)
    exact = problem.exact_gradients(network, problem.squared_error)
    for measured, expected in zip(gradients, exact, strict=True):
        assert_mean(measured, expected, 0.15)
    centre = float(network.layers[2].baseline.centre())
    if baseline == "moving_average":
        losses = problem.expected_loss(network, problem.squared_error)
        assert centre == pytest.approx(float(np.mean(losses)), rel=0.1)


def replica_samples(strategy, seed):
    with strategy.scope():
        sampler = tg.ReinforceSampler(seed=seed, inference="sample")
        sampler.build((64, 3))
    draw = tf.function(lambda: sampler(tf.zeros([64, 3])))
    per_replica = strategy.experimental_local_results(strategy.run(draw))
    return [sample.numpy() for sample in per_replica]


def test_replicas_draw_different_and_reproducible_noise(strategy):
    first, second = replica_samples(strategy, seed=7)
    again, _ = replica_samples(strategy, seed=7)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_a_running_mean_is_that_of_the_mean_over_replicas(strategy):
    with strategy.scope():
        baseline = tg.estimators.Baseline(decay=0.5)
    observe = tf.function(lambda signal: baseline.observe(signal))
    for step in (0.0, 3.0):
        signals = strategy.experimental_distribute_values_from_function(
            lambda context, step=step: tf.fill(
                [2], step + 2.0 * float(context.replica_id_in_sync_group)
            )
        )
        strategy.run(observe, (signals,))
    # Of 1 and 4, the last with twice the weight.
    assert float(baseline.centre()) == pytest.approx(3.0)
