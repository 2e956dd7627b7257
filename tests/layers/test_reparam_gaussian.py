"""Scales beyond any use overflow nowhere: not in a sample, nor in a KL."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import differentiated, training_values
from tests.ops.derivatives import assert_finite

MEAN = tf.zeros([5, 2])
SCALES = tf.constant([-1e30, -1e4, 0.0, 1e4, 1e30])[:, None]


@pytest.mark.parametrize("layer", [tg.ReparamGaussian, tg.GaussianKL])
@pytest.mark.parametrize("name", ["log_variance", "log_stddev", "softplus"])
def test_huge_scales_give_finite_values_and_gradients(layer, name):
    inputs = (MEAN, tf.tile(SCALES, [1, 2]))
    if name == "softplus":
        inputs = (MEAN, tf.minimum(inputs[1], 1e4))  # σ is what it says
    layer = layer(name)
    assert_finite(differentiated(lambda i: training_values(layer, [i]), inputs))


@pytest.mark.parametrize("layer", [tg.ReparamGaussian, tg.GaussianKL])
def test_huge_diagonals_give_finite_values_and_gradients(layer):
    scale = tf.tile(tf.clip_by_value(SCALES, -1e30, 1e4), [1, 3])
    scale *= tf.constant([1.0, 0.0, 1.0])
    layer = layer("tril")
    assert_finite(
        differentiated(lambda i: training_values(layer, [i]), (MEAN, scale))
    )


def test_log_variance_is_clipped_as_documented():
    """log σ at ±30: half of a log-variance of ±60."""
    layer = tg.ReparamGaussian(seed=2)
    scale = tf.constant([-1e4, -60.0, 60.0, 1e4])[:, None] * tf.ones([4, 2])
    noise = tg.random.normal([4, 2], layer.peek_seed())
    z = layer((tf.zeros([4, 2]), scale), training=True)
    expected = noise * np.exp([-30.0, -30.0, 30.0, 30.0])[:, None]
    np.testing.assert_allclose(z, expected, rtol=1e-5)
