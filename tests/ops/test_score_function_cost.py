import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots
from tests.ops.derivatives import assert_close

COST = [5.0, 1.0, -2.0]
LOG_PROB = [-0.7, -1.3, -0.1]
BASELINE = [3.0, 2.5, 1.0]
UPSTREAM = [2.0, -3.0, 0.5]
LOGITS = tf.constant([0.4, -0.3, 1.1, 0.0], tf.float64)
OUTCOMES = tf.constant(one_hots(4), tf.float64)


def fixed_cost(logits):
    return tf.constant([2.0, -1.0, 0.5, 7.0], tf.float64) + 0.0 * logits


def differentiable_cost(logits):
    """One cost per outcome, which depends on the logits as well."""
    slopes = tf.constant([0.5, -1.0, 2.0, 1.5], tf.float64)
    return tf.exp(0.3 * slopes * tf.reduce_sum(logits * slopes)) + slopes


def expected_cost(cost, logits):
    return tf.reduce_sum(tf.nn.softmax(logits) * cost(logits))


def averaged_estimate(cost, baseline, logits):
    """The op at every outcome, weighted by the outcome's probability."""
    log_prob = tg.ops.categorical_log_prob(
        tf.broadcast_to(logits, [4, 4]), OUTCOMES
    )
    estimates = tg.ops.score_function_cost(
        cost(logits), log_prob, baseline=baseline
    )
    return tf.reduce_sum(tf.stop_gradient(tf.exp(log_prob)) * estimates)


def gradient_and_hessian(function):
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(LOGITS)
        with tf.GradientTape() as inner:
            inner.watch(LOGITS)
            value = function(LOGITS)
        gradient = tf.unstack(inner.gradient(value, LOGITS))
    hessian = [outer.gradient(entry, LOGITS) for entry in gradient]
    return value, tf.stack(gradient), tf.stack(hessian)


def test_gradients_are_those_of_the_table(compiled):
    @compiled
    def of_op(cost, log_prob, baseline):
        arguments = [cost, log_prob, baseline]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = tg.ops.score_function_cost(
                cost, log_prob, baseline=baseline
            )
        return value, tape.gradient(value, arguments, tf.constant(UPSTREAM))

    value, (cost, log_prob, baseline) = of_op(
        tf.constant(COST), tf.constant(LOG_PROB), tf.constant(BASELINE)
    )
    np.testing.assert_array_equal(value, COST)
    np.testing.assert_array_equal(cost, UPSTREAM)
    np.testing.assert_array_equal(log_prob, [4.0, 4.5, -1.5])
    np.testing.assert_array_equal(baseline, [-8.0, 9.0, 3.0])


@pytest.mark.parametrize("cost", [fixed_cost, differentiable_cost])
def test_gradient_and_hessian_are_unbiased(cost, compiled):
    """Exactly: by enumeration of the outcomes, in float64."""

    @compiled
    def estimate(baseline):
        return gradient_and_hessian(
            lambda logits: averaged_estimate(cost, baseline, logits)
        )

    exact = gradient_and_hessian(lambda logits: expected_cost(cost, logits))
    for baseline in (0.0, -4.0, 100.0):
        baseline = tf.constant(baseline, tf.float64)
        assert_close(estimate(baseline), exact, rtol=1e-10, atol=1e-12)


def test_hessian_through_a_function_of_its_own():
    """Its second derivative is taken in a graph of its own, too."""
    estimate = tf.function(
        lambda logits: averaged_estimate(differentiable_cost, 1.0, logits)
    )
    exact = gradient_and_hessian(
        lambda logits: expected_cost(differentiable_cost, logits)
    )
    assert_close(gradient_and_hessian(estimate), exact, rtol=1e-10, atol=1e-12)


def test_baseline_that_depends_on_the_outcome_is_biased():
    """The enumeration above can tell: it is no tautology."""
    baseline = tf.constant([0.0, 1.0, 0.0, 0.0], tf.float64)
    _, estimate, _ = gradient_and_hessian(
        lambda logits: averaged_estimate(fixed_cost, baseline, logits)
    )
    _, exact, _ = gradient_and_hessian(
        lambda logits: expected_cost(fixed_cost, logits)
    )
    assert np.max(np.abs(estimate - exact)) > 0.1


def test_learned_baseline_descends_the_squared_error():
    """Its gradient is that of Σ |g| (cost - b)², summed where b is shared."""
    baseline = tf.Variable(3.0)
    with tf.GradientTape(persistent=True) as tape:
        estimate = tg.ops.score_function_cost(COST, LOG_PROB, baseline=baseline)
        total = tf.reduce_sum(UPSTREAM * estimate)
        error = tf.reduce_sum(np.abs(UPSTREAM) * (COST - baseline) ** 2)
    assert_close(tape.gradient(total, baseline), tape.gradient(error, baseline))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype, compiled):
    """A loss scale of 2^15 times a cost overflows float16, not float32."""
    cost = tf.constant([300.0, 1.0], dtype)

    @compiled
    def of_op(log_prob):
        with tf.GradientTape() as tape:
            tape.watch(log_prob)
            value = tg.ops.score_function_cost(cost, log_prob)
        upstream = tf.constant([2.0**15, 1.0], dtype)
        return value, tape.gradient(value, log_prob, upstream)

    value, gradient = of_op(tf.constant([-1.0, -2.0]))
    assert value.dtype == dtype
    np.testing.assert_array_equal(gradient, [300.0 * 2**15, 1.0])


def test_batch_size_may_be_unknown():
    unknown = tf.TensorSpec([None], tf.float32)
    of_op = tf.function(tg.ops.score_function_cost, [unknown, unknown])
    np.testing.assert_array_equal(of_op(COST, LOG_PROB), COST)


@pytest.mark.parametrize(
    ("cost", "log_prob", "error", "message"),
    [
        ([[1.0]], [1.0], ValueError, r"`cost` .*cost of shape \(1, 1\)"),
        (1.0, [1.0], ValueError, r"`cost` .*cost of shape \(\)"),
        ([1.0], [[1.0]], ValueError, r"`log_prob` .*shape \(1, 1\)"),
        ([1.0, 2.0], [1.0], ValueError, r"shape \(2,\) and .*shape \(1,\)"),
        ([1], [1.0], TypeError, "`cost` .*cost of dtype int32"),
        ([1.0], [1], TypeError, "`log_prob` .*log_prob of dtype int32"),
    ],
)
def test_bad_arguments_are_an_error(cost, log_prob, error, message):
    with pytest.raises(error, match=message):
        tg.ops.score_function_cost(cost, log_prob)
