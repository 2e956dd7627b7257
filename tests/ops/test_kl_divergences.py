import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_xla
from tests.helpers.statistics import sigmoid, softmax
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    value_and_gradients,
)

LOGITS = np.array([[0.3, -1.2, 0.8, 0.1], [5.0, -0.5, 0.0, -9.0]])
PRIOR = np.array([0.5, 0.0, -2.0, 1.0])
EXTREMES = [-np.inf, -1e4, -100.0, 0.0, 100.0, 1e4]


def rel_entropy(q, p):
    return np.sum(scipy.special.rel_entr(q, p), -1)


def test_categorical_kl_is_the_relative_entropy(compiled):
    kl = compiled(tg.ops.categorical_kl)
    q = softmax(LOGITS)
    assert_close(kl(LOGITS), rel_entropy(q, 0.25), rtol=1e-12)
    expected = rel_entropy(q, softmax(PRIOR))
    assert_close(kl(LOGITS, PRIOR), expected, rtol=1e-12)


def test_categorical_kl_gradient_is_the_closed_formula(compiled):
    """q_k (log q_k - log p_k - KL)."""

    @compiled
    def gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            kl = tg.ops.categorical_kl(logits, PRIOR)
        return tape.gradient(kl, logits)

    q, p = softmax(LOGITS), softmax(PRIOR)
    kl = rel_entropy(q, p)[:, None]
    expected = q * (np.log(q / p) - kl)
    assert_close(gradient(tf.constant(LOGITS)), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_categorical_kl_follows_the_axis(axis):
    """A prior of lower rank has its categories on the same axis."""
    logits = np.moveaxis(LOGITS[None], -1, axis)
    prior = np.moveaxis(PRIOR[None, None], -1, axis)
    expected = rel_entropy(softmax(LOGITS), softmax(PRIOR))[None]
    actual = tg.ops.categorical_kl(logits, prior, axis=axis)
    assert_close(tf.reshape(actual, [-1]), expected.ravel(), rtol=1e-12)
    lower = (
        tg.ops.categorical_kl(logits, prior[0], axis=axis) if axis else actual
    )
    assert_close(lower, actual)


@eager_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_extreme_logits_stay_finite(dtype, compiled):
    pairs = tf.constant([(a, b) for a in EXTREMES for b in EXTREMES], dtype)

    @compiled
    def of_op(logits):
        return [
            value_and_gradients(kl, [logits])
            for kl in (tg.ops.categorical_kl, tg.ops.bernoulli_kl)
        ]

    categorical, bernoulli = of_op(pairs)
    assert categorical[0].dtype == bernoulli[0].dtype == tf.float32
    assert_finite((categorical, bernoulli))
    assert np.all(np.abs(bernoulli[0]) <= np.log(2) + 1e-6)
    assert np.all(categorical[0] >= 0.0)


def test_nan_stays_in_its_row(compiled):
    logits = tf.constant([[np.nan, 1.0, 0.0], [1.0, 1.0, 1.0]])
    kl = compiled(tg.ops.categorical_kl)(logits)
    np.testing.assert_allclose(kl, [np.nan, 0.0], atol=1e-6)
    bits = compiled(tg.ops.bernoulli_kl)([np.nan, 0.0])
    np.testing.assert_allclose(bits, [np.nan, 0.0], atol=1e-6)


def test_bernoulli_kl_is_the_relative_entropy(compiled):
    kl = compiled(tg.ops.bernoulli_kl)
    q = np.stack([sigmoid(LOGITS), sigmoid(-LOGITS)], -1)
    p = np.stack([sigmoid(PRIOR), sigmoid(-PRIOR)], -1)
    assert_close(kl(LOGITS), rel_entropy(q, 0.5), rtol=1e-9)
    assert_close(kl(LOGITS, PRIOR), rel_entropy(q, p), rtol=1e-9)


def test_two_categories_are_a_bernoulli():
    pair = tf.stack([LOGITS, tf.zeros_like(LOGITS)], -1)
    prior = tf.stack([PRIOR, tf.zeros_like(PRIOR)], -1)
    categorical = tg.ops.categorical_kl(pair, prior)
    assert_close(tg.ops.bernoulli_kl(LOGITS, PRIOR), categorical, rtol=1e-9)


@pytest.mark.parametrize("prior", [(0.0, 1.0), (-0.7, 2.5)])
def test_gaussian_kl_is_the_integral(prior):
    q, p = scipy.stats.norm(1.3, 0.6), scipy.stats.norm(*prior)
    expected, _ = scipy.integrate.quad(
        lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -10, 10
    )
    actual = tg.ops.gaussian_kl(tf.constant(1.3, tf.float64), 0.6, *prior)
    assert_close(actual, expected, rtol=1e-7)


def test_gaussian_kl_gradient_is_the_closed_formula(compiled):
    """∂μ = (μ - μ₀)/σ₀², ∂σ = σ/σ₀² - 1/σ."""

    @compiled
    def gradient(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            kl = tg.ops.gaussian_kl(*arguments, -0.7, 2.0)
        return tape.gradient(kl, arguments)

    expected = (2.0 / 4.0, 0.5 / 4.0 - 1 / 0.5)
    assert_close(gradient(tf.constant(1.3), tf.constant(0.5)), expected)


def test_gaussian_kl_of_extreme_stddevs_is_finite():
    scale = tf.constant([-1e4, 0.0, 1e4])
    kl = tg.ops.gaussian_kl(tf.zeros(3), tg.ops.gaussian_stddev(scale))
    assert_finite(kl)
