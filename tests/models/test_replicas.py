"""`ReinforceSampler` under MirroredStrategy."""

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.models import problem
from tests.statistics import assert_mean


def population_moments(network):
    """Mean and variance of the flat sample, over inputs and samples."""
    q = tf.nn.softmax(network.get_layer("encoder")(problem.INPUTS))
    mean = tf.reduce_mean(tf.reshape(q, [len(problem.INPUTS), -1]), axis=0)
    return mean.numpy(), (mean * (1.0 - mean)).numpy()


def test_synchronised_normalisation_does_not_mix_the_replicas(strategy):
    """Two replicas with SyncBatchNormalization between sampler and loss.

    Each replica waits inside its forward pass for the other's statistics;
    costs kept on the layer would reach the wrong replica. The reference
    takes the statistics of the whole population as given, as the estimator
    takes those of the batch.
    """
    with strategy.scope():
        normalise = keras.layers.BatchNormalization(
            synchronized=True, center=False, scale=False
        )
        network = problem.model("nvil", lambda z: problem.decoder(normalise)(z))
        network.compile(
            keras.optimizers.SGD(problem.LEARNING_RATE),
            loss="mse",
            jit_compile=False,
        )
    gradients = problem.fit_gradients(network, steps=24, batch=4096)
    mean, variance = population_moments(network)
    normalise.moving_mean.assign(mean)
    normalise.moving_variance.assign(variance)
    exact = problem.exact_gradients(network, problem.squared_error)
    for measured, expected in zip(gradients, exact, strict=True):
        assert_mean(measured, expected, 0.15)


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
