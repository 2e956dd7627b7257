"""Bounds and nested estimators against enumeration, on two bits and two bits.

A tiny network has few enough states to sum over all of them.
"""

import functools
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _networks, jang_table1
from tfgumbel import estimators
from tfgumbel.diagnostics.estimates import seeded

INPUT = np.array([[1.0, 0.0, 1.0]], "float32")
TARGET = np.array([[1.0, 0.0, 1.0, 1.0]], "float32")
START = tf.constant(0, tf.int64)


def make(distribution, layers, inputs=3, pixels=4, scale=0.8):
    with seeded(3):
        network = _networks.Network(inputs, layers, pixels, distribution)
    rng = np.random.default_rng(5)
    for weight in network.weights:
        weight.assign(scale * rng.normal(size=weight.shape))
    return network


def states(network, shape):
    return [s[None] for s in network.distribution.support((1, *shape))]


def joint(network):
    """(log q(h), -log p(target | h)) of every path h through the layers."""
    for path in itertools.product(
        *(states(network, s) for s in network.layers)
    ):
        below, log_q = tf.constant(INPUT), 0.0
        for index, sample in enumerate(path):
            parameters = network.parameters(index, below)
            below = tf.constant(sample)
            log_q += network.distribution.log_prob(parameters, below)[0]
        cost = _networks.reconstruction(network.pixels(below), TARGET)[0]
        yield log_q, cost


TWO_LAYERS = [
    ("bernoulli", [(2,), (3,)]),
    pytest.param(*("categorical", [(2, 3), (1, 4)]), marks=pytest.mark.slow),
]


@pytest.mark.full
@pytest.mark.parametrize("distribution, layers", TWO_LAYERS)
def test_many_sample_bound_is_the_exact_likelihood(distribution, layers):
    network = make(distribution, layers)
    log_q, cost = (np.array(x) for x in zip(*joint(network), strict=True))
    terms = functools.partial(_networks.log_likelihoods, network)
    check_bound(terms, INPUT, np.exp(log_q), np.exp(-cost))


def check_bound(terms, inputs, q, weight, samples=300_000):
    """A bound of many samples is -log E w, given q and w of every state."""
    exact = np.sum(q * weight)
    second = np.sum(q * weight**2)
    # Delta method: the error of the logarithm of a mean.
    error = math.sqrt((second / exact**2 - 1.0) / samples)
    assert 5 * error < 0.03
    found, _ = _networks.negative_bound(
        terms, inputs, TARGET, samples, xla=False
    )
    assert abs(found + math.log(exact)) < 5 * error


@pytest.mark.full
def test_one_sample_bound_is_the_mean_cost():
    network = make("bernoulli", [(2,), (3,)])
    log_q, cost = (np.array(x) for x in zip(*joint(network), strict=True))
    weight = np.exp(log_q)
    mean = np.sum(weight * cost)
    copies = 100_000
    error = math.sqrt(np.sum(weight * (cost - mean) ** 2) / copies)

    terms = functools.partial(_networks.log_likelihoods, network)
    inputs, targets = (np.repeat(x, copies, 0) for x in (INPUT, TARGET))
    found, own_error = _networks.negative_bound(
        terms, inputs, targets, 1, xla=False
    )
    assert abs(found - mean) < 5 * error
    assert own_error == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    "distribution, layer", [("bernoulli", (3,)), ("categorical", (2, 3))]
)
def test_many_sample_bound_of_a_vae_is_the_exact_evidence(distribution, layer):
    network = make(distribution, [layer], inputs=4, scale=0.5)
    q = network.parameters(0, TARGET)
    prior = math.exp(-_networks.log_states(network))
    log_q, likelihood = [], []
    for state in states(network, layer):
        cost = _networks.reconstruction(network.pixels(state), TARGET)
        likelihood.append(math.exp(-cost[0]))
        log_q.append(network.distribution.log_prob(q, tf.constant(state))[0])
    likelihood, q = np.array(likelihood), np.exp(log_q)
    assert len(q) * prior == pytest.approx(1.0)
    terms = functools.partial(_networks.log_weights, network)
    check_bound(terms, TARGET, q, prior * likelihood / q)


