"""Noise given the sample that it drew."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfgumbel import ops, random

LOGITS = np.array([0.4, -1.3, 0.8, 0.0], "float32")
DRAWS = 50_000


def conditional_gumbels(logits, draws=DRAWS):
    logits = tf.repeat(tf.constant(logits, tf.float32)[None], draws, axis=0)
    first, second = random.split([3, 14], 2)
    index = tf.argmax(logits + random.gumbel(logits.shape, first), axis=-1)
    b = tf.one_hot(index, logits.shape[-1])
    noise = random.gumbel(logits.shape, second)
    return logits, b, ops.conditional_gumbel(logits, b, noise)


def test_the_argmax_is_the_sample():
    _, b, z = conditional_gumbels(LOGITS)
    np.testing.assert_array_equal(tf.argmax(z, -1), tf.argmax(b, -1))


def test_averaged_over_samples_the_noise_is_gumbel():
    logits, _, z = conditional_gumbels(LOGITS)
    for noise in np.transpose(z - logits):
        assert scipy.stats.kstest(noise, "gumbel_r").pvalue > 1e-3


def test_given_the_sample_it_is_the_noise_that_drew_it():
    # Rejection: unconditional draws whose argmax is category 1.
    logits, b, z = conditional_gumbels(LOGITS)
    kept = z.numpy()[b.numpy()[:, 1] == 1]
    plain = (logits + random.gumbel(logits.shape, [9, 2])).numpy()
    rejected = plain[plain.argmax(-1) == 1]
    for k in range(4):
        test = scipy.stats.ks_2samp(kept[:, k], rejected[:, k])
        assert test.pvalue > 1e-3, k


def test_entries_are_independent_in_the_mean():
    logits, _, z = conditional_gumbels(LOGITS)
    correlation = np.corrcoef(np.transpose(z - logits))
    assert np.abs(correlation - np.eye(4)).max() < 5 / np.sqrt(DRAWS)


def test_conditional_gumbel_is_the_published_formula():
    u = np.array([0.3, 0.6, 0.2, 0.9])
    theta = np.exp(LOGITS) / np.exp(LOGITS).sum()
    expected = -np.log(-np.log(u) / theta - np.log(u[2]))
    expected[2] = -np.log(-np.log(u[2]))
    found = ops.conditional_gumbel(
        LOGITS, [0.0, 0.0, 1.0, 0.0], -np.log(-np.log(u))
    )
    shift = np.log(np.exp(LOGITS).sum())
    np.testing.assert_allclose(found - shift, expected, rtol=1e-5)


@pytest.mark.parametrize("axis", [1, -2])
def test_conditional_gumbel_on_another_axis(axis):
    logits, b, noise = tf.unstack(
        tf.random.stateless_normal([3, 2, 4, 5], [1, 2])
    )
    b = tf.one_hot(tf.argmax(b, axis=axis), 4, axis=1)
    move = [0, 2, 1]
    found = ops.conditional_gumbel(logits, b, noise, axis=axis)
    expected = ops.conditional_gumbel(
        *(tf.transpose(x, move) for x in (logits, b, noise))
    )
    np.testing.assert_allclose(
        found, tf.transpose(expected, move), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("scale", [1e2, 1e4])
@pytest.mark.parametrize("category", [0, 1, 2])
def test_conditional_gumbel_of_extreme_logits(scale, category):
    logits = tf.constant([[-scale, 0.0, scale], [scale, -np.inf, 0.0]])
    b = tf.one_hot([category, 2], 3)
    noise = random.gumbel([2, 3], [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = ops.conditional_gumbel(logits, b, noise)
    gradient = tape.gradient(z, logits)
    assert np.all(np.isfinite(z)) and np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(tf.argmax(z, -1), [category, 2])


def test_a_gap_below_rounding_leaves_one_winner():
    for total in (0.0, 300.0):
        logits = tf.constant([total, total])
        z = ops.conditional_gumbel(logits, [0.0, 1.0], [25.0, -3.0])
        assert z[1] > z[0]


def test_conditional_logistic_is_the_published_formula():
    v = np.array([0.3, 0.6, 0.2, 0.9])
    theta = 1 / (1 + np.exp(-LOGITS))
    b = np.array([1.0, 0.0, 0.0, 1.0])
    shrunk = np.where(b == 1, v * theta + (1 - theta), v * (1 - theta))
    expected = LOGITS + np.log(shrunk) - np.log1p(-shrunk)
    found = ops.conditional_logistic(LOGITS, b, np.log(v) - np.log1p(-v))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_averaged_over_bits_the_noise_is_logistic():
    logits = tf.repeat(tf.constant(LOGITS)[None], DRAWS, axis=0)
    b = random.bernoulli(logits, [2, 7])
    z = ops.conditional_logistic(
        logits, b, random.logistic(logits.shape, [1, 8])
    )
    np.testing.assert_array_equal(tf.cast(z > 0, tf.float32), b)
    for noise in np.transpose(z - logits):
        assert scipy.stats.kstest(noise, "logistic").pvalue > 1e-3


@pytest.mark.parametrize("logit", [-1e4, -60.0, 60.0, 1e4])
@pytest.mark.parametrize("bit", [0.0, 1.0])
def test_conditional_logistic_of_extreme_logits(logit, bit):
    logits = tf.fill([1000], logit)
    noise = random.logistic([1000], [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = ops.conditional_logistic(logits, tf.fill([1000], bit), noise)
    gradient = tape.gradient(z, logits)
    assert np.all(np.isfinite(z)) and np.all(np.isfinite(gradient))
    assert np.all((z.numpy() > 0) == (bit == 1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    logits = tf.constant(LOGITS, dtype)
    b = tf.one_hot(2, 4)
    assert ops.conditional_gumbel(logits, b, LOGITS).dtype == tf.float32
    assert ops.conditional_logistic(logits, b, LOGITS).dtype == tf.float32


@pytest.mark.parametrize(
    "op", [ops.conditional_gumbel, ops.conditional_logistic]
)
def test_the_sample_receives_no_gradient(op):
    """It is what was drawn, whose own gradient is not z's to carry."""
    b = tf.one_hot(2, 4)
    with tf.GradientTape() as tape:
        tape.watch(b)
        z = op(LOGITS, b, -LOGITS)
    assert tape.gradient(z, b) is None
