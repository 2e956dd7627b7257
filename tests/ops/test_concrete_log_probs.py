"""Densities of the concrete and the binary concrete, on both scales."""

import math

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.helpers.statistics import assert_frequencies, assert_mean
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    derivatives,
    value_and_gradients,
)

LOGITS = np.array([[0.3, -1.2, 0.8, 0.1], [2.0, -0.5, 0.0, 1.1]])
SIMPLEX = np.array([[0.1, 0.2, 0.3, 0.4], [0.6, 0.05, 0.05, 0.3]])
BITS = np.array([[0.1, 0.2, 0.3, 0.4], [0.6, 0.05, 0.95, 0.3]])


def concrete(logits, tau, x):
    """Eq. (10) of Maddison et al., without logarithms."""
    categories = x.shape[-1]
    weight = tf.exp(logits) * x ** -(tau + 1.0)
    total = tf.reduce_sum(tf.exp(logits) * x**-tau, axis=-1)
    numerator = math.factorial(categories - 1) * tau ** (categories - 1.0)
    product = tf.reduce_prod(weight, axis=-1)
    return tf.math.log(numerator * product / total**categories)


def exp_concrete(logits, tau, y):
    """p(x) dx_1 … dx_{K-1} in the coordinates y_k - y_K."""
    jacobian = tf.reduce_sum(y, axis=-1)
    return concrete(logits, tau, tf.exp(y)) + jacobian


def binary_concrete(logits, tau, x):
    """Eq. (25) of Maddison et al."""
    alpha = tf.exp(logits)
    numerator = tau * alpha * (x * (1.0 - x)) ** -(tau + 1.0)
    return tf.math.log(numerator / (alpha * x**-tau + (1.0 - x) ** -tau) ** 2)


def logit_binary_concrete(logits, tau, y):
    x = tf.sigmoid(y)
    return binary_concrete(logits, tau, x) + tf.math.log(x * (1.0 - x))


DENSITIES = {
    "concrete": (tg.ops.concrete_log_prob, concrete, SIMPLEX),
    "exp_concrete": (
        tg.ops.exp_concrete_log_prob,
        exp_concrete,
        np.log(SIMPLEX),
    ),
    "binary": (tg.ops.binary_concrete_log_prob, binary_concrete, BITS),
    "logit_binary": (
        tg.ops.logit_binary_concrete_log_prob,
        logit_binary_concrete,
        scipy.special.logit(BITS),
    ),
}
densities = pytest.mark.parametrize(
    ("op", "definition", "sample"), DENSITIES.values(), ids=DENSITIES.keys()
)


@eager_and_slow_xla
@densities
def test_density_is_the_formula(op, definition, sample, compiled):
    """Value, first and second derivatives, by logits, τ and sample."""
    of_op = compiled(lambda *a: derivatives(op, list(a)))
    for temperature in (0.3, 1.0, 2.5):
        arguments = [
            tf.constant(a, tf.float64) for a in (LOGITS, temperature, sample)
        ]
        expected = derivatives(definition, arguments)
        assert_close(of_op(*arguments), expected, rtol=1e-8, atol=1e-9)


@densities
def test_axis_and_broadcast_logits(op, definition, sample):
    """A prior with one row of logits serves every example."""
    expected = op(np.tile(LOGITS[:1], (2, 1)), 0.7, sample)
    assert_close(op(LOGITS[0], 0.7, sample), expected)
    if expected.shape == sample.shape:
        return
    turned = op(LOGITS[:1].T[None], 0.7, sample.T[None], axis=1)
    assert_close(turned[0], expected)
    turned = op(LOGITS[:1].T, 0.7, sample.T[None], axis=-2)
    assert_close(turned[0], expected)


# The log-ratios y_k - y_K of K = 2, 3 categories, far into the tails.
STEP = 0.25


