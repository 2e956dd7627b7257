"""Implicit gradients against explicit ones, quantiles and moments."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.ops.derivatives import assert_close, derivatives

implicit = tg.ops.implicit_reparameterization
MEAN, STDDEV = [0.3, -1.0, 2.0], [0.5, 1.0, 3.0]
NOISE = tf.constant([[-2.0, 0.1, 0.7], [3.0, -0.4, 0.0]], tf.float64)


def explicit_normal(mean, stddev):
    return mean + stddev * NOISE


def normal_by_standardisation(mean, stddev):
    return implicit(
        explicit_normal(mean, stddev),
        standardize=lambda z: (z - mean) / stddev,
    )


def normal_by_cdf(mean, stddev):
    return implicit(
        explicit_normal(mean, stddev),
        cdf=lambda z: 0.5 * tf.math.erfc((mean - z) / stddev / np.sqrt(2)),
    )


@pytest.mark.parametrize("normal", [normal_by_standardisation, normal_by_cdf])
def test_implicit_normal_is_explicit_normal(normal):
    """To rounding; the second derivatives are zero both ways."""
    arguments = [tf.constant(a, tf.float64) for a in (MEAN, STDDEV)]
    actual = derivatives(normal, arguments)
    expected = derivatives(explicit_normal, arguments)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def logistic_power(shape, scale):
    """A quantile function with curvature in all its arguments."""
    return scale * tf.sigmoid(NOISE) ** (1 / shape)


def logistic_power_by_cdf(shape, scale):
    z = logistic_power(shape, scale)
    return implicit(z, cdf=lambda z: (z / scale) ** shape)


@pytest.mark.parametrize(
    "compiled",
    ["eager", pytest.param("xla", marks=pytest.mark.slow)],
    indirect=True,
)
def test_first_and_second_derivatives_are_those_of_the_quantile(compiled):
    arguments = [tf.constant(a, tf.float64) for a in ([0.7, 1.5, 3.0], STDDEV)]
    actual = compiled(lambda: derivatives(logistic_power_by_cdf, arguments))()
    expected = derivatives(logistic_power, arguments)
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_gradient_of_the_gamma_quantile():
    """TensorFlow differentiates the regularised incomplete gamma function."""
    shape = np.array([0.4, 1.0, 5.0, 30.0])
    p = np.array([[0.02], [0.5], [0.9]])
    z = scipy.stats.gamma.ppf(p, shape)
    step = 1e-5 * shape
    slope = scipy.stats.gamma.ppf(p, shape + step)
    slope = (slope - scipy.stats.gamma.ppf(p, shape - step)) / (2 * step)

    a = tf.constant(np.broadcast_to(shape, z.shape))
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = implicit(z, cdf=lambda z: tf.math.igamma(a, z))
    assert_close(tape.gradient(value, a), slope, rtol=1e-7)


def test_mixture_has_the_gradient_of_its_second_moment():
    """d/dw E z² of w N(m, 1) + (1 - w) N(0, 1) is m²: drawn by a choice."""
    count, m, w = 200_000, 1.5, tf.Variable(0.3)
    normal = tg.random.normal([count], [5, 0])
    first = tg.random.uniform([count], [6, 0]) < w

    def phi(x):
        return 0.5 * tf.math.erfc(-x / np.sqrt(2))

    with tf.GradientTape() as tape:
        weight = tf.fill([count], 1.0) * w
        tape.watch(weight)
        z = tf.where(first, normal + m, normal)
        z = implicit(
            z, cdf=lambda z: weight * phi(z - m) + (1 - weight) * phi(z)
        )
        cost = tf.reduce_sum(z**2)
    per_sample, total = tape.gradient(cost, [weight, w])
    assert_mean(per_sample, m**2, smallest_bias=0.1)
    assert_close(total, np.sum(per_sample), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_sample_is_returned_to_the_bit(dtype, compiled):
    z = tf.constant([1e-3, 0.3, 200.0], dtype)
    same = compiled(lambda z: implicit(z, cdf=lambda z: z * z))(z)
    assert same.dtype == dtype
    np.testing.assert_array_equal(same, z)


@pytest.mark.full
def test_batch_size_may_be_unknown():
    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def gradient(scale):
        with tf.GradientTape() as tape:
            tape.watch(scale)
            z = implicit(2.0 * scale, standardize=lambda z: z / scale)
        return tape.gradient(z, scale)

    assert_close(gradient(tf.ones([2, 3])), np.full([2, 3], 2.0))


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ({}, ValueError, "one of .*`cdf` and `standardize`.*Received"),
        ({"cdf": abs, "standardize": abs}, ValueError, "exactly one"),
        ({"cdf": 0.5}, TypeError, "`cdf` .*callable.*Received: cdf=0.5"),
        ({"cdf": tf.reduce_sum}, ValueError, r"`cdf` .*shape \(2,\).*\(\)"),
        ({"standardize": tf.zeros_like}, ValueError, "must depend on"),
    ],
)
def test_bad_functions_are_an_error(functions, error, message):
    with pytest.raises(error, match=message):
        implicit([0.5, 1.0], **functions)


def test_integers_are_an_error():
    with pytest.raises(TypeError, match="`sample` .*dtype int32"):
        implicit([1, 2], cdf=lambda z: z)
