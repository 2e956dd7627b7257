import itertools

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.helpers.statistics import subset_law
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    value_and_gradients,
)

LOGITS = np.log([[0.1, 0.4, 0.2, 0.3], [0.5, 0.1, 0.3, 0.1]]).astype(np.float32)
NOISE = np.array([[0.3, -0.4, 1.2, 0.0], [2.0, 0.1, -0.6, 0.9]], np.float32)
hard_or_not = pytest.mark.parametrize("hard", [False, True])


def test_two_softmaxes_by_hand(compiled):
    """Keys log(1, 2, 1): softmax (1, 2, 1)/4, then keys log(3/4, 1, 3/4)."""
    keys = np.log([[1.0, 2.0, 1.0]]).astype(np.float32)
    y = compiled(lambda x: tg.ops.relaxed_top_k(x, 0.0 * x, k=2))(keys)
    assert_close(y, [[0.25 + 0.3, 0.5 + 0.4, 0.25 + 0.3]])


@hard_or_not
def test_backward_temperature_shapes_the_gradient_alone(hard):
    def gradient_of(temperature, backward=None, logits=LOGITS):
        return value_and_gradients(
            lambda x: tg.ops.relaxed_top_k(
                x,
                NOISE,
                k=2,
                temperature=temperature,
                backward_temperature=backward,
                hard=hard,
            ),
            [tf.constant(logits)],
        )

    value, gradient = gradient_of(0.4, 0.9)
    assert_close(value, gradient_of(0.4)[0])
    assert_close(gradient, gradient_of(0.9)[1])
    bad = np.array(LOGITS)
    bad[0, 1] = np.nan
    _, (gradient,) = gradient_of(0.4, 0.9, bad)
    assert np.all(np.isnan(gradient[0])) and np.all(np.isfinite(gradient[1:]))


@eager_and_slow_xla
@pytest.mark.parametrize("k", [1, 3])
def test_cold_limit_and_hard_value_are_the_subset(k, compiled):
    indices = tg.ops.gumbel_top_k(LOGITS, NOISE, k=k)
    expected = np.eye(4)[indices].sum(axis=1)
    for temperature, hard in [(1e-3, False), (1e-3, True), (1.0, True)]:
        op = compiled(lambda x, t=temperature, h=hard: relaxed(x, k, t, h))
        y = op(LOGITS)
        np.testing.assert_allclose(
            y, expected, rtol=0, atol=0 if hard else 1e-6
        )


def relaxed(logits, k, temperature, hard=False):
    return tg.ops.relaxed_top_k(
        logits, NOISE, k=k, temperature=temperature, hard=hard
    )


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 1e3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_relaxed_sample_sums_to_k(k, temperature):
    y = relaxed(LOGITS, k, temperature)
    assert np.all(y.numpy() >= 0)
    assert_close(tf.reduce_sum(y, -1), [k, k])


@eager_and_slow_xla
@hard_or_not
def test_one_category_is_gumbel_softmax(hard, compiled):
    """Value, and gradients in logits, noise and temperature."""

    def run(op):
        arguments = [tf.constant(a) for a in (LOGITS, NOISE, 0.6)]
        return compiled(lambda: value_and_gradients(op, arguments))()

    actual = run(
        lambda x, g, t: tg.ops.relaxed_top_k(
            x, g, k=1, temperature=t, hard=hard
        )
    )
    expected = run(
        lambda x, g, t: tg.ops.gumbel_softmax(x, g, temperature=t, hard=hard)
    )
    assert_close(actual, expected, rtol=3e-6, atol=1e-7)


