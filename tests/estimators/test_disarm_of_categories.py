"""DisARM of categories: its tree of antithetic Bernoulli variables."""

import numpy as np
import pytest
import tensorflow as tf

from tests.estimators.test_two_roads import total_variance
from tests.helpers.statistics import assert_frequencies, softmax
from tfgumbel import estimators
from tfgumbel.distributions import Categorical
from tfgumbel.estimators._category_tree import antithetic_pair, direction

# No power of two, and one that is as good as impossible.
ROW = np.array([0.4, -0.7, 0.0, -1e30, 0.9, -0.2], "float32")


def pairs(row, draws):
    logits = tf.repeat(tf.constant(row)[None], draws, axis=0)
    pair = antithetic_pair(logits, [2, 9])
    return pair, direction(logits, pair).numpy().astype("float64")


def test_both_samples_are_exact_and_seldom_agree():
    pair, _ = pairs(ROW, 60_000)
    p = softmax(ROW)
    possible = np.flatnonzero(p)
    for sample in (pair.first, pair.second):
        place = np.searchsorted(possible, sample)
        assert np.all(possible[place] == sample)
        assert_frequencies(place, p[possible])
    agree = np.mean(pair.first.numpy() == pair.second.numpy())
    assert agree < 0.6 * np.sum(p**2)


@pytest.mark.parametrize("count", [3, 5, 6])
def test_no_leaf_without_a_category_is_drawn(count):
    """Nor among categories that are all of probability 0."""
    pair, factor = pairs(np.full(count, -1e30, "float32"), 200)
    assert np.max([pair.first, pair.second]) < count
    assert np.all(np.isfinite(factor))


def test_given_one_sample_the_direction_is_its_score():
    # What makes it unbiased: E[2 direction | z] = e_z - π.
    pair, factor = pairs(ROW, 400_000)
    score = np.eye(len(ROW)) - softmax(ROW)
    for category in (0, 1, 2, 4, 5):
        found = 2 * factor[pair.first.numpy() == category]
        error = 5 * found.std(axis=0) / np.sqrt(len(found)) + 1e-6
        assert np.all(error < 0.02)
        assert np.all(np.abs(found.mean(axis=0) - score[category]) < error)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_direction_is_opposite_for_the_opposite_pair(count):
    logits = tf.repeat(tf.constant(ROW[:count])[None], 100, axis=0)
    pair = antithetic_pair(logits, [2, 9])
    turned = pair._replace(
        first=pair.second, second=pair.first, sides=pair.sides[::-1]
    )
    one, other = direction(logits, pair), direction(logits, turned)
    np.testing.assert_array_equal(one, -other)
    np.testing.assert_allclose(np.sum(one, axis=1), np.zeros(100), atol=1e-6)
    same = tf.equal(pair.first, pair.second)
    assert not np.any(one[same])


def test_of_two_categories_it_is_disarm_of_a_bernoulli_variable():
    row = np.array([-0.3, 0.5], "float32")
    pair, factor = pairs(row, 100)
    bits = [tf.cast(s, tf.float32)[:, None] for s in (pair.first, pair.second)]
    expected = estimators.DisARM().direction(
        tf.fill([100, 1], 0.8), None, *bits
    )
    np.testing.assert_allclose(factor[:, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("cost", ["linear", "quadratic", "step"])
def test_it_has_less_variance_than_two_independent_samples(cost):
    disarm = total_variance(estimators.DisARM("categorical"), cost)
    assert disarm < 0.85 * total_variance(estimators.RLOO(), cost)


def test_the_tree_needs_the_number_of_categories():
    @tf.function(
        input_signature=[tf.TensorSpec([None, 2, None])], autograph=False
    )
    def run(logits):
        return estimators.DisARM("categorical")(
            lambda z: z[:, 0, 0], logits, [1, 2]
        )

    with pytest.raises(ValueError, match=r"number.*\(None, 2, None\)"):
        run(tf.zeros([1, 2, 3]))


def test_categories_on_another_axis():
    logits = tf.constant([[[0.4, -0.7, 0.0], [0.9, -0.2, 0.3]]])
    turned = estimators.DisARM(Categorical(axis=1), samples=2)

    def gradient(estimator, logits, order):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            cost = estimator(
                lambda z: tf.transpose(z, order)[:, 0, 1] ** 2.0, logits, [1, 2]
            )
        return tape.gradient(cost, logits)

    one = gradient(
        estimators.DisARM("categorical", samples=2), logits, [0, 1, 2]
    )
    other = gradient(turned, tf.transpose(logits, [0, 2, 1]), [0, 2, 1])
    assert np.any(one != 0)
    np.testing.assert_allclose(one, tf.transpose(other, [0, 2, 1]), atol=1e-6)
