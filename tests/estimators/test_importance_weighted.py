"""IWAE, DReG and STL on a Gaussian model whose likelihood is known.

z ~ N(0, I) and x|z ~ N(z + θ, I), so that x ~ N(θ, 2 I) and the posterior of z
is N((x - θ)/2, I/2). q has another mean and variance. The gradients of the
bound of two samples stand in the table of estimators, against quadrature.
"""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfgumbel import estimators

X = np.array([1.2, -0.7], "float32")
MEAN = X / 2 + np.array([0.4, -0.3], "float32")
LOG_VARIANCE = np.full(2, math.log(0.5) + 0.5, "float32")
SAMPLES = (1, 4, 16, 64)
DRAWS = 20_000


@functools.cache
def estimates(name, samples, mean=tuple(MEAN), log_variance=LOG_VARIANCE[0]):
    """Values, and gradients in μ, log σ² and θ, `[DRAWS, ...]`."""
    estimator = estimators.get(name, distribution="gaussian", samples=samples)
    mean = tf.tile(tf.constant(mean)[None], [DRAWS, 1])
    log_variance = tf.fill([DRAWS, 2], log_variance)
    theta = tf.zeros([DRAWS, 2])

    def cost(z):  # -log p(x, z)
        error = X - z - estimators.tile_context(theta, z)
        squares = tf.reduce_sum(tf.square(z) + tf.square(error), axis=1)
        return squares / 2 + 2 * math.log(2 * math.pi)

    with tf.GradientTape() as tape:
        tape.watch([mean, log_variance, theta])
        value = estimator(cost, (mean, log_variance), [1, 2])
    found = tape.gradient(value, [mean, log_variance, theta])
    return [np.asarray(part, "float64") for part in (value, *found)]


def mean_and_error(draws):
    return draws.mean(axis=0), draws.std(axis=0) / np.sqrt(len(draws))


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_the_bias_falls_with_samples(name):
    """Of the value for -log p(x), and of the gradient in θ for its gradient.

    Both fall as 1/S.
    """
    exact = np.sum(X**2 / 4 + np.log(4 * np.pi) / 2)
    biases = []
    for samples in SAMPLES:
        value, _, _, theta = estimates(name, samples)
        above, error = mean_and_error(value - exact)
        slope, slope_error = mean_and_error(theta + X / 2)
        assert above > 3 * error and np.all(np.abs(slope) > 3 * slope_error)
        biases.append([above, *np.abs(slope)])
    ratios = np.divide(biases[:-1], biases[1:])
    assert np.all((ratios > 2.5) & (ratios < 10)), ratios


@pytest.mark.full
def test_signal_to_noise_of_the_proposal():
    """IWAE's falls as 1/√S, DReG's rises as √S (Tucker 2019, Rainforth 2018).

    DReG knows the mean better, so that it is the signal of both.
    """
    iwae, dreg = [], []
    for samples in SAMPLES:
        rows = estimates("iwae", samples)[1], estimates("dreg", samples)[1]
        signal = np.abs(rows[1].mean(axis=0))
        dreg.append(signal / rows[1].std(axis=0))
        iwae.append(signal / rows[0].std(axis=0))
    falls = np.divide(iwae[:-1], iwae[1:])
    assert np.all((falls > 1.5) & (falls < 3)), falls
    rises = np.divide(dreg[2:], dreg[1:-1])
    assert np.all(rises > 1.5), rises
    assert np.all(np.divide(dreg[-1], iwae[-1]) > 50)


def test_dreg_has_the_mean_of_iwae_and_stl_has_not():
    for index in (1, 2):
        iwae, dreg, stl = (
            mean_and_error(estimates(name, 4)[index])
            for name in ("iwae", "dreg", "stl")
        )
        error = np.hypot(iwae[1], dreg[1])
        assert np.all(np.abs(iwae[0] - dreg[0]) < 5 * error)
        bias = np.abs(stl[0] - dreg[0])
        assert np.all(bias > 10 * np.hypot(stl[1], dreg[1]))
        assert np.all(bias > 20 * error)