@eager_and_slow_xla
def test_leader_by_far_is_chosen_once(compiled):
    """Where its softmax rounds to 1, and log(1 - softmax) to -inf."""
    logits = tf.constant([[50.0, 0.0, 0.3]])
    weights = tf.constant([[5.0, -1.0, 2.0]])

    @compiled
    def of_op(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = tg.ops.relaxed_top_k(
                logits, tf.zeros([1, 3]), k=2, temperature=0.5
            )
        return y, tape.gradient(y, logits, weights)

    second = 1.0 / (1.0 + np.exp(0.3 / 0.5))
    slope = second * (1.0 - second) / 0.5 * (-1.0 - 2.0)
    y, gradient = of_op(logits)
    assert_close(y, [[1.0, second, 1.0 - second]])
    assert_close(gradient, [[0.0, slope, -slope]], rtol=3e-6)


@eager_and_slow_xla
@hard_or_not
def test_ties_give_exactly_k(hard, compiled):
    y = compiled(
        lambda x: tg.ops.relaxed_top_k(
            x, tf.zeros_like(x), k=3, temperature=0.5, hard=hard
        )
    )(tf.zeros([2, 5]))
    expected = [1, 1, 1, 0, 0] if hard else [0.6] * 5
    assert_close(y, [expected] * 2)


# 65504 is float16's largest number.
EXTREMES = [-65504.0, 0.0, 6e-8, 1e4, 65504.0]


@pytest.mark.parametrize(
    ("dtype", "compiled"),
    [
        ("float32", "eager"),
        ("float32", "xla"),
        ("float16", "eager"),
        ("bfloat16", "eager"),
    ],
    indirect=["compiled"],
)
def test_extremes_stay_finite(dtype, compiled):
    """Three of any four; -inf among them, while three logits are finite."""
    rows = list(itertools.product(EXTREMES, repeat=3))
    logits = [(*row, -np.inf) for row in rows] + [(*row, 0.0) for row in rows]
    logits = tf.constant(logits, dtype)
    noise = tf.constant([[-2.7, 22.8, 0.0, 1.0]]) * tf.ones_like(
        logits, tf.float32
    )

    @compiled
    def of_op(temperature):
        return value_and_gradients(
            lambda x, g, t: tg.ops.relaxed_top_k(x, g, k=3, temperature=t),
            [logits, noise, temperature],
        )

    for temperature in (1e-3, 0.7, 1e3):
        value, gradients = of_op(tf.constant(temperature))
        assert_finite((value, gradients))
        total = tf.reduce_sum(tf.cast(value, tf.float32), -1)
        assert_close(total, 3.0 * np.ones(len(logits)), rtol=1e-2)
        impossible = np.isneginf(tf.cast(logits, tf.float32))
        assert np.all(value.numpy()[impossible] == 0)


@pytest.mark.full
@hard_or_not
def test_bad_temperature_in_a_graph_shows_in_the_value(hard):
    y = tf.function(lambda t: relaxed(LOGITS, 2, t, hard))(tf.constant(-1.0))
    assert np.all(np.isnan(y))


def cost(z):
    """A cost of pairs, for which no relaxation is exact."""
    return tf.square(tf.reduce_sum(z * [1.0, -2.0, 0.5, 1.5], -1) - 0.7)


def exact_gradient(logits, k):
    """∇E f by enumeration and central differences, in float64."""

    def expectation(x):
        k_hots, p = subset_law(x, k)
        return np.sum(p * cost(k_hots).numpy())

    steps = 1e-5 * np.eye(len(logits))
    differences = [
        expectation(logits + s) - expectation(logits - s) for s in steps
    ]
    return np.array(differences) / 2e-5


def gradient_samples(temperature, hard, draws=200_000):
    """The gradient of the cost for each of many draws, `[N, K]`."""

    @tf.function
    def sample(logits):
        noise = tg.random.gumbel([draws, 4], [3, 4])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = tg.ops.relaxed_top_k(
                logits, noise, k=2, temperature=temperature, hard=hard
            )
            total = tf.reduce_sum(cost(y))
        return tape.gradient(total, logits)

    logits = tf.repeat(tf.constant(LOGITS[:1]), draws, axis=0)
    return sample(logits).numpy().astype(np.float64)


@pytest.mark.full
@hard_or_not
def test_bias_falls_with_the_temperature(hard):
    """By far more than the error, in the coordinate that is worst at first."""
    exact = exact_gradient(np.float64(LOGITS[0]), 2)
    biases, errors = [], []
    for temperature in (1.0, 0.5, 0.2):
        samples = gradient_samples(temperature, hard)
        biases.append(np.abs(samples.mean(axis=0) - exact)[1])
        errors.append(samples.std(axis=0)[1] / np.sqrt(len(samples)))
    assert biases[0] - biases[1] > 5 * (errors[0] + errors[1])
    assert biases[1] - biases[2] > 5 * (errors[1] + errors[2])
