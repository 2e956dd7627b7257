"""Learned control variates: what they reach, and what they achieve."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    bind,
    build,
    gradients,
    randomize,
    repeated,
)
from tfgumbel import estimators

LEARNED = {
    "nvil": {},
    "rebar": {},
    "relax": {},
    "relax-cost": {"relaxed_cost": True},
}
# With several samples per example.
LEARNED_OF_SEVERAL = {
    "rebar-independent": {"tied": False},
    "double_cv": {"alpha": -0.5},
    "rodeo": {"samples": 3, "units": 5},
}


def learned(id, law="categorical", batch=4):
    keras.utils.set_random_seed(3)
    arguments = {**LEARNED, **LEARNED_OF_SEVERAL}[id]
    estimator = estimators.get(id.split("-")[0], distribution=law, **arguments)
    logits = repeated(LOGITS[law], batch)
    build(estimator, logits)
    randomize(estimator)
    return estimator, logits, repeated(WEIGHTS[law], batch)


@pytest.mark.parametrize("id", LEARNED)
def test_cost_weights_see_the_discrete_sample_only(id):
    # d cost / d w at the sample, whatever the control variate is.
    estimator, logits, w = learned(id)
    found = []
    for seed in (1, 2, 3):
        randomize(estimator, seed)
        value, _, wrt_w = gradients(
            estimator, COSTS["quadratic"], logits, w, [5, 6]
        )
        found.append(wrt_w.numpy())
        # The value is that of a one-hot sample too: find it by its gradient,
        # 2 (z·w + 0.6) z; it may be zero.
        size = tf.abs(wrt_w)
        z = tf.math.divide_no_nan(
            size, tf.reduce_max(size, axis=1, keepdims=True)
        )
        np.testing.assert_array_equal(tf.round(z), z)
        np.testing.assert_allclose(value, COSTS["quadratic"](z, w), rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("id", [*LEARNED, *LEARNED_OF_SEVERAL])
def test_training_the_control_variate_reaches_nothing_else(id):
    estimator, logits, w = learned(id)
    outcome = []
    for trainable in (True, False):
        estimator.trainable = trainable
        outcome.append(
            gradients(estimator, COSTS["quadratic"], logits, w, [5, 6])
        )
        # A running mean would make the second call another estimate.
        for variable in estimator.non_trainable_variables:
            if "mean" in variable.path or "weight" in variable.path:
                variable.assign(tf.zeros_like(variable))
    for one, other in zip(*outcome, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "id", ["rebar", "relax", "relax-cost", *LEARNED_OF_SEVERAL]
)
@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
def test_the_training_signal_is_the_gradient_of_the_square(id, law):
    # Against finite differences, with weights of either sign per example.
    estimator, logits, w = learned(id, law)
    upstream = tf.constant([0.3, -1.0, 0.0, 2.0])

    def objective():
        found = gradients(estimator, COSTS["quadratic"], logits, w, [5, 6])[1]
        axes = list(range(1, len(found.shape)))
        square = np.square(found.numpy().astype("float64")).sum(tuple(axes))
        return np.sum(np.abs(upstream) * square)

    with tf.GradientTape() as tape:
        cost = estimator(bind(COSTS["quadratic"], w), logits, [5, 6])
    variables = estimator.trainable_variables
    found = tape.gradient(cost, variables, output_gradients=upstream)
    for variable, gradient in zip(variables, found, strict=True):
        place = (0,) * len(variable.shape)
        start, step = variable.numpy(), 1e-2
        values = []
        for sign in (1, -1):
            moved = np.array(start)
            moved[place] += sign * step
            variable.assign(moved)
            values.append(objective())
        variable.assign(start)
        slope = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(
            gradient.numpy()[place], slope, rtol=2e-2, atol=2e-4
        )


@pytest.mark.parametrize("law", ["bernoulli", "categorical", "permutation"])
def test_a_network_that_begins_at_zero_learns(law):
    """At first its slope in z is zero; the derivative of that is not."""
    keras.utils.set_random_seed(3)
    estimator = estimators.RELAX(law)
    numbers = np.random.default_rng(0).normal(size=(8, 3))
    logits = tf.constant(numbers, tf.float32)
    estimator.build(logits.shape)
    last = estimator.network.output_layer.kernel
    step = np.random.default_rng(1).normal(size=last.shape).astype("float32")

    def cost(z):
        return tf.square(z[(..., *[0] * (len(z.shape) - 1))] - 0.4)

    def slopes(scale):
        last.assign(scale * step)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = estimator(cost, logits, [1, 2])
        return tape.gradient(value, [logits, last.value])

    found = slopes(0.0)[1]
    ends = [np.sum(np.square(slopes(scale)[0])) for scale in (1.0, -1.0)]
    expected = (ends[0] - ends[1]) / 2.0  # exact: it is quadratic
    assert abs(expected) > 0.1
    np.testing.assert_allclose(tf.reduce_sum(found * step), expected, rtol=1e-3)


def test_the_default_network_sees_softened_samples_and_the_context():
    keras.utils.set_random_seed(3)
    network = estimators.ControlVariate("categorical", units=4)
    z, context = repeated(LOGITS["categorical"], 2), repeated([0.3, -0.4], 2)
    network.build([z.shape, context.shape])
    randomize(network, scale=1.0)
    w, b, v, c = (weight.numpy() for weight in network.trainable_variables)
    inputs = np.hstack([np.reshape(tf.nn.softmax(z), [2, -1]), context])
    expected = np.tanh(inputs @ w + b) @ v + c
    np.testing.assert_allclose(network([z, context]), expected[:, 0], rtol=1e-5)


def test_nvil_trains_its_network_by_least_squares():
    estimator, logits, w = learned("nvil")
    upstream = tf.constant([0.3, -1.0, 0.0, 2.0])
    with tf.GradientTape() as tape:
        cost = estimator(bind(COSTS["quadratic"], w), logits, [5, 6])
    variables = estimator.trainable_variables
    found = tape.gradient(cost, variables, output_gradients=upstream)
    with tf.GradientTape() as tape:
        error = cost - estimator.baseline(logits)
        loss = tf.reduce_sum(tf.abs(upstream) * tf.square(error))
    expected = tape.gradient(loss, variables)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


# The toy problem E (b - t)², b ~ Bernoulli(½).


def toy_cost(target):
    return lambda z: tf.square(z[:, 0] - target)


def train(estimator, target, steps, batch=200, rate=0.01):
    logits = tf.zeros([batch, 1])
    build(estimator, logits)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    )
    optimizer.build(estimator.trainable_variables)

    @tf.function(autograph=False)
    def step(index):
        with tf.GradientTape() as tape:
            seed = tf.stack([index, 7])
            cost = estimator(toy_cost(target), logits, seed)
            loss = tf.reduce_mean(cost)
        variables = estimator.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )

    for index in tf.range(steps):
        step(index)


def toy_variance(estimator, target, draws=100_000):
    logits = tf.zeros([draws, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = estimator(toy_cost(target), logits, [2, 9])
    return float(np.var(tape.gradient(cost, logits)))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "target", "rate", "steps", "factor"),
    [
        # Its optimum is far: η = 101 and a very large τ, where the relaxed
        # cost is a constant plus a line.
        ("rebar", 0.45, 1.0, 1500, 100),
        ("relax", 0.45, 0.02, 500, 1000),
        ("relax", 0.499, 0.02, 500, 10_000),
    ],
)
def test_learned_control_variates_on_the_toy_problem(
    name, target, rate, steps, factor
):
    keras.utils.set_random_seed(1)
    estimator = estimators.get(name, distribution="bernoulli")
    train(estimator, target, steps, rate=rate)
    plain = toy_variance(estimators.Reinforce("bernoulli"), target)
    np.testing.assert_allclose(plain, 0.0159, rtol=0.05)
    assert toy_variance(estimator, target) < plain / factor


class ToyNetwork(keras.layers.Layer):
    """The RELAX authors' network for this problem: ten ReLU units, no context.

    At a step size of 0.01 and one sample, a wider one moves too much.
    """

    def __init__(self):
        super().__init__(dtype="float32")
        self.hidden = keras.layers.Dense(10, activation="relu")
        self.last = keras.layers.Dense(1, kernel_initializer="zeros")

    def build(self, input_shape):
        self.hidden.build((None, 1))
        self.last.build((None, 10))

    def call(self, inputs):
        z, _ = inputs
        return self.last(self.hidden(2 * tf.sigmoid(z) - 1))


def toy_training(estimator, seed, steps=10_000, target=0.499):
    """θ = σ(φ) after single-sample training of the logit and the network."""
    estimator.build((1, 1), (1, 1))
    logit = keras.Variable(np.zeros([1, 1], "float32"))
    variables = [logit, *estimator.trainable_variables]
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(index):
        with tf.GradientTape() as tape:
            cost = estimator(
                toy_cost(target),
                tf.convert_to_tensor(logit),
                tf.stack([index, seed]),
            )
        sources = [variable.value for variable in variables]
        optimizer.apply_gradients(
            zip(tape.gradient(cost, sources), variables, strict=True)
        )

    @tf.function
    def run():
        for index in tf.range(steps):
            step(index)

    run()
    return float(tf.sigmoid(logit)[0, 0])


@pytest.mark.slow
def test_relax_solves_the_toy_problem_and_reinforce_does_not():
    relax, reinforce = [], []
    for seed in range(10):
        keras.utils.set_random_seed(seed)
        estimator = estimators.RELAX("bernoulli", network=ToyNetwork())
        relax.append(toy_training(estimator, seed))
        estimator = estimators.Reinforce("bernoulli")
        reinforce.append(toy_training(estimator, seed))
    assert sum(theta < 0.05 for theta in relax) >= 9, relax
    assert all(theta >= 0.05 for theta in reinforce), reinforce


@pytest.mark.parametrize(
    ("name", "options", "learned"),
    [
        ("double_cv", {}, ["alpha"]),
        ("double_cv", {"learn_alpha": False}, []),
        ("rebar", {}, ["eta", "log_temperature"]),
        ("rebar", {"learn_eta": False}, ["log_temperature"]),
        ("rebar", {"learn_temperature": False}, ["eta"]),
    ],
)
def test_what_is_not_to_be_learned_is_not(name, options, learned):
    estimator = estimators.get(name, **options)
    assert [v.name for v in estimator.trainable_variables] == learned
    assert len(estimator.variables) == (1 if name == "double_cv" else 2)