@pytest.mark.full
def test_the_metric_of_the_package_gives_the_same_bound():
    """Of ten samples, on the same network: in two ways, by other noise."""
    network = make("categorical", [(2, 3)], inputs=4, scale=0.5)
    images = np.repeat(TARGET, 20_000, axis=0)
    calls = tf.Variable(0)

    terms = functools.partial(_networks.log_weights, network)

    def cost(images):
        key = [5, calls.assign_add(1)]
        return -terms(images, images, 1, key)[0]

    value, error = _networks.negative_bound(
        terms, images, images, 10, xla=False
    )
    metric = tg.LogMarginalLikelihood(cost, samples=10, chunk_size=4)
    metric.update_state(images)
    assert metric.standard_error() == pytest.approx(error, rel=0.1)
    difference = -float(metric.result()) - value
    assert abs(difference) < 5 * math.sqrt(2) * error < 0.03


def test_log_mean_exp_of_large_values():
    values = tf.constant([[-1000.0, 3.0], [-1000.0 + math.log(3.0), 3.0]])
    found = estimators.algebra.log_mean_exp(values)
    np.testing.assert_allclose(found, [-1000.0 + math.log(2.0), 3.0])


@pytest.mark.parametrize("label", ["sf", "rloo"])
def test_several_samples_need_an_estimator_through_the_sample(label):
    task = jang_table1.TASKS["sbn-bernoulli"]
    network = make("bernoulli", [(2,), (2,)])
    nodes = jang_table1.make_nodes(label, network)
    with pytest.raises(ValueError, match="Received: --train-samples 2"):
        jang_table1.make_loss(task, network, nodes, None, 0, samples=2)


def test_loss_of_many_samples_is_the_exact_likelihood(monkeypatch):
    monkeypatch.setattr(jang_table1, "HALF", 3)
    network = make("bernoulli", [(2,), (2,)])
    nodes = jang_table1.make_nodes("st", network)
    task = jang_table1.TASKS["sbn-bernoulli"]
    samples = 100_000
    loss = jang_table1.make_loss(task, network, nodes, None, 0, samples)
    images = np.concatenate([INPUT, TARGET], axis=1)
    found = loss([tf.constant(images)], tf.constant(0, tf.int64))
    exact = sum(math.exp(q - cost) for q, cost in joint(network))
    assert float(found) == pytest.approx(-math.log(exact), abs=0.02)


UNBIASED = ["sf", "muprop", "muprop_unscaled", "muprop_nested"]
UNBIASED += ["rloo", "rebar"]


@pytest.mark.full
@pytest.mark.parametrize(
    "label",
    ["sf", "muprop", "disarm"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("muprop_nested", "rloo", "rebar")
    ],
)
def test_nested_estimators_are_unbiased(label):
    check_unbiased(label, "bernoulli", [(2,), (2,)])


@pytest.mark.slow
@pytest.mark.parametrize("label", UNBIASED)
def test_nested_categorical_estimators_are_unbiased(label):
    check_unbiased(label, "categorical", [(1, 3), (1, 3)])


@pytest.mark.parametrize(
    ("label", "count"), [("sf", 1), ("muprop", 3), ("muprop_nested", 4)]
)
def test_evaluations_of_two_layers(label, count):
    nodes = jang_table1.make_nodes(label, make("bernoulli", [(2,), (2,)]))
    assert jang_table1.evaluations(nodes) == count


def test_the_gradient_of_a_linear_cost_has_no_variance():
    network = make("bernoulli", [(3,)])
    (node,) = jang_table1.make_nodes("muprop", network)
    for weight in node.trainable_variables:
        weight.assign(tf.zeros_like(weight))
    logits, weights = tf.constant([[0.3, -1.0, 0.2]]), [1.0, -2.0, 0.5]

    def cost(z):
        return tf.linalg.matvec(z, weights)

    found = []
    for seed in range(3):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = node(cost, logits, [seed, 1], INPUT, mean_field=cost)
        found.append(tape.gradient(value, logits))
    p = tf.sigmoid(logits)
    for gradient in found:
        np.testing.assert_allclose(
            gradient, p * (1 - p) * weights, rtol=1e-5, atol=1e-6
        )


