import functools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_xla
from tests.helpers.statistics import bit_strings, one_hots, sigmoid, softmax
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    value_and_gradients,
)

LOGITS = np.array([0.3, -1.2, 0.8, 5.0])
EXTREMES = [-np.inf, -1e4, 0.0, 1e4]


def gradients_of(op, compiled, *arguments):
    @compiled
    def of_op(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            log_prob = op(*arguments)
        return log_prob, tape.gradient(log_prob, arguments)

    return of_op(*(tf.constant(a, tf.float64) for a in arguments))


def test_categorical_log_prob_at_every_outcome(compiled):
    """log softmax, with gradient one-hot - softmax."""
    rows = np.tile(LOGITS, [4, 1])
    op = tg.ops.categorical_log_prob
    log_prob, (gradient, wrt_sample) = gradients_of(
        op, compiled, rows, one_hots(4)
    )
    assert_close(log_prob, scipy.special.log_softmax(LOGITS), rtol=1e-12)
    assert_close(gradient, one_hots(4) - softmax(LOGITS), rtol=1e-12)
    assert wrt_sample is None


@pytest.mark.parametrize("sample", [[0, 1, 2], [[0], [1], [2]]])
def test_indices_are_no_one_hot(sample):
    """Both would be broadcast, and be wrong."""
    with pytest.raises(ValueError, match="`sample` must be one-hot"):
        tg.ops.categorical_log_prob(np.zeros((3, 3), "float32"), sample)


@pytest.mark.parametrize(
    ("op", "sample", "mean"),
    [
        (tg.ops.categorical_log_prob, one_hots(4)[:3], softmax(LOGITS)),
        (tg.ops.bernoulli_log_prob, bit_strings(4)[:3], sigmoid(LOGITS)),
        (
            functools.partial(tg.ops.categorical_log_prob, axis=0),
            one_hots(4)[:3],
            softmax(LOGITS),
        ),
    ],
)
def test_several_samples_of_one_row(op, sample, mean, compiled):
    """The gradient is the sum of theirs, in the shape of the logits."""
    _, (gradient, _) = gradients_of(op, compiled, LOGITS, sample)
    assert_close(gradient, np.sum(sample - mean, axis=0), rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_categorical_log_prob_follows_the_axis(axis):
    logits = np.moveaxis(np.tile(LOGITS, [1, 4, 1]), -1, axis)
    sample = np.moveaxis(one_hots(4)[None], -1, axis)
    log_prob = tg.ops.categorical_log_prob(logits, sample, axis=axis)
    expected = scipy.special.log_softmax(LOGITS)
    assert_close(tf.reshape(log_prob, [-1]), expected, rtol=1e-12)


def test_categorical_log_prob_of_large_logits_is_accurate(compiled):
    logits = tf.constant([[1e4, 1e4 + 1], [-1e4, -1e4 + 1]])
    log_prob = compiled(tg.ops.categorical_log_prob)(logits, one_hots(2))
    assert_close(log_prob, np.log([sigmoid(-1.0), sigmoid(1.0)]), rtol=1e-6)


def test_bernoulli_log_prob_at_every_outcome(compiled):
    """Sums to one over all strings; the gradient is b - p."""
    strings = bit_strings(4)
    rows = np.tile(LOGITS, [16, 1])
    op = tg.ops.bernoulli_log_prob
    log_prob, (gradient, wrt_sample) = gradients_of(op, compiled, rows, strings)
    expected = scipy.stats.bernoulli.logpmf(strings, sigmoid(LOGITS))
    assert_close(log_prob, expected, rtol=1e-9)
    total = tf.reduce_sum(tf.exp(tf.reduce_sum(log_prob, -1)))
    assert_close(total, 1.0, rtol=1e-12)
    assert_close(gradient, strings - sigmoid(LOGITS), rtol=1e-9)
    assert wrt_sample is None


def test_gaussian_log_prob_is_the_density(compiled):
    """Gradients ±(z - μ)/σ² in μ and z, and ((z - μ)² - σ²)/σ³ in σ."""
    mean, stddev, sample = np.array([[0.4, -1.0], [0.3, 2.0], [1.1, 0.5]])
    op = tg.ops.gaussian_log_prob
    log_prob, (wrt_mean, wrt_stddev, wrt_sample) = gradients_of(
        op, compiled, mean, stddev, sample
    )
    expected = scipy.stats.norm.logpdf(sample, mean, stddev)
    assert_close(log_prob, expected, rtol=1e-12)
    error = sample - mean
    assert_close(wrt_mean, error / stddev**2, rtol=1e-12)
    expected = (error**2 - stddev**2) / stddev**3
    assert_close(wrt_stddev, expected, rtol=1e-12)
    assert_close(wrt_sample, -error / stddev**2, rtol=1e-12)


@eager_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_extreme_logits_stay_finite(dtype, compiled):
    """Impossible outcomes included."""
    pairs = tf.constant([(a, b) for a in EXTREMES for b in EXTREMES], dtype)
    sample = tf.constant([[0.0, 1.0]] * len(pairs))

    @compiled
    def of_op(logits):
        return [
            value_and_gradients(lambda x, op=op: op(x, sample), [logits])
            for op in (tg.ops.categorical_log_prob, tg.ops.bernoulli_log_prob)
        ]

    results = of_op(pairs)
    assert_finite(results)
    assert {result[0].dtype for result in results} == {tf.float32}


@pytest.mark.parametrize("op", [tg.ops.gaussian_log_prob, tg.ops.gaussian_kl])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(op, dtype):
    halves = [tf.constant(x, dtype) for x in (0.4, 0.3, 1.1)]
    value = op(*halves)
    assert value.dtype == tf.float32
    assert_close(value, op(*(tf.cast(x, tf.float32) for x in halves)))


def test_nan_stays_in_its_row(compiled):
    logits = tf.constant([[np.nan, 1.0], [0.0, 0.0]])
    sample = one_hots(2)
    log_prob = compiled(tg.ops.categorical_log_prob)(logits, sample)
    assert_close(log_prob, [np.nan, -np.log(2)])
    log_prob = compiled(tg.ops.bernoulli_log_prob)(logits, sample)
    half = -np.log(2)
    assert_close(log_prob, [[np.nan, np.log(sigmoid(-1.0))], [half, half]])
