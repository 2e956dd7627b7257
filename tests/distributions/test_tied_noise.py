"""z less z given its own sample: against the conditional draw itself."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.distributions.cases import CASES


def log1mexp(x):
    """log(1 - exp(-x)), x > 0."""
    return np.log(-np.expm1(-x))


def bernoulli_noise(logits, z):
    """The logistic noise with which `conditional_logistic` gives z."""
    sign = np.where(z > 0, 1.0, -1.0)
    log_p = -np.logaddexp(0.0, -sign * logits)
    return sign * (log1mexp(np.abs(z)) + log_p) + z - logits


def categorical_noise(logits, z):
    """The Gumbel noise with which `conditional_gumbel` gives z."""
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    top = z.max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        below = z - log_p - np.log(-np.expm1(z - top))
    return np.where(z == top, top, below)


def permutation_noise(logits, z):
    """The Gumbel noise, by place, with which the draw given its order is z."""
    order = np.argsort(-z, axis=-1)
    places = np.take_along_axis(z, order, -1)
    weights = np.exp(np.take_along_axis(logits, order, -1))
    left = np.log(np.cumsum(weights[..., ::-1], -1)[..., ::-1])
    mass = np.diff(np.exp(-places), axis=-1, prepend=0.0)
    return -np.log(mass) - left


NOISE = {
    "bernoulli": bernoulli_noise,
    "categorical": categorical_noise,
    "permutation": permutation_noise,
}


def drawn(name, count=40):
    """A distribution, parameters, noise and z, in float64."""
    distribution = tg.distributions.get(name)
    rng = np.random.default_rng(5)
    logits = tf.constant(rng.normal(size=[count, 4]))
    noise = tf.cast(distribution.noise((logits,), [3, 4]), tf.float64)
    return distribution, logits, noise


@pytest.mark.parametrize("name", NOISE)
def test_it_is_z_less_the_conditional_draw_that_gives_z(name):
    distribution, logits, noise = drawn(name)
    z = distribution.perturb((logits,), noise)
    given = NOISE[name](logits.numpy(), z.numpy())
    sample = distribution.harden(z)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        free = distribution.perturb((logits,), noise)
        again = distribution.perturb_given((logits,), sample, given)
        tied = distribution.tied_difference((logits,), noise)
    np.testing.assert_allclose(again, z, atol=1e-5)
    np.testing.assert_array_equal(tied, np.zeros_like(tied))
    expected = tape.batch_jacobian(free, logits)
    expected -= tape.batch_jacobian(again, logits)
    found = tape.batch_jacobian(tied, logits)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_every_distribution_with_conditional_noise_is_here():
    conditioned = tg.distributions.Conditioned
    names = {
        case.distribution.name
        for case in CASES
        if case.distribution.lacks(conditioned) is None
    }
    assert names <= set(NOISE)


@pytest.mark.parametrize("logit", [-np.inf, -200.0, 200.0, np.inf])
def test_extreme_log_odds_give_a_finite_derivative(logit):
    bernoulli = tg.distributions.Bernoulli()
    logits = bernoulli.constrain(tf.constant([[logit]], tf.float32))[0]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        tied = bernoulli.tied_difference((logits,), tf.constant([[0.3]]))
    assert np.isfinite(tape.gradient(tied, logits))


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "permutation"])
def test_soft_samples_take_any_number_for_a_temperature(name):
    """In the precision of what is perturbed."""
    perturbed = tf.constant([[0.3, -1.2, 2.0]], tf.float64)
    distribution = tg.distributions.get(name)
    expected = distribution.soften(perturbed, tf.constant(2.0, tf.float64))
    for temperature in (2, 2.0):
        found = distribution.soften(perturbed, temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
