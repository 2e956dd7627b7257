"""Gates: the formulas, and their probabilities against samples."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.helpers.statistics import assert_mean
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    derivatives,
    value_and_gradients,
)

LOGITS = np.array([[-2.0, -0.5, 0.0], [0.4, 1.5, 3.0]])


def composed_hard_concrete(logits, noise, temperature):
    s = tf.sigmoid((logits + noise) / temperature)
    return tf.minimum(tf.maximum(1.2 * s - 0.1, 0.0), 1.0)


@eager_and_slow_xla
def test_hard_concrete_is_its_formula(compiled):
    arguments = [
        tf.constant(LOGITS),
        tf.constant([[0.3, -0.2, 1.0], [-1.0, 0.5, 4.0]], tf.float64),
        tf.constant(0.6, tf.float64),
    ]

    @compiled
    def of_op(*arguments):
        return derivatives(
            lambda x, noise, t: tg.ops.hard_concrete(x, noise, temperature=t),
            list(arguments),
        )

    expected = derivatives(composed_hard_concrete, arguments)
    assert_close(of_op(*arguments), expected, rtol=1e-10, atol=1e-12)


@eager_and_slow_xla
def test_gaussian_gate_is_its_formula(compiled):
    arguments = [tf.constant(LOGITS), tf.constant(np.cos(3.0 * LOGITS))]

    def composed(mean, noise):
        return tf.minimum(tf.maximum(mean + 0.5 * noise, 0.0), 1.0)

    @compiled
    def of_op(*arguments):
        return derivatives(tg.ops.gaussian_gate, list(arguments))

    expected = derivatives(composed, arguments)
    assert_close(of_op(*arguments), expected, rtol=1e-12)


def test_probability_of_an_open_hard_concrete_gate():
    """By sampling, and by its value in the paper's notation."""
    logits = tf.constant(LOGITS.ravel(), tf.float32)
    noise = tg.random.logistic([100_000, 6], [1, 1])
    many = tf.broadcast_to(logits, noise.shape)
    for temperature in (2 / 3, 0.3):
        gate = tg.ops.hard_concrete(many, noise, temperature=temperature)
        probability = tg.ops.hard_concrete_open_probability(
            logits, temperature=temperature
        )
        assert_mean(gate.numpy() > 0, probability, smallest_bias=0.01)
    expected = 1 / (1 + np.exp(-(LOGITS - 2 / 3 * np.log(0.1 / 1.1))))
    np.testing.assert_allclose(
        tg.ops.hard_concrete_open_probability(LOGITS), expected, rtol=1e-12
    )


def test_probability_of_an_open_gaussian_gate():
    mean = tf.constant(LOGITS.ravel(), tf.float32)
    noise = tg.random.normal([100_000, 6], [1, 4])
    gate = tg.ops.gaussian_gate(
        tf.broadcast_to(mean, noise.shape), noise, stddev=0.8
    )
    probability = tg.ops.gaussian_gate_open_probability(mean, stddev=0.8)
    assert_mean(gate.numpy() > 0, probability, smallest_bias=0.01)
    np.testing.assert_allclose(
        tg.ops.gaussian_gate_open_probability(LOGITS),
        scipy.stats.norm.cdf(2.0 * LOGITS),
        rtol=1e-12,
    )


def test_gates_without_noise():
    for stretch in ({}, {"stretch": (-0.3, 1.2)}):
        low, high = stretch.get("stretch", (-0.1, 1.1))
        expected = np.clip((high - low) / (1 + np.exp(-LOGITS)) + low, 0, 1)
        found = tg.ops.hard_concrete_mode(LOGITS, **stretch)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        tg.ops.gaussian_gate_mode(LOGITS), np.clip(LOGITS, 0, 1)
    )


def test_the_gradient_of_the_expected_gate():
    """Pathwise, against the derivative of E z by quadrature."""
    noise = tg.random.normal([200_000, 1], [9, 9])
    mean = tf.fill(noise.shape, 0.3)
    _, (gradient,) = value_and_gradients(
        lambda x: tg.ops.gaussian_gate(x, noise), [mean]
    )
    weights = np.cos(1.0 + 2.0 * np.arange(200_000))[:, None]
    # d/dμ E clip(μ + σε, 0, 1) = P(0 < z < 1)
    inside = scipy.stats.norm.cdf([-0.6, 1.4])
    assert_mean(
        gradient.numpy() / weights, inside[1] - inside[0], smallest_bias=0.01
    )


GATES = {
    "hard_concrete": tg.ops.hard_concrete,
    "gaussian_gate": tg.ops.gaussian_gate,
}
gates = pytest.mark.parametrize("op", GATES.values(), ids=GATES.keys())


@gates
def test_extremes_stay_finite_and_nan_stays_alone(op):
    logits = tf.constant([-np.inf, -1e4, 0.0, 1e4, np.nan])
    noise = tf.constant([22.0, -6.0, 0.1, 6.0, 0.0])
    value, (gradient,) = value_and_gradients(lambda x: op(x, noise), [logits])
    assert_finite([value[:4], gradient[:4]])
    np.testing.assert_array_equal(value[:2], 0.0)
    assert value[3] == 1.0
    assert np.isnan(value[4])
    # The other is linear, and its gradient does not see where it stands.
    assert np.isnan(gradient[4]) or op is tg.ops.gaussian_gate


@gates
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(op, dtype):
    half = tf.constant(np.linspace(-1.0, 2.0, 200), dtype)
    noise = tg.random.normal([200], [1, 2])
    value = op(half, noise)
    assert value.dtype == half.dtype
    expected = tf.cast(op(tf.cast(half, tf.float32), noise), dtype)
    np.testing.assert_array_equal(
        tf.cast(value, tf.float32), tf.cast(expected, tf.float32)
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tg.ops.hard_concrete([0.0], [0.0], temperature=0.0),
            ValueError,
            "Received: temperature=0",
        ),
        (
            lambda: tg.ops.hard_concrete([0.0], [0.0], stretch=(0.0, 1.1)),
            ValueError,
            "Received: stretch=",
        ),
        (
            lambda: tg.ops.hard_concrete_mode([0.0], stretch=1.1),
            ValueError,
            "Received: stretch=1.1",
        ),
        (
            lambda: tg.ops.hard_concrete([0.0, 1.0], [0.0]),
            ValueError,
            "`noise`",
        ),
        (
            lambda: tg.ops.gaussian_gate([0.0, 1.0], [0.0]),
            ValueError,
            "`noise`",
        ),
        (
            lambda: tg.ops.gaussian_gate([0.0], [0.0], stddev=0.0),
            ValueError,
            "Received: stddev=0",
        ),
        (
            lambda: tg.ops.gaussian_gate_open_probability([1]),
            TypeError,
            "mean of dtype int32",
        ),
        (
            lambda: tg.ops.hard_concrete_open_probability([1]),
            TypeError,
            "logits of dtype int32",
        ),
    ],
)
def test_bad_arguments_are_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
