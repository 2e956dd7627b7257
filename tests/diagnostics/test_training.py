"""Training runs: what is measured on the way changes nothing."""

import numpy as np
import pytest
import tensorflow as tf

from tfgumbel.diagnostics.problems import DigitsVae, Quadratic
from tfgumbel.diagnostics.training import Curve, train


class OfExamples(Quadratic):
    """Several examples, all alike."""

    def __init__(self, examples):
        super().__init__(variables=3, target=0.3)
        self.probe = tf.zeros([examples])

    def batch(self, step):
        return self.probe

    def logits(self, examples):
        return tf.repeat(super().logits(examples), len(examples), axis=0)


class Upwards(OfExamples):
    """Its penalty outweighs the cost, which pulls φ down."""

    def penalty(self, logits):
        return -tf.reduce_sum(logits, axis=1)


def curve(every, name="nvil", steps=6, problem=None):
    problem = problem or OfExamples(1)
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


@pytest.mark.parametrize("examples", [1, 3])
def test_the_variance_is_that_of_the_formula(examples):
    # At θ = ½ RLOO of two samples: E (f - f')² |b - b'|² / 16 per pair.
    problem = OfExamples(examples)
    found, _ = curve(every=6, name="rloo", problem=problem)
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


@pytest.mark.full
@pytest.mark.parametrize("problem", [OfExamples, Upwards])
def test_the_penalty_is_part_of_what_is_minimised(problem):
    made = problem(2)
    curve(every=10, name="rloo", steps=10, problem=made)
    sign = 1.0 if problem is Upwards else -1.0
    assert np.all(sign * made.phi.numpy() > 0.0)


@pytest.mark.full
def test_the_bound_of_digits_is_that_of_images_left_out():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    problem = DigitsVae()
    for network, bias in ((problem.encoder, 1.0), (problem.decoder, 0.0)):
        network.set_weights([0.0 * weight for weight in network.get_weights()])
        network.layers[-1].bias.assign_add([bias] * network.output_shape[-1])
    # Every pixel is a fair coin, and every variable one of sigmoid(1).
    p = np.array([1.0, np.e]) / (1.0 + np.e)
    divergence = np.sum(p * np.log(2.0 * p))
    expected = 64 * np.log(2.0) + 20 * divergence
    assert problem.evaluate() == pytest.approx(expected)
    trained, tested = problem.images.numpy(), problem._test.numpy()
    assert len(trained) == 1500 and len(tested) == 2970
    every = np.concatenate([trained, tested[:297]])
    total = load_digits().data.sum() / 16.0
    assert every.sum(dtype="float64") == pytest.approx(total)


def test_a_curve_in_json_has_no_infinity():
    found = Curve([0, 1], [1.0, np.inf], [np.nan, 2.0]).to_dict()
    assert found["cost"] == [1.0, None] and found["variance"] == [None, 2.0]
