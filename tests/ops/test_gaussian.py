import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_xla
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    value_and_gradients,
)

STDDEV = np.array([0.1, 1.0, 7.0])
SCALE = {
    "log_variance": 2 * np.log(STDDEV),
    "log_stddev": np.log(STDDEV),
    "softplus": np.log(np.expm1(STDDEV)),
    "stddev": STDDEV,
}


@pytest.mark.parametrize("name", SCALE)
def test_stddev_of_each_parameterization(name, compiled):
    scale = tf.constant(SCALE[name], tf.float32)
    stddev = compiled(lambda s: tg.ops.gaussian_stddev(s, name))(scale)
    assert_close(stddev, STDDEV, rtol=1e-6)


@eager_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["log_variance", "log_stddev", "softplus"])
def test_extreme_scales_stay_finite(name, dtype, compiled):
    """Also the square, its inverse and the logarithm, for a KL divergence."""
    scale = tf.constant([-np.inf, -1e4, -60.1, 0.0, 60.1, 1e4], dtype)

    @compiled
    def of_op(scale):
        def moments(scale):
            stddev = tg.ops.gaussian_stddev(scale, name)
            return tf.stack([stddev, stddev**2, tf.math.log(stddev)])

        return value_and_gradients(moments, [scale])

    moments, gradient = of_op(scale)
    assert moments.dtype == tf.float32
    assert np.all(moments[1] > 0)
    assert_finite((moments, gradient, 1 / moments[1]))


def test_clipped_log_variance_gets_no_gradient():
    scale = tf.constant([-1e4, -60.5, 60.5, 1e4])
    stddev, (gradient,) = value_and_gradients(tg.ops.gaussian_stddev, [scale])
    assert_close(stddev, np.exp([-30.0, -30.0, 30.0, 30.0]), rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.zeros(4))


def test_nan_stays_in_its_place(compiled):
    scale = tf.constant([np.nan, 0.0])
    stddev = compiled(tg.ops.gaussian_stddev)(scale)
    np.testing.assert_array_equal(stddev, [np.nan, 1.0])


def test_sample_is_mean_plus_scaled_noise(compiled):
    sample = compiled(tg.ops.reparameterize_gaussian)
    z = sample([1.0, 2.0], [2.0, 0.5], [-0.5, 4.0])
    np.testing.assert_array_equal(z, [0.0, 4.0])


def test_gradients_of_arguments_that_broadcast_are_sums(compiled):
    arguments = [tf.constant(x) for x in ([1.0, 2.0], 0.5, [[3.0, 1.0]] * 4)]

    @compiled
    def of_op(*arguments):
        op = tg.ops.reparameterize_gaussian
        return value_and_gradients(op, list(arguments))

    def composed(mean, stddev, noise):
        return mean + stddev * noise

    assert_close(of_op(*arguments), value_and_gradients(composed, arguments))


def test_gradient_of_second_moment_is_exact_in_expectation():
    """∇E z² = (2μ, 2σ): Gauss-Hermite nodes as noise, so no sampling error."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    mean, stddev = (tf.constant(v, tf.float64) for v in (1.3, 0.7))
    with tf.GradientTape() as tape:
        tape.watch([mean, stddev])
        z = tg.ops.reparameterize_gaussian(
            tf.fill([5], mean), tf.fill([5], stddev), nodes
        )
        moments = tf.reduce_sum(weights * z), tf.reduce_sum(weights * z**2)
    assert_close(moments, (1.3, 1.3**2 + 0.7**2), rtol=1e-12)
    gradient = tape.gradient(moments[1], [mean, stddev])
    assert_close(gradient, [2.6, 1.4], rtol=1e-12)


def test_unknown_parameterization_is_an_error():
    message = "`parameterization` .*'log_variance'.*Received: .*'variance'"
    with pytest.raises(ValueError, match=message):
        tg.ops.gaussian_stddev(0.0, "variance")


def test_integers_are_an_error():
    with pytest.raises(TypeError, match="`scale` .*dtype int32"):
        tg.ops.gaussian_stddev(0)
    with pytest.raises(TypeError, match="`mean` .*dtype int32"):
        tg.ops.reparameterize_gaussian([0], [1.0], [1.0])
