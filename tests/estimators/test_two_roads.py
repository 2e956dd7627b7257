"""Two roads to one number, and who has the smaller variance."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    exact_gradients,
    gradients,
    randomize,
    repeated,
)
from tests.helpers.statistics import assert_same_mean
from tfgumbel import diagnostics, distributions, estimators, random, testing

LAWS = ("bernoulli", "categorical")


def estimates(estimator, cost="quadratic", draws=1000, seed=(6, 2)):
    law = estimator.distribution.name
    return gradients(
        estimator,
        COSTS[cost],
        repeated(LOGITS[law], draws),
        repeated(WEIGHTS[law], draws),
        list(seed),
    )


def total_variance(estimator, cost="quadratic", draws=40_000):
    found = estimates(estimator, cost, draws)[1].numpy()
    return found.var(axis=0).sum()


def with_perturbed_samples(law, samples):
    """REINFORCE, with the samples that REBAR and RELAX draw by their noise."""
    reinforce = estimators.Reinforce(law, samples)

    def draw(parameters, seed):
        q = reinforce.distribution
        return q.harden(q.perturb(parameters, q.noise(parameters, seed)))

    reinforce.draw = draw
    return reinforce


def assert_same(first, second, rtol=1e-5):
    for one, other in zip(estimates(first), estimates(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(estimators.REBAR, eta=0.0),
        estimators.RELAX,  # whose network's last layer begins at zero
    ],
    ids=["rebar", "relax"],
)
def test_without_a_control_variate_it_is_reinforce(make, law, samples):
    assert_same(make(law, samples), with_perturbed_samples(law, samples))


@pytest.mark.parametrize("law", LAWS)
def test_relax_of_the_cost_alone_is_rebar(law):
    relax = estimators.RELAX(law, relaxed_cost=True, temperature=0.7)
    assert_same(relax, estimators.REBAR(law, temperature=0.7), rtol=1e-4)


def test_untied_rebar_is_its_definition():
    """[f(b) - η f(σ(z̃))] ∇log q(b) + η ∇f(σ(z)) - η ∇f(σ(z̃))."""
    eta, tau, seed = 0.7, 0.4, [6, 2]
    rebar = estimators.REBAR("bernoulli", eta=eta, temperature=tau, tied=False)
    logits = repeated(LOGITS["bernoulli"], 8)
    w = repeated(WEIGHTS["bernoulli"], 8)
    found = gradients(rebar, COSTS["quadratic"], logits, w, seed)[1]
    u, v = (
        tf.sigmoid(random.logistic([8, 3], s))
        for s in (seed, random.split(seed, 1)[0])
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        p = tf.sigmoid(logits)
        z = logits + tf.math.log(u / (1 - u))
        b = tf.stop_gradient(tf.cast(z > 0, tf.float32))
        # Appendix of the paper: u given b, from v.
        v = tf.where(b > 0, 1 - p + v * p, v * (1 - p))
        conditional = logits + tf.math.log(v / (1 - v))
        at_z, at_conditional = (
            COSTS["quadratic"](tf.sigmoid(x / tau), w) for x in (z, conditional)
        )
        log_q = tf.reduce_sum(tf.math.log(b * p + (1 - b) * (1 - p)), axis=1)
        signal = COSTS["quadratic"](b, w) - eta * at_conditional
        surrogate = tf.stop_gradient(signal) * log_q
        surrogate += eta * (at_z - at_conditional)
    np.testing.assert_allclose(
        found, tape.gradient(surrogate, logits), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("law", LAWS)
def test_decoupled_st_gumbel_is_st_gumbel_at_the_backward_temperature(law):
    decoupled = estimators.STGumbel(
        law, 2, temperature=0.1, backward_temperature=0.6
    )
    single = estimators.STGumbel(law, 2, temperature=0.6)
    for one, other in zip(estimates(decoupled), estimates(single), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert decoupled.get_config()["backward_temperature"] == 0.6
    with pytest.raises(ValueError, match="Received: backward_temperature=0"):
        estimators.STGumbel(law, backward_temperature=0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "make",
    [
        estimators.MuProp,
        functools.partial(estimators.DoubleCV, alpha=-1.0),
    ],
    ids=["muprop", "double_cv"],
)
def test_a_linear_cost_is_estimated_exactly(make, law):
    found = estimates(make(law), "linear")[1]
    expected = exact_gradients(COSTS["linear"], law)[1]
    np.testing.assert_allclose(
        found, np.repeat(expected, len(found), axis=0), atol=1e-6
    )


@pytest.mark.parametrize("law", LAWS)
def test_rloo_of_equal_costs_is_zero(law):
    def cost(z, w):
        return 3.7 + 0.0 * tf.reduce_sum(w, axis=1)

    rloo = estimators.RLOO(law, samples=3)
    logits, w = repeated(LOGITS[law], 50), repeated(WEIGHTS[law], 50)
    found = gradients(rloo, cost, logits, w, [1, 2])[1]
    np.testing.assert_array_equal(found, np.zeros_like(found))


@pytest.mark.parametrize("law", LAWS)
def test_rloo_is_reinforce_with_the_mean_of_the_others(law):
    rloo = estimates(estimators.RLOO(law, samples=2))[1]
    plain = [
        estimates(estimators.Reinforce(law, 2, baseline=b))[1] for b in (0, 1)
    ]
    # The estimates are linear in the costs: f_s - mean of the others for two
    # samples is twice f_s - mean of both, whose mean is the value.
    value = estimates(estimators.RLOO(law, samples=2))[0]
    score = plain[0] - plain[1]  # mean score, for a baseline of one.
    shape = [-1] + [1] * (len(rloo.shape) - 1)
    expected = 2 * (plain[0] - tf.reshape(value, shape) * score)
    np.testing.assert_allclose(rloo, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("name", ["double_cv", "rodeo"])
@pytest.mark.parametrize("law", LAWS)
def test_rloo_is_where_its_control_variates_begin(law, name, samples):
    estimator = estimators.get(name, distribution=law, samples=samples)
    assert_same(estimator, estimators.RLOO(law, samples))


def vimco_by_its_definition(f, slopes, z, pi):
    """A weight is replaced by the geometric mean of the others."""
    gradient = 0.0
    for s, (cost, score) in enumerate(zip(f, z - pi, strict=True)):
        others = np.delete(f, s)
        ratio = np.exp(-cost) + np.sum(np.exp(-others))
        ratio /= np.exp(-others.mean()) + np.sum(np.exp(-others))
        gradient -= np.log(ratio) * score
    return gradient


def double_cv_by_its_definition(f, slopes, z, pi, alpha=-0.7):
    """The linear term is in every cost, and so in the baselines."""
    count = len(f)
    others = (slopes.sum(0) - slopes) / (count - 1)
    h = f + alpha * np.sum(others * (z - pi), axis=(1, 2))
    signal = h - (h.sum() - h) / (count - 1)
    slope = slopes.mean(0)
    path = pi * (slope - np.sum(pi * slope, axis=-1, keepdims=True))
    return np.tensordot(signal / count, z - pi, 1) - alpha * path


@pytest.mark.parametrize(
    ("name", "options", "definition"),
    [
        ("vimco", {"add_log_prob": False}, vimco_by_its_definition),
        ("double_cv", {"alpha": -0.7}, double_cv_by_its_definition),
    ],
)
def test_the_estimate_is_its_definition(name, options, definition):
    """What is unbiased by any baseline is told by the numbers alone."""
    seen = {}

    def cost(z, w):
        seen["z"] = z.numpy()
        return COSTS["quadratic"](z, w)

    estimator = estimators.get(name, samples=3, **options)
    logits, w = LOGITS["categorical"], WEIGHTS["categorical"].reshape(2, 3)
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    flat = repeated(WEIGHTS["categorical"], 5)
    found = gradients(estimator, cost, repeated(logits, 5), flat, [8, 8])[1]
    for example in range(5):
        z = seen["z"].reshape([3, 5, 2, 3])[:, example]
        dot = np.sum(z * w, axis=(1, 2)) + 0.6
        slopes = 2.0 * dot[:, None, None] * w
        expected = definition(np.square(dot), slopes, z, pi)
        np.testing.assert_allclose(found[example], expected, atol=1e-5)


def rodeo_by_its_definition(rodeo, logits, w, z):
    """Sums over all neighbours, for one example and its samples `[S, D, K]`."""
    samples, variables, categories = z.shape
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    dot = np.sum(z * w, axis=(1, 2))
    costs = np.square(dot + 0.6)  # The quadratic cost,
    slopes = 2.0 * (dot + 0.6)[:, None, None] * w  # and its gradient.
    weights = [weight.numpy() for weight in rodeo.trainable_variables]
    first, first_bias, last, last_bias = weights

    def network(s, at):
        others = [t for t in range(samples) if t != s]
        linear = np.mean([np.sum(slopes[t] * (at - z[t])) for t in others])
        hidden = np.array([linear, costs[others].mean()]) @ first + first_bias
        hidden = np.where(hidden > 0, hidden, 0.3 * hidden)
        return hidden @ last + last_bias

    def stein(h, at):
        total = 0.0
        for d, c in np.ndindex(variables, categories):
            moved = at.copy()
            moved[d] = np.eye(categories)[c]
            total += pi[d, c] * (h(moved) - h(at))
        return total / variables

    signal = [
        costs[s] + stein(lambda at, s=s: network(s, at)[0], z[s])
        for s in range(samples)
    ]
    gradient = 0.0
    for s in range(samples):
        others = np.mean([signal[t] for t in range(samples) if t != s])
        gradient += (costs[s] - others) * (z[s] - pi)
        gradient += stein(lambda at, s=s: network(s, at)[1] * (at - pi), z[s])
    return gradient / samples


@pytest.mark.parametrize("law", LAWS)
def test_rodeo_sums_over_all_neighbours(law):
    rodeo = estimators.RODEO(law, samples=3, units=4)
    logits, w = repeated(LOGITS[law], 5), repeated(WEIGHTS[law], 5)
    rodeo.build(logits.shape)
    randomize(rodeo, scale=0.5)
    seen = {}

    def cost(z, w):
        seen["z"] = z.numpy()
        return COSTS["quadratic"](z, w)

    found = gradients(rodeo, cost, logits, w, [8, 8])[1].numpy()
    z = seen["z"].reshape([3, *logits.shape])
    logits, w = LOGITS[law], WEIGHTS[law].reshape(LOGITS[law].shape)
    if law == "bernoulli":  # Two categories, of which the first is a one.
        nothing = np.zeros_like(logits)
        z = np.stack([z, 1.0 - z], axis=-1)
        logits, w = np.stack([[logits, w], [nothing, nothing]], axis=-1)
    for example in range(5):
        expected = rodeo_by_its_definition(rodeo, logits, w, z[:, example])
        expected = expected[:, 0] if law == "bernoulli" else expected
        np.testing.assert_allclose(found[example], expected, atol=1e-4)


def test_categories_may_stand_on_another_axis():
    logits, w = LOGITS["categorical"], WEIGHTS["categorical"].reshape(2, 3)
    outcome = []
    for axis in (-1, -2):
        categorical = distributions.Categorical(axis=axis)
        rodeo = estimators.RODEO(categorical, units=4)
        given, weights = repeated(logits, 2000), w
        if axis == -2:
            given, weights = tf.transpose(given, [0, 2, 1]), w.T
        rodeo.build(given.shape)
        randomize(rodeo, scale=0.5)
        with tf.GradientTape() as tape:
            tape.watch(given)
            cost = rodeo(
                lambda z, w=weights: tf.reduce_sum(z * w, [1, 2]) ** 2,
                given,
                [1, 2],
            )
        gradient = tape.gradient(cost, given)
        outcome.append(np.moveaxis(gradient, axis, -1))
    assert_same_mean(*outcome, smallest_difference=0.1)


def test_a_squared_norm_is_that_of_all_parameters():
    one, other = tf.constant([[1.0, 2.0], [0.0, 3.0]]), tf.ones([2, 1, 2])
    found = estimators.algebra.squared_norm([one, other])
    np.testing.assert_array_equal(found, [7.0, 11.0])


@pytest.mark.parametrize("samples", [1, 4])
def test_optimal_constant_is_that_of_the_others(samples):
    # Computed again in plain NumPy.
    count, law = 6, "bernoulli"
    estimator = estimators.Reinforce(law, samples, baseline="optimal")
    plain = estimators.Reinforce(law, samples)
    seen = {}

    def cost(z, w):
        seen["z"] = z.numpy()
        return COSTS["quadratic"](z, w)

    logits, w = repeated(LOGITS[law], count), repeated(WEIGHTS[law], count)
    found = gradients(estimator, cost, logits, w, [8, 8])[1]
    gradients(plain, cost, logits, w, [8, 8])
    score = seen["z"] - 1 / (1 + np.exp(-LOGITS[law]))
    f = COSTS["quadratic"](seen["z"], WEIGHTS[law][None]).numpy()
    score = score.reshape(samples, count, -1)
    f, size = f.reshape(samples, count), np.square(score).sum(-1)
    expected = np.zeros([count, 3])
    for s, i in np.ndindex(samples, count):
        # Other samples of the example, or other examples.
        peers = np.full([samples, count], samples == 1)
        peers[:, i] = True
        peers[s, i] = False
        c = (f * size)[peers].sum() / size[peers].sum()
        expected[i] += (f[s, i] - c) * score[s, i] / samples
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_optimal_constant_of_a_single_sample_is_zero():
    one = estimators.Reinforce("bernoulli", baseline="optimal")
    plain = estimators.Reinforce("bernoulli")
    np.testing.assert_allclose(
        estimates(one, draws=1)[1], estimates(plain, draws=1)[1], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["reinforce", "rebar", "muprop", "st"])
def test_two_categories_are_a_bit(name):
    # φ = l₁ - l₀, so the gradient in l₁ has the law of that in φ.
    def bit_cost(z, w):
        return tf.square(z[:, 0] * w[:, 0] + 0.3)

    def category_cost(z, w):
        return bit_cost(z[:, 1:], w)

    draws, w = 40_000, tf.ones([40_000, 1])
    bits = gradients(
        estimators.get(name, distribution="bernoulli"),
        bit_cost,
        tf.fill([draws, 1], 0.8),
        w,
        [1, 2],
    )[1].numpy()[:, 0]
    categories = gradients(
        estimators.get(name, distribution="categorical"),
        category_cost,
        tf.tile([[[-0.3, 0.5]]], [draws, 1, 1]),
        tf.concat([w, w], axis=1),
        [3, 4],
    )[1].numpy()[:, 0]
    np.testing.assert_allclose(categories[:, 0], -categories[:, 1], atol=1e-5)
    for power in (1, 2):
        a, b = bits**power, categories[:, 1] ** power
        error = np.hypot(a.std(), b.std()) / np.sqrt(draws)
        assert abs(a.mean() - b.mean()) < 5 * error + 1e-6


def test_arm_of_a_fair_bit_is_the_distance_from_one_half():
    # f(b) - f(b') is the sign of u - ½ for f(z) = z at φ = 0.
    logits = tf.zeros([1000, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = estimators.ARM()(lambda z: z[:, 0], logits, [1, 2])
    found = tape.gradient(cost, logits).numpy()
    assert np.all(found >= 0) and np.all(found <= 0.5)
    np.testing.assert_allclose(found.mean(), 0.25, atol=0.025)


@pytest.mark.parametrize("shift", [-2.0, -0.5, 0.0, 1.0, 3.0])
def test_disarm_has_less_variance_than_arm(shift):
    def variance(estimator):
        logits = repeated(LOGITS["bernoulli"] + shift, 40_000)
        w = repeated(WEIGHTS["bernoulli"], 40_000)
        found = gradients(estimator, COSTS["quadratic"], logits, w, [5, 5])
        return found[1].numpy().var(axis=0).sum()

    assert variance(estimators.DisARM()) < variance(estimators.ARM())


@pytest.mark.parametrize("cost", ["linear", "quadratic", "step"])
@pytest.mark.parametrize("law", LAWS)
def test_rloo_has_less_variance_than_reinforce(law, cost):
    rloo = total_variance(estimators.RLOO(law, samples=4), cost)
    reinforce = total_variance(estimators.Reinforce(law, samples=4), cost)
    assert rloo < 0.8 * reinforce


@pytest.mark.parametrize("law", LAWS)
def test_the_optimal_constant_lowers_the_variance(law):
    optimal = total_variance(estimators.Reinforce(law, baseline="optimal"))
    plain = total_variance(estimators.Reinforce(law))
    assert optimal < 0.6 * plain


@pytest.mark.parametrize("name", ["reinforce", "rloo", "muprop", "st_gumbel"])
def test_variance_falls_with_samples(name):
    few = estimators.get(name, distribution="bernoulli", samples=2)
    many = estimators.get(name, distribution="bernoulli", samples=8)
    assert total_variance(many) < 0.35 * total_variance(few)


class Counts(distributions.Distribution):
    """0, 1 or 2, with log-probabilities 0, a and b up to a constant."""

    parameters = {"a": distributions.real, "b": distributions.real}
    inference = ("sample",)

    def logits(self, parameters):
        a, b = parameters
        return tf.stack([tf.zeros_like(a), a, b], axis=-1)

    def sample(self, parameters, seed):
        index = random.categorical(self.logits(parameters), seed)
        return tf.cast(index, tf.float32)

    def log_probs(self, parameters, sample):
        log_probs = tf.nn.log_softmax(self.logits(parameters))
        index = tf.cast(sample, tf.int32)
        return tf.gather(log_probs, index, batch_dims=2)

    def count(self, shape):
        return 3 ** shape[1]

    def support(self, shape):
        return np.indices([3] * shape[1]).reshape([shape[1], -1]).T


@pytest.mark.full
def test_two_parameters_may_have_a_finite_support():
    a, b = tf.constant([[0.3, -0.5]]), tf.constant([[0.1, 0.8]])
    numbers = tf.constant([[0.0, 1.0, 2.0]])

    def cost(z):
        return tf.square(tf.linalg.matvec(z, [1.0, -2.0]) + 0.3)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([a, b])
        logits = Counts().logits((a, b))
        one_hots = estimators.Exact()(
            lambda z: cost(tf.reduce_sum(z * numbers, -1)), logits, [0, 0]
        )
        counts = estimators.Exact(Counts())(cost, (a, b), [0, 0])
    np.testing.assert_allclose(counts, one_hots, rtol=1e-5)
    expected = tape.gradient(one_hots, [a, b])
    np.testing.assert_allclose(
        tape.gradient(counts, [a, b]), expected, rtol=1e-5
    )
    result = diagnostics.compare(
        cost,
        (a, b),
        ["rloo"],
        draws=2,
        max_draws=2,
        distribution=Counts(),
        progress=False,
    )
    assert result.reference == "by enumeration"
    assert np.isclose(result.gradient_norm, np.linalg.norm(expected))
    report = testing.check_estimator(
        lambda: estimators.VIMCO(Counts()), only=["value", "cost's own weights"]
    )
    assert report.raise_if_failed()
