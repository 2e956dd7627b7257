"""Full covariances, by their Cholesky factor."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfgumbel as tg
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    value_and_gradients,
)

RANDOM = np.random.default_rng(3)
EXTREMES = [-np.inf, -65504.0, -1e4, 0.0, 1e4]


def test_covariance_is_that_of_the_samples():
    """E (z - μ)(z - μ)ᵀ = L Lᵀ, exactly: the noise has identity moments."""
    scale = tf.constant(RANDOM.normal(size=6))
    factor = tg.ops.gaussian_tril(scale)
    noise = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    mean = tf.constant([1.0, 2.0, 3.0], tf.float64)
    z = tg.ops.reparameterize_gaussian_tril(
        tf.broadcast_to(mean, [6, 3]), tf.stack([factor] * 6), noise
    )
    assert_close(tf.reduce_mean(z, 0), mean, rtol=1e-12)
    assert_close(
        np.cov(z.numpy().T, bias=True),
        factor.numpy() @ factor.numpy().T,
        rtol=1e-10,
        atol=1e-12,
    )


def test_diagonal_triangle_is_the_diagonal_gaussian():
    scale = RANDOM.normal(size=(5, 3)).astype("float32")
    triangle = np.zeros((5, 6), "float32")
    triangle[:, [0, 2, 5]] = scale
    mean, noise = RANDOM.normal(size=(2, 5, 3)).astype("float32")
    stddev = tg.ops.gaussian_stddev(scale, "softplus")
    factor = tg.ops.gaussian_tril(triangle)
    assert_close(
        tg.ops.reparameterize_gaussian_tril(mean, factor, noise),
        tg.ops.reparameterize_gaussian(mean, stddev, noise).numpy(),
        atol=1e-6,
    )
    assert_close(
        tg.ops.gaussian_tril_kl(mean, factor, 0.5, 2.0),
        np.sum(tg.ops.gaussian_kl(mean, stddev, 0.5, 2.0), -1),
        rtol=1e-5,
    )


def test_divergence_is_that_of_tensorflow_probability():
    """Also for a prior of several scales."""
    mean, scale = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(4, 6))
    prior = RANDOM.normal(size=3), np.exp(RANDOM.normal(size=3))
    factor = tg.ops.gaussian_tril(scale)
    q = tfp.distributions.MultivariateNormalTriL(mean, factor)
    p = tfp.distributions.MultivariateNormalDiag(*prior)
    actual = tg.ops.gaussian_tril_kl(mean, factor, *prior)
    assert_close(actual, q.kl_divergence(p).numpy(), rtol=1e-10)


def test_extreme_triangles_stay_finite():
    grid = np.stack(np.meshgrid(*[EXTREMES] * 3), -1).reshape(-1, 3)
    grid[:, 1] = np.maximum(grid[:, 1], -65504.0)  # only the diagonal is mapped
    mean = tf.constant(grid[:, :2].clip(-1e4, 1e4), tf.float32)

    def of_op(scale):
        def values(scale):
            factor = tg.ops.gaussian_tril(scale)
            z = tg.ops.reparameterize_gaussian_tril(
                mean, factor, tf.ones_like(mean)
            )
            divergence = tg.ops.gaussian_tril_kl(mean, factor)
            return tf.concat([z, divergence[:, None]], -1)

        return value_and_gradients(values, [scale])

    assert_finite(of_op(tf.constant(grid, tf.float32)))


@pytest.mark.parametrize("shape", [(2, 5), (0,), ()])
def test_sizes_that_are_no_triangle_are_an_error(shape):
    with pytest.raises(ValueError, match="`scale` .*triangle.*Received"):
        tg.ops.gaussian_tril(tf.zeros(shape))


def test_integers_are_an_error():
    with pytest.raises(TypeError, match="`scale` .*dtype int32"):
        tg.ops.gaussian_tril([1, 2, 3])
    with pytest.raises(TypeError, match="`mean` .*dtype int32"):
        tg.ops.reparameterize_gaussian_tril([1], [[1.0]], [1.0])


def test_half_precision_is_computed_in_float32():
    mean, scale = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(4, 6))
    mean, scale = tf.constant(mean, "float16"), tf.constant(scale, "float16")
    wide = tf.cast(mean, "float32")
    factor = tg.ops.gaussian_tril(scale)
    assert factor.dtype == tf.float32
    z = tg.ops.reparameterize_gaussian_tril(mean, factor, 0.1 * wide)
    expected = tg.ops.reparameterize_gaussian_tril(wide, factor, 0.1 * wide)
    np.testing.assert_array_equal(z, tf.cast(expected, "float16"))
    assert z.dtype == tf.float16
    log_prob = tg.ops.gaussian_tril_log_prob(mean, factor, expected)
    expected = tg.ops.gaussian_tril_log_prob(wide, factor, expected)
    np.testing.assert_array_equal(log_prob, expected)
    probability = tg.ops.gaussian_gate_open_probability(mean)
    assert log_prob.dtype == probability.dtype == tf.float32
