import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots, sigmoid, softmax
from tests.ops.derivatives import assert_close

LOGITS = np.array([[0.3, -1.2, 0.8], [2.0, -0.5, 0.0]], np.float32)
SAMPLE = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
UPSTREAM = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32)
OPS = {
    "categorical": tg.ops.straight_through,
    "bernoulli": tg.ops.straight_through_bernoulli,
}


def gradients_of(op, compiled, temperature):
    @compiled
    def of_op(logits, sample, tau):
        arguments = [logits, sample, tau]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = op(logits, sample, temperature=tau)
        return value, *tape.gradient(value, arguments, UPSTREAM)

    return of_op(*map(tf.constant, (LOGITS, SAMPLE, temperature)))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())
def test_value_is_the_sample_which_gets_no_gradient(op, compiled):
    value, _, wrt_sample, _ = gradients_of(op, compiled, 1.0)
    np.testing.assert_array_equal(value, SAMPLE)
    assert wrt_sample is None


def test_gradient_is_that_of_the_softmax(compiled):
    """J(π) g / τ with π = softmax(logits / τ)."""
    temperature = 1.4
    op = tg.ops.straight_through
    _, wrt_logits, _, wrt_temperature = gradients_of(op, compiled, temperature)
    pi = softmax(LOGITS / temperature)
    inner = pi * (UPSTREAM - np.sum(pi * UPSTREAM, -1, keepdims=True))
    assert_close(wrt_logits, inner / temperature, rtol=3e-6, atol=1e-7)
    expected = -np.sum(inner * LOGITS) / temperature**2
    assert_close(wrt_temperature, expected, rtol=3e-6)


def test_gradient_is_that_of_the_sigmoid(compiled):
    """g p (1 - p) / τ with p = sigmoid(logits / τ)."""
    temperature = 1.4
    op = tg.ops.straight_through_bernoulli
    _, wrt_logits, _, wrt_temperature = gradients_of(op, compiled, temperature)
    p = sigmoid(LOGITS / temperature)
    inner = UPSTREAM * p * (1 - p)
    assert_close(wrt_logits, inner / temperature, rtol=3e-6)
    expected = -np.sum(inner * LOGITS) / temperature**2
    assert_close(wrt_temperature, expected, rtol=3e-6)


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
