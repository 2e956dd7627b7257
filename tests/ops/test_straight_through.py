import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots
from tests.ops.derivatives import assert_close

LOGITS = np.array([[0.3, -1.2, 0.8], [2.0, -0.5, 0.0]], np.float32)
SAMPLE = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
UPSTREAM = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32)
OPS = {
    "categorical": tg.ops.straight_through,
    "bernoulli": tg.ops.straight_through_bernoulli,
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())
def test_value_is_the_sample_which_gets_no_gradient(op, compiled):
    @compiled
    def of_op(sample):
        with tf.GradientTape() as tape:
            tape.watch(sample)
            value = op(LOGITS, sample)
        return value, tape.gradient(value, sample)

    value, gradient = of_op(tf.constant(SAMPLE))
    np.testing.assert_array_equal(value, SAMPLE)
    assert gradient is None


def test_linear_cost_gets_the_exact_gradient():
    """At τ = 1 ∇E f is J(π) w for f(z) = wᵀ z, whatever was drawn."""
    logits = tf.constant(LOGITS[0])
    weights = tf.constant(UPSTREAM[0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        exact = tf.reduce_sum(tf.nn.softmax(logits) * weights)
    exact = tape.gradient(exact, logits)
    for sample in one_hots(3):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            z = tg.ops.straight_through(logits, sample)
            cost = tf.reduce_sum(z * weights)
        assert_close(tape.gradient(cost, logits), exact, rtol=1e-5)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())
def test_sample_may_be_of_another_dtype(op):
    value = op(tf.constant(LOGITS, tf.float16), SAMPLE.astype(bool))
    assert value.dtype == tf.float16
    np.testing.assert_array_equal(value, SAMPLE)


@pytest.mark.parametrize("op", [*OPS.values(), tg.ops.reinmax])
def test_several_samples_of_one_row_are_an_error(op):
    """The gradient would have the shape of the samples."""
    message = r"`sample` .* shape of the logits, \(2, 3\)\. .*\(5, 2, 3\)"
    with pytest.raises(ValueError, match=message):
        op(LOGITS, np.stack([SAMPLE] * 5))
