"""ARMS: its copulas, and what it is with two samples."""

import numpy as np
import pytest
import tensorflow as tf

from tests.estimators.test_two_roads import total_variance
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    gradients,
    repeated,
)
from tfgumbel import estimators, random
from tfgumbel.estimators.arms import COPULAS

PROBABILITIES = (0.02, 0.1, 0.3, 0.45, 0.5)


@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("copula", COPULAS)
def test_the_correlation_is_that_of_the_draws(copula, count):
    draws = 200_000
    q = np.array(PROBABILITIES, "float32")
    log_q = tf.repeat(tf.math.log(q)[None], draws, axis=0)
    rare, factor = COPULAS[copula](count, log_q, [3, 5])
    rare = rare.numpy().astype("float64")
    # Each by itself is exact.
    error = np.sqrt(q * (1 - q) / draws)
    assert np.all(np.abs(rare.mean(axis=1) - q) < 5 * error)
    # P(both), of all pairs, by the count of each draw.
    total = rare.sum(axis=0)
    pairs = total * (total - 1) / (count * (count - 1))
    expected = q - q * (1 - q) / factor.numpy()[0]
    error = pairs.std(axis=0) / np.sqrt(draws)
    assert np.all(np.abs(pairs.mean(axis=0) - expected) < 5 * error + 1e-7)
    # Negative, with room to be seen as such.
    assert np.all(expected < q**2) and np.all(5 * error < 0.03 * q)


@pytest.mark.parametrize("copula", COPULAS)
def test_rare_values_keep_their_rate_and_certain_ones_no_noise(copula):
    log_q = tf.constant([-np.inf, -80.0, np.log(1e-4)], tf.float32)
    log_q = tf.repeat(log_q[None], 300_000, axis=0)
    rare, factor = COPULAS[copula](4, log_q, [3, 5])
    rate = rare.numpy().mean(axis=(0, 1))
    np.testing.assert_array_equal(rate[:2], [0.0, 0.0])
    np.testing.assert_allclose(rate[2], 1e-4, rtol=0.35)
    np.testing.assert_allclose(factor[0], [1, 1, 1 - 1e-4], rtol=1e-5)


def test_a_small_share_of_the_simplex_is_not_lost(monkeypatch):
    """1 - d of the first is 1e-10, which float32 cannot tell from 0."""
    own = tf.constant([[1.0, 1.0], [1e-10, 1e-10]])
    monkeypatch.setattr(random, "exponential", lambda shape, seed: own)
    log_q = tf.math.log([1e-12, 1e-8])
    rare, _ = COPULAS["dirichlet"](2, log_q, [1, 2])
    np.testing.assert_array_equal(rare, [[False, True], [False, False]])


@pytest.mark.parametrize("copula", COPULAS)
def test_with_two_samples_it_is_disarm(copula):
    seen = {}

    def cost(z, w):
        seen["z"] = z.numpy()
        return COSTS["quadratic"](z, w)

    logits, w = (
        repeated(values["bernoulli"], 20_000) for values in (LOGITS, WEIGHTS)
    )
    arms = estimators.ARMS(samples=2, copula=copula)
    found = gradients(arms, cost, logits, w, [1, 2])[1]
    first, second = np.split(seen["z"], 2)
    f = [COSTS["quadratic"](z, w).numpy()[:, None] for z in (first, second)]
    disarm = estimators.DisARM()
    factor = disarm.direction(logits, None, first, second)
    np.testing.assert_allclose(found, (f[0] - f[1]) * factor, atol=1e-5)
    # And the pairs are opposite as often: with 2 min(p, 1 - p).
    p = 1 / (1 + np.exp(-LOGITS["bernoulli"]))
    apart = np.mean(first != second, axis=0)
    np.testing.assert_allclose(apart, 2 * np.minimum(p, 1 - p), atol=0.02)


@pytest.mark.parametrize("copula", COPULAS)
def test_antithetic_samples_have_less_variance(copula):
    arms = total_variance(estimators.ARMS(samples=4, copula=copula))
    assert arms < 0.8 * total_variance(estimators.RLOO("bernoulli", samples=4))
    assert arms < 0.7 * total_variance(estimators.DisARM(samples=2))


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least 2.*samples=1"):
        estimators.ARMS(samples=1)
    with pytest.raises(ValueError, match="'gaussian'.*Received.*'clayton'"):
        estimators.ARMS(copula="clayton")
    with pytest.raises(ValueError, match="pairs of opposite.*unordered_set"):
        estimators.ARMS("categorical")


def test_nan_logits_stay_with_their_example():
    logits = repeated(LOGITS["bernoulli"], 4).numpy()
    logits[2, 1] = np.nan
    logits[1, 0] = np.inf
    found = gradients(
        estimators.ARMS(),
        *(COSTS["quadratic"], tf.constant(logits)),
        *(repeated(WEIGHTS["bernoulli"], 4), [1, 2]),
    )
    others = np.arange(4) != 2
    assert np.isnan(found[0][2]) and np.all(np.isnan(found[1][2]))
    assert np.all(np.isfinite(found[1].numpy()[others]))