@pytest.mark.full
@pytest.mark.parametrize(
    ("label", "scale", "divided"),
    [("sf", 1.0, 1.0), ("sf", 10.0, 10.0), ("muprop_unscaled", 10.0, 1.0)],
)
@pytest.mark.parametrize(
    "distribution, layer", [("bernoulli", (3,)), ("categorical", (1, 4))]
)
def test_estimate_of_the_whole_bound(
    distribution, layer, label, scale, divided
):
    """SF divides all of it by √v; MuProp without normalisation nothing."""
    network = make(distribution, [layer], inputs=4)
    nodes = jang_table1.make_nodes(label, network)
    expected, loss = whole_bound(network, nodes)
    encoder, decoder = (len(layer.weights) for layer in network.dense)
    expected = [g / divided for g in expected[:encoder]] + expected[-decoder:]
    check_mean(network, with_scale(nodes[0], scale, loss), flat(expected))


@pytest.mark.slow
def test_normalised_muprop_is_biased_on_a_vae():
    network = make("bernoulli", [(3,)], inputs=4)
    nodes = jang_table1.make_nodes("muprop", network)
    expected, loss = whole_bound(network, nodes)
    with pytest.raises(AssertionError):
        check_mean(network, with_scale(nodes[0], 10.0, loss), flat(expected))


def whole_bound(network, nodes):
    """The exact gradient of a VAE's -ELBO, and the loss of the nodes."""
    task = jang_table1.TASKS[f"vae-{network.distribution.name}"]
    exact = estimators.get("exact", distribution=network.distribution)
    exact.build((None, *network.layers[0]), (None, 4))
    images = tf.repeat(TARGET, 2000, axis=0)

    def loss(nodes, step):
        made = jang_table1.make_loss(task, network, nodes, None, 4)
        return made([images], step)

    expected = gradient_of(network, lambda: loss([exact], START))
    return expected, lambda step: loss(nodes, step)


def with_scale(node, scale, loss):
    """The loss with the running variance at the square of the scale."""

    def value(step):
        moments = {"mean": 0.0, "square": scale**2, "weight": 1.0}
        for variable in node.non_trainable_variables:
            variable.assign(moments[variable.name])
        return loss(step)

    return value


def test_a_slope_is_that_of_the_stochastic_layers_alone():
    sloped = make("bernoulli", [(2,), (3,)])
    steep = make("bernoulli", [(2,), (3,)])
    sloped.slope.assign(2.0)
    for layer in steep.dense[:-1]:
        for weight in layer.weights:
            weight.assign(2.0 * weight)
    found, expected = (
        _networks.log_likelihoods(network, INPUT, TARGET, 50, [1, 2])
        for network in (sloped, steep)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def check_unbiased(label, distribution, layers):
    network = make(distribution, layers)
    exact = gradient_of(
        network,
        lambda: tf.add_n([tf.exp(q) * cost for q, cost in joint(network)]),
    )
    nodes = jang_table1.make_nodes(label, network)
    inputs, targets = (
        tf.constant(np.repeat(x, 2000, 0)) for x in (INPUT, TARGET)
    )

    def loss(step):
        cost = network.loss(nodes, inputs, targets, tf.stack([9, step]))
        return tf.reduce_mean(cost)

    check_mean(network, loss, flat(exact))


def gradient_of(network, function):
    weights = [weight.value for weight in network.weights]
    with tf.GradientTape() as tape:
        value = function()
    return tape.gradient(value, weights)


def check_mean(network, loss, exact, calls=60):
    """The mean gradient of the loss over its steps is the exact one."""

    @tf.function(autograph=False)
    def draw(step):
        return gradient_of(network, lambda: loss(step))

    found = np.stack(
        [flat(draw(tf.constant(i, tf.int64))) for i in range(calls)]
    )
    error = found.std(axis=0, ddof=1) / math.sqrt(calls)
    assert np.max(5 * error) < 0.1 * np.max(np.abs(exact))
    np.testing.assert_array_less(
        np.abs(found.mean(axis=0) - exact), 5 * error + 1e-6
    )


def flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients]).astype("float64")