def log_ratio_grid(categories, temperature):
    line = np.arange(-40.0, 40.0, STEP * temperature) / temperature
    mesh = np.meshgrid(*[line] * (categories - 1), indexing="ij")
    ratios = np.stack([*mesh, np.zeros_like(mesh[0])], axis=-1)
    cell = STEP ** (categories - 1)
    return scipy.special.log_softmax(ratios, axis=-1), cell


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("categories", [2, 3])
def test_density_integrates_to_one(categories, temperature):
    y, cell = log_ratio_grid(categories, temperature)
    logits = LOGITS[1, :categories]
    log_prob = tg.ops.exp_concrete_log_prob(logits, temperature, y)
    assert np.sum(np.exp(log_prob)) * cell == pytest.approx(1, rel=1e-9)
    inside = y.min(axis=-1) > math.log(1e-25)
    log_prob = tg.ops.concrete_log_prob(logits, temperature, np.exp(y))
    mass = np.exp(log_prob + y.sum(axis=-1))[inside].sum() * cell
    assert mass == pytest.approx(1, rel=1e-7)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_binary_density_integrates_to_one(temperature):
    y = np.arange(-30.0, 30.0, STEP)
    log_prob = tg.ops.logit_binary_concrete_log_prob(0.7, temperature, y)
    assert np.sum(np.exp(log_prob)) * STEP == pytest.approx(1, abs=1e-5)
    x = scipy.special.expit(y)
    log_prob = tg.ops.binary_concrete_log_prob(0.7, temperature, x)
    mass = np.sum(np.exp(log_prob) * x * (1 - x)) * STEP
    assert mass == pytest.approx(1, abs=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("temperature", [0.05, 0.7, 3.0])
def test_samples_follow_the_density(temperature):
    """The mass of 4 × 4 cells of log-ratios, against draws of both ops."""
    logits = LOGITS[1, :3].astype("float32")
    noise = tg.random.gumbel([200_000, 3], [1, 2])
    many = tf.broadcast_to(logits, noise.shape)
    y = tg.ops.exp_concrete(many, noise, temperature=temperature).numpy()
    edges = np.array([-0.5, 1.0, 2.5]) / temperature
    cells = np.searchsorted(edges, y[:, :2] - y[:, 2:])
    fine = np.arange(-24.975, 25.0, 0.05) / temperature
    ratios = np.stack([*np.meshgrid(fine, fine), np.zeros([1000, 1000])], -1)
    log_prob = tg.ops.exp_concrete_log_prob(
        logits, temperature, scipy.special.log_softmax(ratios, -1)
    )
    of = np.searchsorted(edges, fine)
    cell = of[None, :] * 4 + of[:, None]
    mass = np.bincount(cell.ravel(), np.exp(log_prob).ravel(), 16)
    assert_frequencies(cells @ [4, 1], mass, least=50)


def test_two_categories_are_a_bit():
    logits, y = LOGITS[:, :2], np.array([[-3.0, 0.4], [20.0, -70.0]])
    pair = np.stack([y, np.zeros_like(y)], -1)
    both = np.stack([logits, np.zeros_like(logits)], -1)
    as_pair = tg.ops.exp_concrete_log_prob(
        both, 0.6, scipy.special.log_softmax(pair, -1)
    )
    as_bit = tg.ops.logit_binary_concrete_log_prob(logits, 0.6, y)
    assert_close(as_pair, as_bit, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_peers_agree_in_double_precision(temperature):
    """TensorFlow Probability, where its densities are finite."""
    from tensorflow_probability import distributions as tfd

    pairs = [
        (tfd.RelaxedOneHotCategorical, "concrete"),
        (tfd.ExpRelaxedOneHotCategorical, "exp_concrete"),
        (tfd.RelaxedBernoulli, "binary"),
    ]
    for peer, name in pairs:
        op, _, sample = DENSITIES[name]
        peer = peer(tf.constant(temperature, tf.float64), logits=LOGITS)
        expected = peer.log_prob(sample)
        assert_close(op(LOGITS, temperature, sample), expected, rtol=1e-9)


def test_cold_samples_of_many_categories_have_exact_densities():
    """τ = 0.05, K = 20, in float32, where x itself rounds to zeros."""
    logits = np.random.default_rng(1).normal(size=[1000, 20]).astype("float32")
    noise = tg.random.gumbel([1000, 20], [3, 4])

    def log_prob(dtype, logits, noise):
        logits, noise = tf.cast(logits, dtype), tf.cast(noise, dtype)
        tau = tf.constant(0.05, dtype)
        y = tg.ops.exp_concrete(logits, noise, temperature=tau)
        return tg.ops.exp_concrete_log_prob(logits, tau, y)

    actual = value_and_gradients(
        lambda *a: log_prob("float32", *a), [tf.constant(logits), noise]
    )
    expected = value_and_gradients(
        lambda *a: log_prob("float64", *a), [tf.constant(logits), noise]
    )
    assert_close(actual, expected, rtol=1e-5, atol=1e-4)
    y = tg.ops.exp_concrete(logits, noise, temperature=0.05)
    assert np.mean(tf.exp(y) == 0) > 0.3


def test_relaxed_divergence_by_monte_carlo():
    """E[log q - log p] on the log scale, against quadrature."""
    logits, prior = np.array([1.5, 0.0]), np.array([-0.5, 0.0])
    y, cell = log_ratio_grid(2, 0.7)
    log_q = tg.ops.exp_concrete_log_prob(logits, 2 / 3, y).numpy()
    log_p = tg.ops.exp_concrete_log_prob(prior, 1 / 2, y).numpy()
    exact = np.sum(np.exp(log_q) * (log_q - log_p)) * cell
    noise = tg.random.gumbel([100_000, 2], [5, 6])
    many = tf.broadcast_to(tf.constant(logits, tf.float32), noise.shape)
    y = tg.ops.exp_concrete(many, noise, temperature=2 / 3)
    log_q = tg.ops.exp_concrete_log_prob(logits, 2 / 3, y)
    log_p = tg.ops.exp_concrete_log_prob(prior, 1 / 2, y)
    assert_mean(log_q - log_p, exact, smallest_bias=0.03)


EXTREMES = [-np.inf, -65504.0, -1e4, 0.0, 6e-8, 1e4, 65504.0]
# Each relaxation with its density.
OWN = {
    "concrete": (tg.ops.gumbel_softmax, tg.ops.concrete_log_prob),
    "exp_concrete": (tg.ops.exp_concrete, tg.ops.exp_concrete_log_prob),
    "binary": (tg.ops.binary_concrete, tg.ops.binary_concrete_log_prob),
    "logit_binary": (
        tg.ops.logit_binary_concrete,
        tg.ops.logit_binary_concrete_log_prob,
    ),
}


@eager_and_slow_xla
@pytest.mark.parametrize(("draw", "op"), OWN.values(), ids=OWN.keys())
def test_extreme_logits_and_temperatures_stay_finite(draw, op, compiled):
    """The density of a relaxation's own sample, logits in half precision.

    Categories of which none is possible have no relaxed sample.
    """
    pairs = [(a, b) for a in EXTREMES for b in EXTREMES]
    none = (-np.inf, -np.inf)
    logits = tf.constant([pair for pair in pairs if pair != none], tf.float16)
    noise = tf.constant([[-2.7, 22.8]] * len(logits))

    def log_prob(logits, tau):
        single = tf.cast(logits, tf.float32)
        return op(logits, tau, draw(single, noise, temperature=tau))

    of_op = compiled(lambda tau: value_and_gradients(log_prob, [logits, tau]))
    for temperature in (1e-3, 0.05, 0.7, 1e3):
        value, gradients = of_op(tf.constant(temperature))
        assert value.dtype == tf.float32
        assert_finite([value, gradients])


@densities
@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_corners_and_edges_are_finite(op, definition, sample, edge):
    """As of a relaxed sample that rounded."""
    corner = tf.constant([[edge, 1.0 - edge, 0.0, 0.0]])
    if (sample < 0).any():  # the log scale
        corner = tf.math.log(corner)
    logits = tf.constant(LOGITS[:1], tf.float32)
    for temperature in (1e-3, 0.05, 0.7, 20.0):
        tau = tf.constant(temperature)
        assert_finite(value_and_gradients(op, [logits, tau, corner]))


def test_entries_that_rounded_to_zero_count_as_small_ones():
    """Of which 1e-30 is the least, and receives no gradient."""
    logits = tf.constant([0.3, -0.2])

    def at(small):
        x = tf.constant([small, 1.0])
        log_prob, (_, gradient) = value_and_gradients(
            lambda a, b: tg.ops.concrete_log_prob(a, 0.5, b), [logits, x]
        )
        return float(log_prob), float(gradient[0])

    least = at(1e-30)[0]
    assert at(0.0) == at(1e-35) == (least, 0.0)
    assert at(1e-29)[0] < least - 1.0 and at(1e-29)[1] < -1e28


@pytest.mark.parametrize("tau", [0.4, 2.5])
def test_impossible_categories_are_left_out(tau):
    """The density on a face; one category alone has nothing left to draw."""
    mask = np.array([True, False, True, True])
    logits = tg.ops.mask_logits(LOGITS, mask)
    noise = tf.constant([[0.3, 5.0, -0.2, 1.0]] * 2, tf.float64)
    y = tg.ops.exp_concrete(logits, noise, temperature=tau)
    x = tg.ops.gumbel_softmax(logits, noise, temperature=tau)
    for name, sample in (("concrete", x), ("exp_concrete", y)):
        op = OWN[name][1]
        log_prob, gradients = value_and_gradients(
            lambda a, s, op=op: op(a, tau, s), [logits, sample]
        )
        legal = tf.boolean_mask(sample, mask, axis=1)
        expected = op(LOGITS[:, mask], tau, legal)
        assert_close(log_prob, expected, rtol=1e-12)
        assert all(np.all(gradient[:, 1] == 0) for gradient in gradients)
        lowest = tg.ops.mask_logits(LOGITS + [0, 0, 0, -np.inf], mask)
        pair = op(LOGITS[:, [0, 2]], tau, tf.gather(sample, [0, 2], axis=1))
        assert_close(op(lowest, tau, sample), pair, rtol=1e-12)
        alone = tg.ops.mask_logits(LOGITS, [False, True, False, False])
        for few in (alone, np.full_like(LOGITS, -np.inf)):
            assert np.all(op(few, tau, tf.one_hot([1, 1], 4)) == 0)


@densities
def test_nan_stays_in_its_variable(op, definition, sample):
    logits = LOGITS.copy()
    logits[0, 1] = np.nan
    found, expected = op(logits, 0.7, sample), op(LOGITS, 0.7, sample).numpy()
    expected[0 if expected.ndim == 1 else (0, 1)] = np.nan
    assert_close(found, expected)


@densities
def test_half_precision_is_computed_in_float32(op, definition, sample):
    half = [tf.constant(array, tf.float16) for array in (LOGITS, sample)]
    logits, x = (tf.cast(tensor, tf.float32) for tensor in half)
    found = op(half[0], 0.7, half[1])
    assert found.dtype == tf.float32
    assert_close(found, op(logits, 0.7, x))


@densities
def test_bad_arguments_are_an_error(op, definition, sample):
    with pytest.raises(ValueError, match="Received: temperature=0"):
        op(LOGITS, 0, sample)
    with pytest.raises(TypeError, match="of dtype int32"):
        op(LOGITS, 1.0, np.ones([2, 4], "int32"))
    with pytest.raises(TypeError, match="`logits` .*of dtype int32"):
        op(np.ones([2, 4], "int32"), 1.0, sample)


@pytest.mark.parametrize("name", ["concrete", "exp_concrete"])
def test_logits_of_another_shape_are_an_error(name):
    op, _, sample = DENSITIES[name]
    with pytest.raises(ValueError, match=r"`logits` .*shape \(2, 3\)"):
        op(LOGITS[:, :3], 1.0, sample)
    with pytest.raises(ValueError, match=r"`logits` .*shape \(1, 2, 4\)"):
        op(LOGITS[None], 1.0, sample)
    with pytest.raises(ValueError, match="sample.*at least 2 categories"):
        op(LOGITS[:, :1], 1.0, sample[:, :1])
    with pytest.raises(ValueError, match="`axis` .*Received: axis=2"):
        op(LOGITS, 1.0, sample, axis=2)


def test_recommended_temperatures():
    """Those that were published, and the best single value elsewhere."""
    recommended = tg.recommended_temperature
    assert [recommended(k) for k in (2, 4, 8)] == [2 / 3, 1, 2 / 3]
    assert [recommended(k, "prior") for k in (2, 4, 8)] == [1 / 2, 2 / 3, 2 / 5]
    for k in (3, 5, 20):
        assert recommended(k) == recommended(k, role="prior") == 2 / 3
    with pytest.raises(ValueError, match="Received: categories=1"):
        recommended(1)
    with pytest.raises(TypeError, match="Received: categories=2.0"):
        recommended(2.0)
    with pytest.raises(ValueError, match="`role` .*Received: role='best'"):
        recommended(2, "best")
