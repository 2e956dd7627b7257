"""What is particular to permutations; the tables hold the rest."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean, assert_same_mean
from tfgumbel.distributions import ClosedFormKL, Mean, Reparameterized

LOGITS = np.array([0.4, -0.5, 0.9], "float32")


def repeated(count):
    return tf.constant(np.tile(LOGITS, [count, 1]))


def test_noise_given_the_sample_gives_the_sample():
    permutation = tg.distributions.Permutation()
    q = permutation.constrain(tf.random.stateless_normal([500, 5], [1, 2]))
    sample = permutation.sample(q, [1, 2])
    again = permutation.perturb_given(q, sample, permutation.noise(q, [3, 4]))
    np.testing.assert_array_equal(permutation.harden(again), sample)


def test_noise_given_the_sample_is_that_of_no_condition():
    """Over samples: each item's perturbed logit is Gumbel at its logit."""
    permutation = tg.distributions.Permutation()
    q = permutation.constrain(repeated(20_000))
    sample = permutation.sample(q, [1, 2])
    z = permutation.perturb_given(q, sample, permutation.noise(q, [3, 4]))
    for item in range(3):
        gumbel = scipy.stats.gumbel_r(loc=LOGITS[item])
        assert scipy.stats.kstest(z[:, item], gumbel.cdf).pvalue > 1e-3
    # And they are independent of each other.
    np.testing.assert_allclose(
        np.corrcoef(z, rowvar=False), np.eye(3), atol=0.04
    )


def test_conditional_noise_given_the_first_item_is_as_that_of_one_category():
    """Given who is first, in two ways: the largest is Gumbel at log Σ exp."""
    permutation = tg.distributions.Permutation()
    q = permutation.constrain(repeated(20_000))
    sample = permutation.sample(q, [1, 2])
    noise = permutation.noise(q, [3, 4])
    z = permutation.perturb_given(q, sample, noise)
    categorical = tg.ops.conditional_gumbel(
        tf.nn.log_softmax(q[0]), sample[:, 0], permutation.noise(q, [5, 6])
    )
    total = np.log(np.exp(LOGITS).sum())
    assert_same_mean(
        np.max(z, 1), np.max(categorical, 1) + total, smallest_difference=0.1
    )


def place_cost(weights):
    def cost(z):
        flat = tf.reshape(z, [tf.shape(z)[0], 9])
        return tf.square(tf.linalg.matvec(flat, weights) + 0.3)

    return cost


WEIGHTS = np.cos(1.0 + 2.0 * np.arange(9)).astype("float32")


def gradient_of(estimator, count, seed=3):
    logits = repeated(count)
    if isinstance(estimator, str):
        estimator = tg.estimators.get(estimator, distribution="permutation")
    layer = tg.ExpectedCost(place_cost(WEIGHTS), estimator, seed=seed)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = layer(logits, training=True)
    return tape.gradient(value, logits).numpy()


def test_the_bias_of_the_relaxation_falls_with_the_temperature():
    exact = gradient_of("exact", 1)[0]
    biases = []
    for temperature in (1.0, 0.3, 0.05):
        estimator = tg.estimators.GumbelSoftmax(
            "permutation", temperature=temperature
        )
        found = gradient_of(estimator, 100_000)
        biases.append(np.abs(found.mean(0) - exact).max())
    assert biases[0] > 0.02 and biases[0] > biases[1] > biases[2]


def test_two_lists_in_an_example():
    """Enumerated jointly: the gradient in one list sees the other's mean."""
    estimator = tg.estimators.Exact("permutation")
    logits = tf.constant(np.stack([LOGITS, LOGITS[::-1]])[None])

    def product(z):
        return (z[:, 0, 0, 0] + 0.5) * (z[:, 1, 0, 1] + 0.25)

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimator(product, logits, [0, 0])
    first, second = tf.nn.softmax(logits[0]).numpy()
    expected = (first[0] + 0.5) * (second[1] + 0.25)
    np.testing.assert_allclose(value, [expected], rtol=1e-5)
    slope = first[0] * (np.eye(3)[0] - first) * (second[1] + 0.25)
    np.testing.assert_allclose(
        tape.gradient(value, logits)[0, 0], slope, rtol=1e-4
    )


@pytest.mark.full
def test_a_sampler_learns_to_sort():
    """By a cost without a gradient: one minus the share of right places."""
    inputs = keras.Input((4, 1))
    scores = keras.layers.Reshape((4,))(
        keras.layers.Dense(1, kernel_initializer="ones")(inputs)
    )
    z = tg.ReinforceSampler("permutation", "leave_one_out", seed=1)(scores)
    assert z.shape == (None, 4, 4)
    y = keras.layers.Dot((2, 1))([z, inputs])
    model = tg.StochasticModel(inputs, y)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = np.random.default_rng(1).normal(size=(512, 4, 1)).astype("float32")
    ascending = np.sort(x, axis=1)
    before = model.evaluate(x, ascending, verbose=0)
    model.fit(x, ascending, epochs=20, batch_size=64, verbose=0)
    assert model.evaluate(x, ascending, verbose=0) < 0.01 * before


def test_what_it_cannot_do():
    permutation = tg.distributions.Permutation()
    for capability in (ClosedFormKL, Mean, Reparameterized):
        assert permutation.lacks(capability) is not None
    with pytest.raises(ValueError, match="closed form or a reparam"):
        tg.KLDivergence("permutation")
    with pytest.raises(ValueError, match="needs a distribution of categories"):
        tg.ReinforceSampler("permutation", None, return_log_prob=True)(
            repeated(2), category_mask=[True, True, False], training=True
        )
    with pytest.raises(ValueError, match="at least 2 categories"):
        permutation.constrain(tf.zeros([2, 1]))


def test_a_last_item_is_never_before_a_legal_one():
    permutation = tg.distributions.Permutation()
    q = permutation.constrain(tf.constant([[0.0, -np.inf, 1.0]] * 200))
    z = permutation.sample(q, [1, 2])
    np.testing.assert_array_equal(z[:, 2], [[0, 1, 0]] * 200)
    assert np.all(np.isfinite(permutation.log_prob(q, z)))


def test_rebar_for_permutations_has_less_variance_than_the_score():
    rebar = gradient_of(tg.estimators.REBAR("permutation"), 20_000)
    score = gradient_of("reinforce", 20_000)
    assert rebar.var(0).sum() < score.var(0).sum()
    assert_mean(rebar, gradient_of("exact", 1)[0], smallest_bias=0.1)
