"""Training runs: what is measured on the way changes nothing."""

import numpy as np
import pytest

from tfgumbel.diagnostics.problems import Quadratic
from tfgumbel.diagnostics.training import Curve, train


def curve(every, name="nvil", steps=6):
    problem = Quadratic(variables=3, target=0.3)
    estimator = problem.estimator(name, seed=1)
    found = train(problem, estimator, steps, every, seed=4, draws=200)
    return found, [weight.numpy() for weight in estimator.variables]


@pytest.mark.full
def test_measuring_more_often_gives_the_same_run():
    often, weights = curve(every=2)
    once, other_weights = curve(every=6)
    assert often.step == [0, 2, 4, 6] and once.step == [0, 6]
    assert often.cost[::3] == once.cost
    assert often.variance[::3] == once.variance
    for a, b in zip(weights, other_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_variance_is_that_of_the_formula():
    # At θ = ½ RLOO of two samples: E (f - f')² |b - b'|² / 16 per pair.
    found, _ = curve(every=6, name="rloo")
    costs = np.mean(
        [[(b - 0.3) ** 2 for b in bits] for bits in np.ndindex(2, 2, 2)], axis=1
    )
    bits = np.array(list(np.ndindex(2, 2, 2)))
    pairs = [
        (costs[i] - costs[j]) / 2 * (bits[i] - bits[j])
        for i in range(8)
        for j in range(8)
    ]
    assert found.variance[0] == pytest.approx(
        np.var(pairs, axis=0).sum(), rel=0.2
    )
    assert found.cost[0] == pytest.approx(costs.mean())


def test_a_curve_in_json_has_no_infinity():
    found = Curve([0, 1], [1.0, np.inf], [np.nan, 2.0]).to_dict()
    assert found["cost"] == [1.0, None] and found["variance"] == [None, 2.0]
