"""How draws are laid out in calls, and how control variates are trained."""

import random

import pytest
import tensorflow as tf

from tfgumbel import estimators
from tfgumbel.diagnostics import estimates


@pytest.mark.parametrize("draws", [2, 40, 300, 1017, 40_000])
@pytest.mark.parametrize(
    ("samples", "shape"),
    [(1, [1, 3]), (7, [20, 3]), (2, [500, 3]), (7, [2, 1000])],
)
def test_a_call_fits_into_memory_and_means_are_enough(draws, samples, shape):
    estimator = estimators.Reinforce("categorical", samples)
    repeats, size = estimates.layout(estimator, tf.zeros(shape), draws)
    rows = repeats * samples * shape[0]
    assert rows < 1.1 * 2**12 and rows * shape[1] < 1.1 * 2**18
    assert repeats % size == 0
    if draws >= 300:
        total = -(-draws // repeats) * repeats
        assert total < 1.05 * draws and total // size >= 128


def drawn(estimator, cost, repeats):
    logits = tf.zeros([1, 1])
    estimator.build(logits.shape, logits.shape)
    return estimates.Draws(estimator, cost, logits, None, repeats)


@pytest.mark.full
def test_the_learning_rate_falls_on_a_cosine():
    """Adam's steps are of its rate where a gradient hardly changes."""
    estimator = estimators.DoubleCV("bernoulli")
    draw = drawn(estimator, lambda z: 4.0 * z[:, 0], 1000)
    estimates.learn(draw, 2, 0.01, seed=3, advance=lambda steps: None)
    # The whole rate, and half of it.
    assert float(estimator.alpha) == pytest.approx(-0.015, rel=0.05)


def test_running_means_are_learned_where_nothing_else_is():
    estimator = estimators.Reinforce("bernoulli", baseline="moving_average")
    draw = drawn(estimator, lambda z: 0.0 * z[:, 0] + 7.0, 10)
    done = []
    estimates.learn(draw, 3, 0.01, seed=3, advance=done.append)
    mean, square, weight = estimator.non_trainable_variables
    assert float(weight) == pytest.approx(1.0 - 0.9**3)
    assert float(mean / weight) == pytest.approx(7.0)
    assert sum(done) == 3


def test_what_is_seeded_follows_the_seed_alone():
    found = []
    for before in (1, 2):
        random.seed(before)
        expected = random.Random(before).random()
        with estimates.seeded(5):
            found.append(random.random())
        assert random.random() == expected
    assert found[0] == found[1] == random.Random(5).random()
