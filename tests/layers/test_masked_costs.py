"""Masks in the layers that know a cost or a divergence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import tensors

# The masked category is by far the likeliest.
LOGITS = np.array([[0.0, 9.0, 1.0], [0.5, -1.0, 2.0]], "float32")
MASK = np.array([[True, False, True], [True, True, True]])
VALUES = np.array([1.0, 50.0, 3.0], "float32")
NAMES = ["exact", "nvil", "rloo", "rebar", "relax", "muprop", "reinmax"]


def legal_softmax(logits=LOGITS, mask=MASK):
    weights = np.exp(np.asarray(logits, "float64")) * mask
    return weights / weights.sum(-1, keepdims=True)


def cost_of(z):
    return tf.linalg.matvec(z, VALUES)


def cost_and_gradient(layer, logits, mask):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = layer(logits, category_mask=mask, training=True)
        total = tf.reduce_sum(cost)
    return cost, tape.gradient(total, logits)


@pytest.mark.parametrize("name", NAMES)
def test_expected_cost_never_draws_a_masked_category(name):
    layer = tg.ExpectedCost(cost_of, name, seed=1)
    many = [np.repeat(array, 500, axis=0) for array in (LOGITS, MASK)]
    cost, gradient = cost_and_gradient(layer, *tensors(many))
    assert np.max(cost[:500]) <= 3.0 + 1e-5 and np.min(cost[:500]) >= 1 - 1e-5
    assert np.all(gradient[:500, 1] == 0)
    found = np.asarray(gradient, "float64").reshape(2, 500, 3)
    p = legal_softmax()
    error = found.mean(1) - p * (VALUES - (p @ VALUES)[:, None])
    bound = 5 * found.std(1) / np.sqrt(500) + 1e-5
    assert np.all(np.abs(error) < bound)


@pytest.mark.parametrize("name", ["rloo", "exact"])
def test_one_mask_may_serve_every_example(name):
    logits = tf.constant(LOGITS)
    found = [
        cost_and_gradient(tg.ExpectedCost(cost_of, name, seed=1), logits, mask)
        for mask in (MASK[0], np.tile(MASK[:1], [2, 1]))
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_enumeration_asks_no_cost_of_a_masked_category():
    # There it is infinite, and so is its slope.
    weights = tf.Variable([0.2, 0.5, 0.7])
    layer = tg.ExpectedCost(
        lambda z: -tf.math.log(tf.linalg.matvec(z, weights)), "exact"
    )
    logits, mask = tensors((LOGITS, MASK))
    with tf.GradientTape() as tape:
        cost, gradient = cost_and_gradient(layer, logits, mask)
    p, costs = legal_softmax(), -np.log([0.2, 0.5, 0.7])
    np.testing.assert_allclose(cost, p @ costs, rtol=1e-5)
    expected = p * (costs - (p @ costs)[:, None])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    found = tape.gradient(cost, weights)
    np.testing.assert_allclose(found, -p.sum(0) / weights, rtol=1e-5)


def test_a_learned_baseline_sees_the_logits_before_the_mask():
    """As if they were its context: none that a mask made extreme."""
    logits, mask = tensors((LOGITS, MASK))
    found = []
    for context in ([], [logits]):
        keras.utils.set_random_seed(2)
        layer = tg.ExpectedCost(lambda z, *_: cost_of(z), "nvil", seed=1)
        with tf.GradientTape() as tape:
            cost = layer(logits, *context, category_mask=mask, training=True)
        found.append(tape.gradient(cost, layer.trainable_variables))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_expected_cost_of_a_row_without_a_legal_category():
    """That of no category; the other row is what it is without it."""
    layer = tg.ExpectedCost(cost_of, "reinmax", seed=1)
    layer(LOGITS)

    @tf.function
    def masked(mask):
        return cost_and_gradient(layer, tf.constant(LOGITS), mask)

    mask = MASK.copy()
    mask[0] = False
    cost, gradient = masked(tf.constant(mask))
    assert cost[0] == 0 and np.all(gradient[0] == 0)
    assert cost[1] != 0 and np.any(gradient[1] != 0)


def test_sampler_scores_among_the_legal_categories():
    layer = tg.ReinforceSampler(return_log_prob=True, seed=2)
    logits, mask = tensors((LOGITS, MASK))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z, log_prob = layer(logits, category_mask=mask, training=True)
    p, z = legal_softmax(), np.asarray(z)
    expected = np.log((p * z).sum(-1))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    gradient = tape.gradient(log_prob, logits)
    np.testing.assert_allclose(gradient, z - p, atol=1e-6)


@pytest.mark.parametrize("mode", ["mode", "sample", "mean"])
def test_sampler_at_inference(mode):
    layer = tg.ReinforceSampler(inference=mode, seed=2)
    z = np.asarray(layer(LOGITS, category_mask=MASK))
    assert z[0, 1] == 0
    np.testing.assert_allclose(z.sum(-1), 1, rtol=1e-6)


@pytest.mark.full
def test_sampler_trains_with_a_mask_inside_a_model():
    logits, mask = keras.Input((3,)), keras.Input((3,), dtype="bool")
    shifted = keras.layers.Dense(3, kernel_initializer="identity")(logits)
    z = tg.ReinforceSampler(seed=3)(shifted, category_mask=mask)
    y = keras.layers.Dense(1, trainable=False)(z)
    model = tg.StochasticModel([logits, mask], y)
    model.compile("sgd", "mse")
    before = model.get_weights()
    history = model.fit([LOGITS, MASK], VALUES[:2], epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    changed = [
        np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert any(changed)


@pytest.mark.parametrize("prior", [None, [1.0, 0.0, -1.0]])
def test_divergence_among_the_legal_categories(prior):
    layer = tg.CategoricalKL(prior)
    layer(LOGITS, category_mask=MASK)
    q = legal_softmax()
    base = np.zeros(3) if prior is None else np.array(prior)
    p = legal_softmax(np.tile(base, (2, 1)))
    terms = np.where(MASK, q * np.log(np.where(MASK, q / (p + ~MASK), 1)), 0)
    np.testing.assert_allclose(layer.losses[0], terms.sum(-1).mean(), rtol=1e-5)


@pytest.mark.parametrize("make", [tg.ReinforceSampler, None])
def test_only_categories_have_masks(make):
    layer = (
        tg.ExpectedCost(
            lambda z: tf.reduce_sum(z, -1), "st", distribution="bernoulli"
        )
        if make is None
        else make("bernoulli", return_log_prob=True)
    )
    message = "`category_mask` needs .*Received: distribution='bernoulli'"
    with pytest.raises(ValueError, match=message):
        layer(LOGITS, category_mask=MASK, training=True)


def test_mask_is_an_input_of_a_functional_model():
    """And of each of the layers."""
    logits, mask = keras.Input((3,)), keras.Input((3,), dtype="bool")
    passed = tg.CategoricalKL()(logits, category_mask=mask)
    layer = tg.ExpectedCost(cost_of, "nvil", inference="mode")
    model = keras.Model([logits, mask], layer(passed, category_mask=mask))
    cost = model.predict([LOGITS, MASK], verbose=0)
    np.testing.assert_allclose(cost, [3.0, 3.0], rtol=1e-6)


class MeanOfSteps(keras.layers.Layer):
    """The mean over the steps that count, of the sample and the context."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.pool = keras.layers.GlobalAveragePooling1D()

    def call(self, z, x):
        return self.pool(z)[:, 2] + tf.reduce_sum(self.pool(x), axis=-1)

    def compute_mask(self, inputs, previous_mask):
        return None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["reinforce", "rloo", "rebar", "disarm"])
def test_masked_steps_are_no_part_of_an_expected_cost(name, training):
    """However many samples the estimator evaluates it at."""
    x = keras.Input((None, 3))
    steps = keras.layers.Masking()(x)
    cost = tg.ExpectedCost(MeanOfSteps(), name)(steps, steps)
    data = np.zeros((2, 6, 3), "float32")
    data[:, :2] = [[0.0, 10.0, 50.0], [10.0, 20.0, 70.0]]
    found = keras.Model(x, cost)(data, training=training)
    np.testing.assert_allclose(found, 1.0 + 80.0, rtol=1e-6)
