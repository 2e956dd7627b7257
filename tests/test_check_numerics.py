"""TensorFlow's search for NaN finds none where all is well.

`tf.debugging.enable_check_numerics` stops at the first operation whose result
is not finite: at a constant of a graph, too, whether it is used or not.
"""

import pytest
import tensorflow as tf

from tests.distributions.cases import CASES
from tests.helpers.cases import ESTIMATORS, LAYERS
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    build,
    gradients,
    repeated,
)
from tests.layers.calls import differentiated, tensors, training_values

# A value that never arrives has an infinite time; and TensorFlow
# Probability's erfcx has a constant infinity.
INFINITE = ("unordered_set", "ImplicitReparam-mixture")
INFINITE += ("mixture", "truncated_normal", "inverse_gaussian")


def all_of(cases):
    chosen = [c for c in cases if not c.id.startswith(INFINITE)]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.id)


@pytest.fixture
def checked():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@all_of(LAYERS)
def test_a_layer_and_its_gradient(case, checked):
    layer, inputs = case.make(), tensors(case.inputs)

    @tf.function(autograph=False)
    def run(inputs):
        return differentiated(
            lambda inputs: training_values(layer, inputs), inputs
        )

    run(inputs)
    layer(*inputs, training=False)


@all_of(ESTIMATORS)
def test_an_estimate_and_its_gradient(case, checked):
    law = case.laws[-1]
    estimator = case.make(law)
    logits, weights = (repeated(each[law], 3) for each in (LOGITS, WEIGHTS))
    build(estimator, logits)

    @tf.function(autograph=False)
    def run(logits, weights):
        cost = COSTS["quadratic"]
        return gradients(estimator, cost, logits, weights, [1, 2])

    run(logits, weights)


@all_of(CASES)
def test_samples_of_a_distribution_and_their_densities(case, checked):
    raw = tuple(tf.constant(each, tf.float32)[None] for each in case.raw)

    @tf.function(autograph=False)
    def run(raw):
        distribution = case.distribution
        with tf.GradientTape() as tape:
            tape.watch(raw)
            given = raw[0] if len(raw) == 1 else raw
            parameters = distribution.constrain(given)
            sample = distribution.sample(parameters, tf.constant([5, 6]))
            density = distribution.log_probs(parameters, sample)
        return tape.gradient(density, raw)

    run(raw)
