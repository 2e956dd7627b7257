"""Every estimator against enumeration, with power to see a bias."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.cases import estimator_cases
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    bind,
    build,
    exact_bound_gradients,
    exact_gradients,
    gradients,
    parameters,
    randomize,
    repeated,
)
from tfgumbel import estimators


def require_agreement(draws, exact, bias):
    """|mean - exact| < 5 SE, where 5 SE is below the bias worth catching."""
    draws = np.asarray(draws, "float64")
    error = draws.std(axis=0) / np.sqrt(len(draws))
    exact = np.asarray(exact)[0]
    # Rounding in float32 is all that is left of a variance of zero.
    bound = 5 * error + 1e-5
    assert np.max(bound) < bias * np.max(np.abs(exact))
    difference = np.abs(draws.mean(axis=0) - exact)
    assert np.all(difference < bound), (difference / bound).max()


def measured(case, law, cost, draws, jit_compile=None):
    estimator = case.make(law)
    logits = repeated(LOGITS[law], draws)
    w = repeated(WEIGHTS[law], draws)
    build(estimator, logits)
    randomize(estimator)
    past = 100 if draws > 100 else draws
    estimator(
        bind(cost, w[:past]), parameters(law, logits[:past]), [3, 1]
    )  # Gives baselines a past.

    def run(logits, w, seed):
        return gradients(estimator, cost, logits, w, seed)

    if jit_compile is not None:
        run = tf.function(run, jit_compile=jit_compile)
    return run(logits, w, tf.constant([20, 26]))


def exact(case, cost, law):
    if case.multi_sample_bound:
        with_log_prob = case.kwargs.get("add_log_prob", True)
        return exact_bound_gradients(cost, law, add_log_prob=with_log_prob)
    return exact_gradients(cost, law)


def is_unbiased(case):
    return case.cls.unbiased


@pytest.mark.core
@pytest.mark.parametrize("cost", ["linear", "quadratic", "step"])
@pytest.mark.parametrize(("case", "law"), **estimator_cases(is_unbiased))
def test_unbiased(case, law, cost):
    if cost == "step" and (
        case.cls.needs_gradient or case.kwargs.get("relaxed_cost")
    ):
        pytest.skip("needs the gradient of the cost")
    if cost == "step" and law == "gaussian":
        pytest.skip("quadrature needs a smooth cost")
    cost = COSTS[cost]
    found = measured(case, law, cost, case.draws)
    for draws, reference in zip(found, exact(case, cost, law), strict=True):
        require_agreement(draws, reference, case.bias)


def direct_exact(cost, law):
    """E f and its gradient in NumPy, independent of the package."""
    logits, w = LOGITS[law].astype("float64"), WEIGHTS[law]
    if law == "bernoulli":
        logits = np.stack([np.zeros_like(logits), logits], axis=-1)
    q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    value, gradient = 0.0, np.zeros_like(q)
    for state in np.ndindex(*[q.shape[1]] * len(q)):
        one_hot = np.eye(q.shape[1])[list(state)]
        z = one_hot[:, 1:] if law == "bernoulli" else one_hot
        z = tf.constant(z.reshape(1, -1), tf.float32)
        weighted = np.prod(np.sum(q * one_hot, -1)) * float(cost(z, w[None])[0])
        value += weighted
        gradient += weighted * (one_hot - q)
    return value, gradient[:, 1] if law == "bernoulli" else gradient


@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_exact_is_the_sum_over_states(law, cost):
    value, gradient, _ = exact_gradients(cost, law)
    expected, expected_gradient = direct_exact(cost, law)
    np.testing.assert_allclose(value, [expected], rtol=1e-5)
    np.testing.assert_allclose(gradient[0], expected_gradient, atol=1e-6)


def is_default(case):
    return is_unbiased(case) and case.id.split("-")[0] == case.id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "law"), **estimator_cases(is_default, laws=("categorical",))
)
def test_unbiased_under_xla(case, law):
    cost = COSTS["quadratic"]
    found = measured(case, law, cost, case.draws, jit_compile=True)
    for draws, reference in zip(found, exact(case, cost, law), strict=True):
        require_agreement(draws, reference, case.bias)


@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
@pytest.mark.parametrize(
    "name", ["gumbel_softmax", "st_gumbel", "st", "gumbel_rao", "gapped"]
)
def test_biased_at_temperature_one(name, law):
    found = bias_at(name, law, 1.0)
    assert np.max(found[0] / found[1]) > 10


@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
@pytest.mark.parametrize("name", ["gumbel_softmax", "st_gumbel"])
def test_bias_falls_with_the_temperature(name, law):
    biases = [bias_at(name, law, tau)[0].max() for tau in (1.0, 0.5, 0.1)]
    assert biases[0] > 1.5 * biases[1] > 2.25 * biases[2], biases


def bias_at(name, law, temperature, draws=200_000):
    estimator = estimators.get(name, distribution=law, temperature=temperature)
    cost = COSTS["quadratic"]
    _, found, _ = gradients(
        estimator,
        cost,
        repeated(LOGITS[law], draws),
        repeated(WEIGHTS[law], draws),
        [4, 9],
    )
    found = found.numpy().astype("float64")
    reference = exact_gradients(cost, law)[1].numpy()[0]
    error = found.std(axis=0) / np.sqrt(draws)
    return np.abs(found.mean(axis=0) - reference), error


@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
def test_straight_through_is_unbiased_for_a_linear_cost(law):
    # Its slope is the same everywhere, so each draw is exact.
    _, found, _ = gradients(
        estimators.ST(law),
        COSTS["linear"],
        repeated(LOGITS[law], 5),
        repeated(WEIGHTS[law], 5),
        [1, 2],
    )
    reference = exact_gradients(COSTS["linear"], law)[1]
    np.testing.assert_allclose(
        found, np.repeat(reference, 5, axis=0), atol=1e-6
    )


@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
@pytest.mark.parametrize("name", ["st", "st_gumbel"])
def test_straight_through_gives_the_exact_gradient_of_cost_weights(name, law):
    cost = COSTS["quadratic"]
    found = gradients(
        estimators.get(name, distribution=law),
        cost,
        repeated(LOGITS[law], 100_000),
        repeated(WEIGHTS[law], 100_000),
        [5, 8],
    )
    reference = exact_gradients(cost, law)
    require_agreement(found[0], reference[0], 0.1)
    require_agreement(found[2], reference[2], 0.1)