def test_all_but_the_proposal_is_as_in_iwae():
    """Same samples, same value, same gradient in θ."""
    for name in ("dreg", "stl"):
        for index in (0, 3):
            np.testing.assert_allclose(
                estimates(name, 4)[index],
                estimates("iwae", 4)[index],
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize("name", ["iwae", "dreg", "stl"])
def test_one_sample_is_the_elbo(name):
    """∇(KL(q‖p(z)) + E log-likelihood): 2μ - x in μ, σ² - ½ in log σ²."""
    _, mean, log_variance, _ = estimates(name, 1)
    exact = 2 * MEAN - X, np.exp(LOG_VARIANCE) - 0.5
    for found, expected in zip((mean, log_variance), exact, strict=True):
        average, error = mean_and_error(found)
        assert np.all(5 * error < 0.25 * np.abs(expected))
        assert np.all(np.abs(average - expected) < 5 * error)


@pytest.mark.parametrize("samples", [1, 4])
def test_no_variance_at_the_posterior(samples):
    at = tuple(X / 2), math.log(0.5)
    for name, variance in (("dreg", 0.0), ("stl", 0.0), ("iwae", 0.1)):
        _, mean, log_variance, _ = estimates(name, samples, *at)
        found = min(mean.var(axis=0).min(), log_variance.var(axis=0).min())
        assert found > variance if variance else found < 1e-10


def test_the_proposal_may_be_part_of_the_model():
    """Without log q the value is that of E p(x|z) under the prior itself."""
    iwae = estimators.IWAE("gaussian", samples=64, add_log_prob=False)
    prior = tf.zeros([2000, 2]), tf.zeros([2000, 2])

    def cost(z):  # -log p(x|z)
        return tf.reduce_sum(tf.square(X - z), axis=1) / 2 + np.log(2 * np.pi)

    exact = np.sum(X**2 / 4 + np.log(4 * np.pi) / 2)
    average, error = mean_and_error(iwae(cost, prior, [1, 2]).numpy())
    # The bound of 64 samples is above by var(w)/128, about 0.02.
    assert -5 * error < average - exact < 0.05


@pytest.mark.parametrize("name", ["iwae", "dreg", "stl"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"distribution": "categorical"},
            ValueError,
            "reparameterised sample.*'categorical'.*one of .*vimco",
        ),
        ({"distribution": "poisson"}, ValueError, "one of .*vimco.*'poisson'"),
        ({"samples": 0}, ValueError, "samples=0"),
        ({"samples": 2.5}, TypeError, "samples=2.5"),
    ],
)
def test_bad_arguments_are_refused(name, arguments, error, message):
    with pytest.raises(error, match=message):
        estimators.get(name, **arguments)


@pytest.mark.parametrize("name", ["dreg", "stl"])
def test_what_drops_the_score_adds_log_q(name):
    with pytest.raises(ValueError, match="IWAE.*add_log_prob=False"):
        estimators.get(name, add_log_prob=False)


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_a_sample_without_weight_does_no_harm(name):
    """Its cost is infinite; for DReG the slope, which is all it uses, NaN."""
    estimator = estimators.get(name, distribution="gaussian", samples=8)
    mean = tf.zeros([64, 1])

    def cost(z):
        outside = tf.reduce_any(z > 1.0, axis=1)
        square = tf.reduce_sum(tf.square(z), axis=1)
        if name == "dreg":
            inside = tf.nn.relu(1.0 - z)
            square -= 0.1 * tf.reduce_sum(tf.math.log(inside), axis=1)
        return tf.where(outside, np.inf, square)

    with tf.GradientTape() as tape:
        tape.watch(mean)
        value = estimator(cost, (mean, mean), [1, 2])
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(tape.gradient(value, mean)))
