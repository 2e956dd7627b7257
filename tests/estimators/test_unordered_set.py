"""Samples without replacement: their distribution, weights and limits."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.estimators.test_two_roads import total_variance
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    exact_gradients,
    gradients,
    repeated,
)
from tests.helpers.statistics import assert_frequencies, plackett_luce, softmax
from tfgumbel import estimators
from tfgumbel.distributions import Categorical
from tfgumbel.estimators._without_replacement import (
    draw_distinct,
    leave_one_out,
)

LOG_P = np.log([0.3, 0.05, 0.22, 0.13, 0.3])


def weights(members):
    """What `leave_one_out` says of this set, a tuple of indices."""
    found = leave_one_out(tf.constant(LOG_P[None, list(members)]))
    return [part.numpy()[0] for part in found]


def probability(members, without=()):
    """Of drawing this set from all but some, by summing over orders."""
    if not members:
        return 1.0
    left = [i for i in range(len(LOG_P)) if i not in without]
    orders, p = plackett_luce(LOG_P[left], len(members))
    places = {left.index(i) for i in members}
    return sum(p[[set(order) == places for order in orders]])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_weights_are_the_leave_one_out_ratios(count):
    p, members = np.exp(LOG_P), tuple(range(count))
    weight, others = weights(members)
    for s in members:
        rest = tuple(set(members) - {s})
        first = probability(rest, without=(s,))
        expected = p[s] * first / probability(members)
        np.testing.assert_allclose(weight[s], expected, rtol=1e-10)
        for t in rest:
            second = probability(tuple(set(rest) - {t}), without=(s, t))
            np.testing.assert_allclose(
                others[s, t], p[t] * second / first, rtol=1e-10
            )
        # The baseline is p(s) f(s) and an estimate of the rest.
        np.testing.assert_allclose(others[s].sum(), 1 - p[s], rtol=1e-10)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_summed_over_all_sets_the_estimate_is_exact(count):
    p, f = np.exp(LOG_P), np.array([0.7, -1.2, 0.4, 2.0, 0.1])
    value, gradient = 0.0, np.zeros(5)
    for members in itertools.combinations(range(5), count):
        own = list(members)
        weight, others = weights(members)
        advantage = weight * (others * (f[own][:, None] - f[own])).sum(1)
        score = np.eye(5)[own] - p
        value += probability(members) * weight @ f[own]
        gradient += probability(members) * advantage @ score
    np.testing.assert_allclose(value, p @ f, rtol=1e-10)
    np.testing.assert_allclose(gradient, p * (f - p @ f), rtol=1e-9)


def test_weights_of_tiny_and_of_nearly_certain_samples():
    # p R is scale free while p is small, and certainty leaves nothing over.
    tiny = leave_one_out(tf.constant([[-900.0, -901.0, -900.5]], tf.float64))
    np.testing.assert_allclose(tiny[0], np.full([1, 3], 1 / 3), rtol=1e-6)
    sure = leave_one_out(tf.constant([[-1e-18, -45.0, -1e6]], tf.float64))
    np.testing.assert_allclose(sure[0], [[1.0, 0.0, 0.0]], atol=1e-12)
    assert np.all(np.isfinite(sure[1]))
    # 1 - p of the first, though the others drawn are rarer than that.
    np.testing.assert_allclose(np.sum(sure[1][0, 0]), 1e-18, rtol=0.05)


def test_what_is_improbable_is_not_impossible():
    """All eight configurations, the last of probability exp(-15,000)."""
    logits = tf.constant([[[0.0, -5000.0]] * 3])
    index, log_prob = draw_distinct(logits, 8, [1, 2])
    code = index.numpy()[0] @ [4, 2, 1]
    assert sorted(code) == list(range(8))
    ones = np.sum(index.numpy()[0], axis=1)
    np.testing.assert_allclose(log_prob[0], -5000.0 * ones, rtol=1e-6)


@pytest.mark.parametrize("block", [1, 4, 32])
@pytest.mark.parametrize(("count", "shape"), [(2, (2, 3)), (3, (3, 2))])
def test_joint_values_follow_plackett_luce(count, shape, block):
    """Drawn variable by variable, two at a time, or all at once."""
    logits = np.array([0.8, -0.4, 0.0, 0.3, 0.1, -0.6], "float32")
    logits = logits.reshape(shape)
    p = softmax(logits)
    joint = np.log(functools.reduce(np.multiply.outer, p).ravel())
    index, log_prob = draw_distinct(
        tf.repeat(tf.constant(logits[None]), 60_000, axis=0),
        *(count, [4, 8], block),
    )
    code = index.numpy() @ shape[1] ** np.arange(shape[0])[::-1]
    np.testing.assert_allclose(log_prob, joint[code], atol=1e-6)
    orders, probabilities = plackett_luce(joint, count)
    place = {tuple(order): i for i, order in enumerate(orders)}
    found = np.array([place[tuple(row)] for row in code])  # all different
    # Rare orders are counted together.
    often = probabilities * len(found) >= 100
    label = np.where(often, np.cumsum(often) - 1, often.sum())
    pooled = [*probabilities[often], probabilities[~often].sum()]
    assert_frequencies(label[found], pooled)


@pytest.mark.parametrize(
    ("law", "samples"), [("bernoulli", 8), ("categorical", 9)]
)
def test_the_set_of_all_configurations_is_enumeration(law, samples):
    found = gradients(
        estimators.UnorderedSet(law, samples=samples),
        COSTS["step"],
        repeated(LOGITS[law], 20),
        repeated(WEIGHTS[law], 20),
        [1, 2],
    )
    for part, exact in zip(
        found, exact_gradients(COSTS["step"], law), strict=True
    ):
        np.testing.assert_allclose(
            part, np.repeat(exact, 20, axis=0), atol=1e-5
        )


@pytest.mark.parametrize("samples", [2, 4])
@pytest.mark.parametrize("law", ["bernoulli", "categorical"])
def test_without_replacement_has_less_variance_than_with(law, samples):
    without = total_variance(estimators.UnorderedSet(law, samples=samples))
    rloo = total_variance(estimators.RLOO(law, samples=samples))
    assert without < (0.9 if samples == 2 else 0.6) * rloo


def test_a_constant_cost_has_no_gradient_at_all():
    logits = repeated(LOGITS["categorical"], 50)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = estimators.UnorderedSet(samples=3)(
            lambda z: 3.7 + 0.0 * z[:, 0, 0], logits, [1, 2]
        )
    np.testing.assert_array_equal(tape.gradient(cost, logits), 0.0 * logits)


def test_what_is_impossible_is_never_evaluated():
    # Two configurations are possible, and five samples are asked for.
    logits = tf.constant([[[0.5, -np.inf, 0.0], [-np.inf, 0.0, -np.inf]]])
    seen = []

    def cost(z):
        seen.append(z.numpy())
        forbidden = z[:, 0, 1] + z[:, 1, 0] + z[:, 1, 2]
        return tf.where(forbidden > 0, np.nan, 2.0 * z[:, 0, 0])

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimators.UnorderedSet(samples=5)(cost, logits, [1, 2])
    p = softmax([0.5, 0.0])[0]
    np.testing.assert_allclose(value, [2.0 * p], rtol=1e-5)
    slope = 2.0 * p * (1.0 - p)
    np.testing.assert_allclose(
        tape.gradient(value, logits),
        [[[slope, 0.0, -slope], [0.0, 0.0, 0.0]]],
        atol=1e-6,
    )
    np.testing.assert_array_equal(seen[0][2:], np.repeat(seen[0][:1], 3, 0))


def test_certain_variables_leave_two_configurations_of_128():
    signs = [1.0, -1.0, 1.0, 1.0, -1.0, 1.0]
    logits = tf.constant([[0.5, *np.multiply(signs, np.inf)]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimators.UnorderedSet("bernoulli", samples=4)(
            lambda z: 3.0 * z[:, 0], logits, [1, 2]
        )
    p = softmax([0.5, 0.0])[0]
    np.testing.assert_allclose(value, [3.0 * p], rtol=1e-5)
    expected = [3.0 * p * (1.0 - p), *[0.0] * 6]
    np.testing.assert_allclose(
        tape.gradient(value, logits)[0], expected, atol=1e-5
    )


def test_nan_logits_stay_with_their_example():
    logits = repeated(LOGITS["categorical"], 4).numpy()
    logits[2, 0, 1] = np.nan
    w = repeated(WEIGHTS["categorical"], 4)

    def of_another_variable(z, w):
        return z[:, 4] + 0.0 * w[:, 0]

    found = gradients(
        estimators.UnorderedSet(samples=3),
        *(of_another_variable, tf.constant(logits), w, [1, 2]),
    )
    others = np.arange(4) != 2
    assert np.isnan(found[0][2]) and np.any(np.isnan(found[1][2]))
    assert np.all(np.isfinite(found[1].numpy()[others]))


@pytest.mark.full
def test_a_graph_of_unknown_shapes_gives_what_eager_mode_gives():
    logits = repeated(LOGITS["categorical"], 6)
    estimator = estimators.UnorderedSet(samples=4)

    def run(logits):
        return estimator(
            lambda z: tf.reduce_sum(tf.square(z - 0.2), [1, 2]), logits, [1, 2]
        )

    unknown = [tf.TensorSpec([None, None, 3])]
    graph = tf.function(run, input_signature=unknown, autograph=False)
    np.testing.assert_allclose(run(logits), graph(logits), rtol=1e-5)
    # Of a single variable, fewer are possible than asked for.
    one = graph(logits[:, :1])
    np.testing.assert_allclose(one, np.full(6, 0.72), rtol=1e-5)


def test_categories_on_another_axis():
    logits = tf.constant(LOGITS["categorical"][None])
    estimator = estimators.UnorderedSet(samples=3)
    turned = estimators.UnorderedSet(Categorical(axis=1), samples=3)

    def gradient(estimator, logits, order):
        def cost(z):
            rows = tf.reshape(tf.transpose(z, order), [-1, 6])
            return tf.reduce_sum(rows * WEIGHTS["categorical"], axis=1) ** 2

        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = estimator(cost, logits, [1, 2])
        return tape.gradient(value, logits)

    one = gradient(estimator, logits, [0, 1, 2])
    other = gradient(turned, tf.transpose(logits, [0, 2, 1]), [0, 2, 1])
    np.testing.assert_allclose(one, tf.transpose(other, [0, 2, 1]), atol=1e-6)


def test_categories_of_unknown_number_are_refused():
    @tf.function(
        input_signature=[tf.TensorSpec([None, 2, None])], autograph=False
    )
    def run(logits):
        return estimators.UnorderedSet()(lambda z: z[:, 0, 0], logits, [1, 2])

    with pytest.raises(ValueError, match=r"number.*\(None, 2, None\)"):
        run(tf.zeros([1, 2, 3]))


def test_samples_that_cannot_be_different_are_refused():
    assert estimators.UnorderedSet(samples=12).evaluations == 12
    with pytest.raises(ValueError, match="at most 12.*samples=13"):
        estimators.UnorderedSet(samples=13)
    with pytest.raises(
        ValueError, match=r"configurations, 4 for 2 variable.*samples=5"
    ):
        estimators.UnorderedSet("bernoulli", samples=5)(
            lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2]
        )
