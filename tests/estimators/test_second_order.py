"""Straight-through estimators that are exact for a quadratic cost."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    exact_gradients,
    gradients,
    repeated,
)
from tests.helpers.statistics import assert_mean
from tfgumbel import estimators

EXACT_FOR_QUADRATICS = {
    "reinmax": {},
    "zgr": {},
    "mve": {"temperature": 1e6},
}
LAWS = ("bernoulli", "categorical")


def cubic(z, w):
    return 3.0 * tf.pow(tf.reduce_sum(z * w, axis=1) + 0.6, 3)


def draws(name, law, cost, count=200_000, **kwargs):
    estimator = estimators.get(name, distribution=law, **kwargs)
    return gradients(
        estimator,
        cost,
        repeated(LOGITS[law], count),
        repeated(WEIGHTS[law], count),
        [3, 8],
    )[1].numpy()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", EXACT_FOR_QUADRATICS)
def test_exact_in_expectation_for_a_quadratic(name, law):
    found = draws(name, law, COSTS["quadratic"], **EXACT_FOR_QUADRATICS[name])
    exact = exact_gradients(COSTS["quadratic"], law)[1].numpy()[0]
    assert_mean(found, exact, 0.05)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", EXACT_FOR_QUADRATICS)
def test_biased_beyond(name, law):
    found = draws(name, law, cubic, **EXACT_FOR_QUADRATICS[name])
    exact = exact_gradients(cubic, law)[1].numpy()[0]
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.max(np.abs(found.mean(axis=0) - exact) / error) > 8


@pytest.mark.full
@pytest.mark.parametrize("law", LAWS)
def test_gumbel_rao_keeps_the_mean_and_loses_variance(law):
    cost = COSTS["quadratic"]
    single = draws("st_gumbel", law, cost)
    averaged = draws("gumbel_rao", law, cost, count=50_000, noise_samples=16)
    assert_mean(single, averaged.mean(axis=0), 0.05)
    assert np.all(averaged.var(axis=0) < single.var(axis=0))
