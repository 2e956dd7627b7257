"""Exactly k of n: every op against enumeration, and at n = 1,000."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.helpers.statistics import (
    assert_frequencies,
    assert_mean,
    subset_law,
)
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    derivatives,
    value_and_gradients,
)

THETA = np.array([0.3, 0.6, 0.5, 0.2])
FOUR = np.log(THETA / (1 - THETA))
# Several sizes, in one block of items and in more, and ranges of sizes.
SIZES = [
    (1, 1),
    (6, 1),
    (4, 2),
    (5, 5),
    (9, 4),
    (12, 7),
    (10, (3, 4)),
    (4, (1, 3)),
    (7, (0, 2)),
    (9, (0, 9)),
]
# Half of them run by default.
sizes = pytest.mark.parametrize(
    ("n", "k"),
    [
        pytest.param(*size, marks=[pytest.mark.exhaustive] if i % 2 else [])
        for i, size in enumerate(SIZES)
    ],
)
ZERO_ONE = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]


def some_logits(n, rows=3, scale=1.5, seed=11):
    return scale * np.random.default_rng(seed).normal(size=(rows, n))


def subsets(n, k):
    """All subsets, from their definition."""
    low, high = k if isinstance(k, tuple) else (k, k)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    return every[(low <= every.sum(1)) & (every.sum(1) <= high)]


def enumerated(logits, k):
    """Subsets, and each row's log-probabilities and log Z, in plain ops."""
    z = tf.constant(subsets(logits.shape[-1], k), logits.dtype)
    scores = tf.matmul(logits, z, transpose_b=True)
    log_z = tf.reduce_logsumexp(scores, axis=-1)
    return z, scores - log_z[:, None], log_z


COMPOSED = {
    "log_normalizer": lambda x, k: enumerated(x, k)[2],
    "marginals": lambda x, k: tf.matmul(
        tf.exp(enumerated(x, k)[1]), enumerated(x, k)[0]
    ),
    "entropy": lambda x, k: (
        -tf.reduce_sum(
            tf.exp(enumerated(x, k)[1]) * enumerated(x, k)[1], axis=-1
        )
    ),
    "log_prob": lambda x, k: enumerated(x, k)[1][:, -1],
}
OPS = {
    "log_normalizer": tg.ops.subset_log_normalizer,
    "marginals": tg.ops.subset_marginals,
    "entropy": tg.ops.subset_entropy,
    "log_prob": lambda x, k: tg.ops.subset_log_prob(
        x,
        np.broadcast_to(subsets(x.shape[-1], k)[-1], x.shape),
        k=k,
    ),
}
every_op = pytest.mark.parametrize("name", OPS)


@every_op
@sizes
def test_derivatives_equal_those_of_enumeration(name, n, k):
    """Value, gradient and second derivative."""
    logits = [tf.constant(some_logits(n))]
    actual = derivatives(lambda x: OPS[name](x, k=k), logits)
    expected = derivatives(lambda x: COMPOSED[name](x, k), logits)
    assert_close(actual, expected, rtol=1e-8, atol=1e-10)


@every_op
@pytest.mark.parametrize(
    ("n", "k"),
    [pytest.param(9, 4, marks=pytest.mark.exhaustive), (10, (3, 4))],
)
def test_a_graph_agrees(name, n, k, compiled):
    logits = [tf.constant(some_logits(n))]

    @compiled
    def of_op(x):
        return derivatives(lambda x: OPS[name](x, k=k), [x])

    expected = derivatives(lambda x: COMPOSED[name](x, k), logits)
    assert_close(of_op(*logits), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.full
def test_derivatives_through_a_function_of_its_own():
    """The second derivative is taken in a graph of its own, too."""
    logits, log_prob = [tf.constant(some_logits(4))], OPS["log_prob"]
    expected = derivatives(lambda x: log_prob(x, k=2), logits)
    actual = derivatives(tf.function(lambda x: log_prob(x, k=2)), logits)
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@sizes
def test_divergence_of_two(n, k):
    """In both arguments, with second derivatives."""
    arguments = [tf.constant(some_logits(n, seed=seed)) for seed in (1, 2)]

    def composed(q, p):
        log_q, log_p = (enumerated(x, k)[1] for x in (q, p))
        return tf.reduce_sum(tf.exp(log_q) * (log_q - log_p), axis=-1)

    actual = derivatives(
        lambda q, p: tg.ops.subset_kl(q, k=k, prior_logits=p), arguments
    )
    expected = derivatives(composed, arguments)
    assert_close(actual, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("k", [2, (1, 3), [2, 1, 3]])
@pytest.mark.parametrize("axis", [1, 0])
def test_a_prior_of_one_row_is_that_of_all(k, axis):
    """Computed once, with the sum of the gradients of all rows."""
    q, p = (tf.constant(some_logits(5, seed=seed)) for seed in (1, 2))
    arguments = [q, p[:1]] if axis else [tf.transpose(q), tf.transpose(p[:1])]
    k = tf.constant(k) if isinstance(k, list) else k

    def divergence(q, p, shape=None):
        p = p if shape is None else tf.broadcast_to(p, shape)
        return tg.ops.subset_kl(q, k=k, prior_logits=p, axis=axis)

    actual = derivatives(divergence, arguments)
    expected = derivatives(
        lambda q, p: divergence(q, p, tf.shape(q)), arguments
    )
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_divergence_from_the_uniform_one():
    logits = tf.constant(some_logits(6))
    expected = np.log(15.0) - tg.ops.subset_entropy(logits, k=2)
    assert_close(tg.ops.subset_kl(logits, k=2), expected, rtol=1e-10)
    assert_close(
        tg.ops.subset_kl(logits, k=2, prior_logits=logits),
        np.zeros(3),
        rtol=0,
        atol=1e-12,
    )
    one = tg.ops.subset_kl(logits, k=2, prior_logits=logits[0], axis=1)[0]
    assert_close(one, 0.0, rtol=0, atol=1e-12)


@sizes
def test_log_probabilities_add_up_to_one(n, k):
    z = subsets(n, k)
    logits = np.broadcast_to(some_logits(n, rows=1), z.shape)
    total = np.sum(np.exp(tg.ops.subset_log_prob(logits, z, k=k)))
    np.testing.assert_allclose(total, 1.0, rtol=1e-11)


def test_the_four_items_of_the_literature():
    """The marginals are the unit-test value of SIMPLE's authors, too."""
    marginals = tg.ops.subset_marginals(FOUR, k=2)
    expected = [0.3568, 0.7622, 0.6595, 0.2216]
    np.testing.assert_allclose(marginals, expected, atol=5e-5)
    entropy = tg.ops.subset_entropy(FOUR, k=2)
    np.testing.assert_allclose(entropy, 1.495486, atol=5e-7)
    log_sum = tg.ops.subset_log_normalizer(FOUR, k=2) + np.sum(np.log1p(-THETA))
    np.testing.assert_allclose(log_sum, -0.994252, atol=5e-7)


def test_gradient_of_an_expected_cost():
    """f = (Σ √i z_i)²: the published value and gradient."""
    z = subsets(4, 2)
    logits = np.broadcast_to(FOUR, z.shape)
    cost = np.square(z @ np.sqrt(np.arange(1, 5)))
    weight = np.exp(tg.ops.subset_log_prob(logits, z, k=2))
    np.testing.assert_allclose(weight @ cost, 9.266297, atol=5e-7)
    score = z - tg.ops.subset_marginals(FOUR, k=2).numpy()
    np.testing.assert_allclose(
        (weight * cost) @ score,
        [-0.91143, -0.11036, 0.40627, 0.61552],
        atol=5e-6,
    )


@pytest.mark.parametrize(
    ("logits", "k"),
    [
        *(([0.4, -0.3, 1.0, 0.0, -0.8], k) for k in (1, 2, 3)),
        (np.linspace(-1.2, -0.5, 9), (1, 3)),  # in two blocks
        (np.linspace(-1.2, -0.5, 9), (0, 1)),  # of any size 2.7 are one
    ],
)
def test_samples_follow_their_probabilities(logits, k, compiled):
    """Chi-square over all subsets."""
    logits, n = np.array(logits, np.float32), len(logits)
    z = subsets(n, k)
    probabilities = np.exp(
        tg.ops.subset_log_prob(np.tile(logits, [len(z), 1]), z, k=k)
    )

    @compiled
    def draw(seed):
        many = tf.broadcast_to(logits, [60_000, n])
        noise = tg.random.uniform64([60_000, n], seed)
        return tg.ops.sample_subset(many, noise, k=k)

    assert_frequencies(which(z, draw([1, 9]).numpy()), probabilities)


def which(subsets, samples):
    """The index of each sample among the subsets."""
    powers = 2.0 ** np.arange(subsets.shape[1])
    order = np.argsort(subsets @ powers)
    codes = (subsets @ powers)[order]
    index = order[np.searchsorted(codes, samples @ powers)]
    np.testing.assert_array_equal(subsets[index], samples)
    return index


@pytest.mark.full
@pytest.mark.parametrize("seed", [3, 4])
def test_samples_of_many_items_have_the_moments(seed):
    """Two hundred items, of very different odds, in 32 blocks."""
    generator = np.random.default_rng(seed)
    logits, vector = 2.0 * generator.normal(size=(2, 1, 200))
    with tf.GradientTape() as tape:
        x = tf.constant(logits)
        tape.watch(x)
        marginals = tg.ops.subset_marginals(x, k=30)
    covariance = tape.gradient(marginals, x, tf.constant(vector))
    many = tf.broadcast_to(tf.constant(logits, tf.float32), [20_000, 200])
    noise = tg.random.uniform64([20_000, 200], [seed, 1])
    drawn = tf.function(tg.ops.sample_subset)(many, noise, k=30).numpy()
    assert np.all(drawn.sum(axis=1) == 30)
    # What is drawn a few times in all has no normal error.
    often = marginals.numpy()[0] > 0.002
    assert np.sum(often) > 150
    off = drawn - marginals.numpy()
    assert_mean(off[:, often], 0.0, smallest_bias=0.02)
    product = off * (off @ vector[0])[:, None]
    assert_mean(
        product[:, often], covariance.numpy()[0, often], smallest_bias=0.2
    )


def gumbel_top_k_hot(logits, seed, k):
    noise = tg.random.gumbel(tf.shape(logits), seed)
    index = tg.ops.gumbel_top_k(logits, noise, k=k)
    return tf.reduce_sum(tf.one_hot(index, logits.shape[-1]), axis=-2)


@pytest.mark.full
def test_scores_fit_the_samples_of_one_distribution_only():
    """The score has mean zero under exact samples, not under Gumbel top-k."""
    logits = tf.broadcast_to(tf.constant(FOUR, tf.float32), [100_000, 4])

    def mean_score(z):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            log_prob = tg.ops.subset_log_prob(logits, z, k=2)
        return tape.gradient(log_prob, logits).numpy()

    noise = tg.random.uniform64([100_000, 4], [1, 2])
    exact = mean_score(tg.ops.sample_subset(logits, noise, k=2))
    assert_mean(exact, np.zeros(4), smallest_bias=0.01)
    mixed = mean_score(gumbel_top_k_hot(logits, [1, 2], 2))
    biased = [-0.028, 0.040, 0.012, -0.024]
    assert_mean(mixed, biased, smallest_bias=0.01)
    with pytest.raises(AssertionError, match="mean"):
        assert_mean(mixed, np.zeros(4), smallest_bias=0.01)


def test_marginals_are_those_of_one_distribution_only():
    z, probabilities = subset_law(FOUR, 2)
    plackett_luce = probabilities @ z
    np.testing.assert_allclose(
        plackett_luce, [0.3287, 0.8024, 0.6716, 0.1973], atol=5e-5
    )
    marginals = tg.ops.subset_marginals(FOUR, k=2)
    assert np.max(np.abs(marginals - plackett_luce)) > 0.02


@eager_and_slow_xla
@pytest.mark.parametrize("k", [2, (1, 3)])
def test_straight_through_has_the_gradient_of_the_marginals(k, compiled):
    logits = tf.constant(some_logits(4, rows=2))

    @compiled
    def of_op(logits):
        return derivatives(
            lambda x: tg.ops.straight_through_subset(x, ZERO_ONE, k=k), [logits]
        )

    value, first, second = of_op(logits)
    expected = derivatives(lambda x: tg.ops.subset_marginals(x, k=k), [logits])
    np.testing.assert_array_equal(value, ZERO_ONE)
    assert_close((first, second), expected[1:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("traced", [False, True])
def test_straight_through_gives_the_sample_no_gradient(traced):
    sample = tf.constant(ZERO_ONE)
    logits = tf.constant(some_logits(4, rows=2))

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(sample)
            z = tg.ops.straight_through_subset(logits, sample, k=2)
        return tape.gradient(z, sample)

    assert (tf.function(gradient) if traced else gradient)() is None


def test_straight_through_is_exact_for_a_linear_cost():
    w = np.array([0.7, -1.1, 0.4, 2.0])
    logits = tf.constant(FOUR[None])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = tg.ops.straight_through_subset(logits, ZERO_ONE[:1], k=2)
        cost = tf.reduce_sum(z * w)
    z, log_prob, _ = enumerated(logits, 2)
    weight = np.exp(log_prob)[0]
    z = z.numpy()
    score = z - weight @ z
    expected = (weight * (z @ w)) @ score
    np.testing.assert_allclose(
        tape.gradient(cost, logits)[0], expected, rtol=1e-10
    )


def log_space_recursion(logits, k):
    """log Z of each size up to k and the marginals, one item at a time."""
    before = [np.r_[0.0, np.full(k, -np.inf)]]
    after = [before[0]]
    for x in logits:
        before.append(added(before[-1], x))
    for x in logits[::-1]:
        after.append(added(after[-1], x))
    after = after[::-1]
    log_z = before[-1][k]
    marginals = [
        np.exp(np.logaddexp.reduce(b[:k] + a[:k][::-1]) + x - log_z)
        for x, b, a in zip(logits, before[:-1], after[1:], strict=True)
    ]
    return log_z, np.array(marginals)


def added(table, x):
    return np.r_[table[0], np.logaddexp(table[1:], table[:-1] + x)]


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("k", [1, 50, 500, 999])
def test_a_thousand_items(scale, k):
    """float64 against the recursion in log space, float32 against float64."""
    logits = scale * np.random.default_rng(2).normal(size=1000)
    logits = logits.astype(np.float32).astype(np.float64)
    log_z, marginals = log_space_recursion(logits, k)
    found = tg.ops.subset_marginals(logits, k=k).numpy()
    np.testing.assert_allclose(found, marginals, rtol=1e-9, atol=1e-13)
    assert abs(found.sum() - k) < 1e-10 * k
    np.testing.assert_allclose(
        tg.ops.subset_log_normalizer(logits, k=k), log_z, rtol=1e-13, atol=1e-12
    )
    single = tf.constant(logits, tf.float32)
    found32 = tg.ops.subset_marginals(single, k=k).numpy()
    np.testing.assert_allclose(found32, marginals, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found32, marginals, atol=1e-6)
    assert abs(found32.sum(dtype=np.float64) - k) < 1e-6 * k
    np.testing.assert_allclose(
        tg.ops.subset_log_normalizer(single, k=k), log_z, rtol=1e-6, atol=1e-5
    )
    of_single, of_double = (
        value_and_gradients(lambda x: tg.ops.subset_marginals(x, k=k), [x])[1][
            0
        ]
        for x in (single, tf.constant(logits))
    )
    np.testing.assert_allclose(of_single, of_double, atol=3e-6)


def test_equal_logits_share_alike():
    logits = tf.fill([1, 1000], 3.7)
    np.testing.assert_allclose(
        tg.ops.subset_marginals(logits, k=50), 0.05, rtol=1e-6
    )
    entropy = tg.ops.subset_entropy(logits, k=50)
    gammas = [np.sum(np.log(np.arange(1, m + 1))) for m in (1000, 50, 950)]
    np.testing.assert_allclose(
        entropy[0], gammas[0] - gammas[1] - gammas[2], rtol=1e-6
    )


def test_what_is_left_out_is_a_subset_too():
    logits = some_logits(60)
    left_out = 1.0 - tg.ops.subset_marginals(-logits, k=43)
    np.testing.assert_allclose(
        tg.ops.subset_marginals(logits, k=17), left_out, atol=1e-13
    )


EXTREMES = [
    ([-np.inf, 0.0, 1.0, 2.0], 2, [0, None, None, None]),
    ([1e4, -1e4, 0.0, 1e4, -1e4], 3, [1, 0, 1, 1, 0]),
    ([1e4, 5e3, 0.0, -5e3, -1e4], 2, [1, 1, 0, 0, 0]),
    ([1e4, 1e4, -1e4, -1e4], 1, [0.5, 0.5, 0, 0]),
    ([1e4, 1e4, -1e4, -1e4], 3, [1, 1, 0.5, 0.5]),
    ([0.0, -np.inf, -np.inf, 1.0], 2, [1, 0, 0, 1]),
    ([-np.inf] * 4, 2, [0.5] * 4),
    ([-3.4e38, 0.0, 3.0], 2, [0, 1, 1]),
    ([0.0] * 300 + [1e4] * 2 + [-np.inf] * 30, 2, None),
]


@pytest.mark.parametrize(("logits", "k", "expected"), EXTREMES)
def test_extreme_logits(logits, k, expected):
    """Finite, and right where it is known."""
    logits = tf.constant(logits, tf.float32)
    marginals, gradient = value_and_gradients(
        lambda x: tg.ops.subset_marginals(x, k=k), [logits]
    )
    entropy = value_and_gradients(
        lambda x: tg.ops.subset_entropy(x, k=k), [logits]
    )
    assert_finite([marginals, gradient, entropy])
    np.testing.assert_allclose(np.sum(marginals), k, rtol=1e-6)
    noise = tg.random.uniform64([200, len(logits)], [2, 2])
    many = tf.broadcast_to(logits, noise.shape)
    drawn = tg.ops.sample_subset(many, noise, k=k).numpy()
    assert np.all(drawn.sum(axis=1) == k)
    assert np.all(drawn[:, marginals.numpy() == 0] == 0)
    if expected is not None:
        known = np.array([e is not None for e in expected])
        given = np.array([0 if e is None else e for e in expected])
        np.testing.assert_allclose(
            marginals.numpy()[known], given[known], atol=1e-6
        )


def test_log_probability_is_precise_for_large_logits():
    """z · logits and log Z are near 10^6 here; their difference is not."""
    logits = tf.constant([[1e5] * 10 + [1e5 - 1.0] * 10 + [0.0] * 20])
    z = np.zeros([1, 40], np.float32)
    z[0, 5:15] = 1.0
    log_prob = tg.ops.subset_log_prob(logits, z, k=10)
    small = np.r_[np.zeros(10), -np.ones(10)]
    log_z, _ = log_space_recursion(small, 10)
    np.testing.assert_allclose(log_prob[0], -5.0 - log_z, rtol=1e-6)


@every_op
def test_nan_stays_in_its_example(name):
    logits = some_logits(9).astype(np.float32)

    def of_op(logits):
        return value_and_gradients(
            lambda x: OPS[name](x, k=4), [tf.constant(logits)]
        )

    clean = tf.nest.flatten(of_op(logits))
    logits[1, 2] = np.nan
    for tensor, expected in zip(
        tf.nest.flatten(of_op(logits)), clean, strict=True
    ):
        assert np.all(np.isnan(tensor[1]))
        np.testing.assert_array_equal(tensor[0], expected[0])
        np.testing.assert_array_equal(tensor[2], expected[2])


@pytest.mark.parametrize(
    "op",
    [
        lambda x: tg.ops.sample_subset(x, tf.fill([3, 4], 0.5), k=2),
        lambda x: tg.ops.subset_mode(x, k=2),
        lambda x: tg.ops.straight_through_subset(x, tf.ones([3, 4]), k=2),
    ],
)
def test_nan_shows_in_the_sample(op):
    logits = np.zeros([3, 4], np.float32)
    logits[1, 0] = np.nan
    sample = op(logits).numpy()
    assert np.all(np.isnan(sample[1]))
    assert not np.any(np.isnan(sample[[0, 2]]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    halves = tf.constant(some_logits(9), dtype)
    singles = tf.cast(halves, tf.float32)

    def of(logits):
        return value_and_gradients(
            lambda x: tg.ops.subset_marginals(x, k=4), [logits]
        )

    (value, (gradient,)), expected = of(halves), of(singles)
    assert value.dtype == gradient.dtype == halves.dtype
    np.testing.assert_allclose(
        tf.cast(value, tf.float32), expected[0], atol=4e-3
    )
    assert tg.ops.subset_log_normalizer(halves, k=4).dtype == tf.float32
    assert tg.ops.subset_entropy(halves, k=4).dtype == tf.float32
    noise = tf.fill([3, 9], 0.3)
    sample = tg.ops.sample_subset(halves, noise, k=4)
    assert sample.dtype == halves.dtype

    def through(logits):
        return value_and_gradients(
            lambda x: tg.ops.straight_through_subset(x, sample, k=4), [logits]
        )

    (value, (gradient,)), (_, (expected,)) = through(halves), through(singles)
    assert value.dtype == gradient.dtype == halves.dtype
    np.testing.assert_allclose(
        tf.cast(gradient, tf.float32), expected, atol=4e-3
    )


@pytest.mark.full
def test_batch_size_may_be_unknown():
    spec = tf.TensorSpec([None, 9], tf.float32)

    @tf.function(input_signature=[spec, spec])
    def of_op(logits, noise):
        z = tg.ops.sample_subset(logits, noise, k=4)
        return z, value_and_gradients(
            lambda x: tg.ops.subset_entropy(x, k=4), [logits]
        )

    logits = tf.constant(some_logits(9), tf.float32)
    noise = tf.fill([3, 9], 0.4)
    assert of_op(logits, noise)[0].shape == (3, 9)
    assert of_op(logits[:2], noise[:2])[1][1][0].shape == (2, 9)


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_every_axis_may_hold_the_items(axis):
    """Two batch axes, which keep their order."""
    logits = some_logits(5, rows=6).reshape(2, 3, 5)
    noise = tg.random.uniform64([2, 3, 5], [7, 7]).numpy()
    k = np.array([[1, 2, 3], [4, 5, 2]])
    moved, moved_noise = (np.moveaxis(x, -1, axis) for x in (logits, noise))
    drawn = tg.ops.sample_subset(logits, noise, k=k)
    pairs = [
        (tg.ops.subset_marginals, [logits], [moved]),
        (tg.ops.sample_subset, [logits, noise], [moved, moved_noise]),
        (tg.ops.subset_mode, [logits], [moved]),
        (
            tg.ops.straight_through_subset,
            [logits, drawn],
            [moved, np.moveaxis(drawn.numpy(), -1, axis)],
        ),
    ]
    for op, arguments, moved_arguments in pairs:
        expected = np.moveaxis(op(*arguments, k=k).numpy(), -1, axis)
        np.testing.assert_allclose(
            op(*moved_arguments, k=k, axis=axis), expected, atol=1e-12
        )
    for op in (tg.ops.subset_log_normalizer, tg.ops.subset_entropy):
        np.testing.assert_allclose(
            op(moved, k=k, axis=axis), op(logits, k=k), rtol=1e-12
        )
    np.testing.assert_allclose(
        tg.ops.subset_log_prob(
            moved, np.moveaxis(drawn.numpy(), -1, axis), k=k, axis=axis
        ),
        tg.ops.subset_log_prob(logits, drawn, k=k),
        rtol=1e-12,
    )


@eager_and_slow_xla
def test_every_example_may_have_a_size_of_its_own(compiled):
    logits = tf.constant(some_logits(9, rows=4))
    k = tf.constant([0, 1, 4, 9])
    low, high = tf.constant([0, 1, 2, 9]), tf.constant([3, 1, 6, 9])
    marginals = compiled(tg.ops.subset_marginals)(logits, k=k)
    ranges = compiled(tg.ops.subset_marginals)(logits, k=(low, high))
    for row in range(1, 4):
        one = logits[row : row + 1]
        expected = tg.ops.subset_marginals(one, k=int(k[row]))
        np.testing.assert_allclose(marginals[row], expected[0], atol=1e-13)
        pair = (int(low[row]), int(high[row]))
        expected = tg.ops.subset_marginals(one, k=pair)
        np.testing.assert_allclose(ranges[row], expected[0], atol=1e-13)
    np.testing.assert_allclose(marginals[0], np.zeros(9), atol=1e-15)
    noise = tg.random.uniform64([4, 9], [3, 1])
    drawn = compiled(tg.ops.sample_subset)(logits, noise, k=k)
    np.testing.assert_array_equal(np.sum(drawn, axis=1), k)
    np.testing.assert_array_equal(
        np.sum(tg.ops.subset_mode(logits, k=k), axis=1), k
    )
    drawn = compiled(tg.ops.sample_subset)(logits, noise, k=(low, high))
    assert np.all(np.sum(drawn, 1) >= low) and np.all(np.sum(drawn, 1) <= high)


def test_a_wide_range_leaves_the_variables_independent():
    """Any size: the marginals are the sigmoids, of many items too."""
    logits = some_logits(300)
    np.testing.assert_allclose(
        tg.ops.subset_marginals(logits, k=(0, 300)),
        1 / (1 + np.exp(-logits)),
        atol=1e-11,
    )
    np.testing.assert_allclose(
        tg.ops.subset_log_normalizer(logits, k=(0, 300)),
        np.sum(np.log1p(np.exp(logits)), axis=1),
        rtol=1e-12,
    )


@pytest.mark.parametrize("k", [(2, 10), (280, 299), (100, 120), (150, 151)])
def test_a_range_is_the_sum_of_its_sizes(k):
    logits = some_logits(300, rows=1)[0]
    log_zs = [
        log_space_recursion(logits, size)[0] for size in range(k[0], k[1] + 1)
    ]
    np.testing.assert_allclose(
        tg.ops.subset_log_normalizer(logits, k=k),
        np.logaddexp.reduce(log_zs),
        rtol=1e-11,
    )


@pytest.mark.parametrize(
    ("logit", "k"), [(-2.0, (0, 119)), (8.0, (900, 1000)), (-8.0, (0, 100))]
)
def test_a_range_of_equal_items(logit, k):
    """In the middle of what is likely, and at either end of what there is."""
    logits = tf.fill([1, 1000], tf.constant(logit, tf.float64))
    sizes = range(k[0], k[1] + 1)
    terms = [math.log(math.comb(1000, size)) + size * logit for size in sizes]
    found = tg.ops.subset_log_normalizer(logits, k=k)
    expected = np.logaddexp.reduce(terms)
    np.testing.assert_allclose(found, [expected], rtol=1e-12)


def test_a_few_of_many_items_are_counted():
    """Where the number of ones has long tails, as of a Poisson variable."""
    found = tg.ops.subset_log_normalizer(tf.zeros([1, 2000], tf.float64), k=40)
    expected = math.log(math.comb(2000, 40))
    assert float(found[0]) == pytest.approx(expected, abs=2e-13)


@pytest.mark.parametrize("k", [(0, 190), (150, 300)])
def test_a_range_has_numbers_on_either_side_of_the_mean(k):
    """Of which twice as many frequencies are needed."""
    logits = some_logits(300, rows=1)[0]
    mass = np.ones(1)
    for p in 1 / (1 + np.exp(-logits)):
        mass = np.convolve(mass, [1 - p, p])
    expected = np.log(np.sum(mass[k[0] : k[1] + 1]))
    expected += np.sum(np.log1p(np.exp(logits)))
    found = tg.ops.subset_log_normalizer(logits, k=k)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("k", [(4, 6), (0, 3)])
def test_a_range_whose_end_is_near_the_expected_size(k):
    """From half an item below to half an item above, of log-odds that vary."""
    logits = some_logits(8, rows=64, scale=8.0, seed=3)
    for _ in range(60):  # moves the expected size towards the nearer end
        p = 1 / (1 + np.exp(-logits))
        wanted = min(k, key=lambda end: abs(end - 3.5))
        wanted = wanted + np.linspace(-0.5, 0.5, len(logits))
        slope = 1.0 + np.sum(p * (1 - p), axis=1)
        logits += ((wanted - np.sum(p, axis=1)) / slope)[:, None]
    z, log_probs, log_z = enumerated(tf.constant(logits), k)
    found = tg.ops.subset_log_normalizer(logits, k=k)
    np.testing.assert_allclose(found, log_z, rtol=1e-11)
    best = tf.argmax(log_probs, axis=-1)
    found = tg.ops.subset_log_prob(logits, tf.gather(z, best), k=k)
    expected = tf.reduce_max(log_probs, axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_mode_is_the_most_probable_subset():
    for n, k in SIZES:
        logits = tf.constant(some_logits(n))
        z, log_prob, _ = enumerated(logits, k)
        best = tf.gather(z, tf.argmax(log_prob, axis=-1))
        np.testing.assert_array_equal(tg.ops.subset_mode(logits, k=k), best)
    tied = tg.ops.subset_mode([1.0, 1.0, 1.0, 0.0], k=2)
    np.testing.assert_array_equal(tied, [1, 1, 0, 0])
    # An item of log-odds 0 adds nothing, and is left out.
    even = tg.ops.subset_mode([0.0, 1.0, -1.0], k=(0, 3))
    np.testing.assert_array_equal(even, [0, 1, 0])


@sizes
def test_enumeration(n, k):
    found = tg.ops.enumerate_subsets(n, k)
    assert found.dtype == np.float32
    expected = subsets(n, k)
    assert len(found) == len(expected)
    assert {tuple(row) for row in found} == {tuple(row) for row in expected}
    assert np.all(np.diff(found.sum(axis=1)) >= 0)


def test_many_subsets_are_enumerated():
    assert len(tg.ops.enumerate_subsets(15, k=(0, 15))) == 2**15


@pytest.mark.parametrize(
    ("n", "k", "error"),
    [
        (4, 5, ValueError),
        (4, (3, 2), ValueError),
        (4, -1, ValueError),
        (23, 11, ValueError),  # a third more than 2^20
        (4, 2.0, TypeError),
        (4, True, TypeError),
        (0, 0, ValueError),
    ],
)
def test_bad_enumeration_is_an_error(n, k, error):
    with pytest.raises(error, match="Received: "):
        tg.ops.enumerate_subsets(n, k)


def test_a_sample_of_another_size_has_no_probability():
    log_prob = tg.ops.subset_log_prob(
        np.zeros([3, 4], np.float32), [[1, 0, 0, 0], [1, 1, 0, 0], [1] * 4], k=2
    )
    np.testing.assert_allclose(
        log_prob, [-np.inf, -np.log(6), -np.inf], rtol=1e-6
    )


def test_samples_carry_no_gradient():
    logits = tf.constant(some_logits(4))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        noise = tf.fill([3, 4], 0.5)
        z = tg.ops.sample_subset(logits, noise, k=2)
        mode = tg.ops.subset_mode(logits, k=2)
    assert tape.gradient([z, mode], logits) is None


TWO = {
    "marginals": tg.ops.subset_marginals,
    "log_normalizer": tg.ops.subset_log_normalizer,
    "entropy": tg.ops.subset_entropy,
    "mode": tg.ops.subset_mode,
    "kl": tg.ops.subset_kl,
    "log_prob": lambda x, k, axis=-1: tg.ops.subset_log_prob(
        x, x, k=k, axis=axis
    ),
    "sample": lambda x, k, axis=-1: tg.ops.sample_subset(x, x, k=k, axis=axis),
    "straight_through": lambda x, k, axis=-1: tg.ops.straight_through_subset(
        x, x, k=k, axis=axis
    ),
}


@pytest.mark.parametrize("op", TWO.values(), ids=TWO.keys())
@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "between 1 and .* 4 .*Received: k=0"),
        (5, ValueError, "between 1 and .* 4 .*Received: k=5"),
        (-1, ValueError, "Received: k=-1"),
        (2.0, TypeError, "Received: k=2.0"),
        (True, TypeError, "Received: k=True"),
        (None, TypeError, "Received: k=None"),
        ((1, 2, 3), ValueError, r"pair \(low, high\)"),
        ((3, 2), ValueError, "low <= high"),
        ((0, 5), ValueError, r"Received: k=\(0, 5\)"),
        (tf.constant([1.0, 2.0, 1.0]), TypeError, "k of dtype float32"),
        (tf.constant([1, 2]), ValueError, r"broadcast .*shape \(2,\)"),
        (tf.constant([[1, 2, 1]] * 2), ValueError, "broadcast"),
        (tf.constant([1, 2, 5]), ValueError, "Received: k="),
        (tf.constant([1, -2, 1]), ValueError, "Received: k="),
    ],
)
def test_bad_size_is_an_error(op, k, error, message):
    with pytest.raises(error, match=message):
        op(tf.zeros([3, 4]), k=k)


@pytest.mark.parametrize("op", TWO.values(), ids=TWO.keys())
@pytest.mark.parametrize(
    ("logits", "axis", "error", "message"),
    [
        (tf.constant(0.5), -1, ValueError, "rank 0"),
        (tf.ones([3, 0]), -1, ValueError, "number of items"),
        (tf.ones([3, 4]), 2, ValueError, "Received: axis=2"),
        (tf.ones([3, 4], "int32"), -1, TypeError, "logits of dtype int32"),
    ],
)
def test_bad_items_are_an_error(op, logits, axis, error, message):
    with pytest.raises(error, match=message):
        op(logits, k=1, axis=axis)


@pytest.mark.parametrize("name", ["log_prob", "straight_through", "sample"])
def test_a_sample_of_another_shape_is_an_error(name):
    op = {
        "log_prob": tg.ops.subset_log_prob,
        "straight_through": tg.ops.straight_through_subset,
        "sample": tg.ops.sample_subset,
    }[name]
    with pytest.raises(ValueError, match="shape of the logits"):
        op(tf.ones([3, 4]), tf.ones([4]), k=2)


@pytest.mark.full
def test_an_unknown_number_of_items_is_an_error():
    spec = tf.TensorSpec([None, None], tf.float32)
    with pytest.raises(ValueError, match="known number of items"):
        tf.function(
            lambda x: tg.ops.subset_marginals(x, k=2), input_signature=[spec]
        ).get_concrete_function()


@pytest.mark.full
def test_a_bad_size_in_a_graph_shows_as_nan():
    of_op = tf.function(tg.ops.subset_marginals)
    marginals = of_op(tf.zeros([3, 4]), k=tf.constant([1, 5, -1]))
    np.testing.assert_array_equal(
        np.isnan(marginals).all(axis=1), [False, True, True]
    )
    drawn = tf.function(tg.ops.sample_subset)(
        tf.zeros([2, 4]), tf.fill([2, 4], 0.5), k=tf.constant([5, 2])
    )
    assert np.all(np.isnan(drawn[0])) and np.sum(drawn[1]) == 2


def test_masked_items_are_never_drawn():
    """The logits of `mask_logits`; one legal item has the logit -inf."""
    logits = np.array([0.0, -np.inf, 2.0, 5.0, 1.0, 0.0], np.float32)
    mask = [True, True, True, False, False, False]
    masked = tg.ops.mask_logits(logits, mask)
    noise = tg.random.uniform64([500, 6], [8, 8])
    many = tf.broadcast_to(masked, [500, 6])
    drawn = tg.ops.sample_subset(many, noise, k=3).numpy()
    np.testing.assert_array_equal(drawn, [[1, 1, 1, 0, 0, 0]] * 500)
    drawn = tg.ops.sample_subset(many, noise, k=2).numpy()
    np.testing.assert_array_equal(drawn, [[1, 0, 1, 0, 0, 0]] * 500)


def test_groups_are_neighbours():
    x = tf.reshape(tf.range(24), [8, 3])
    grouped = tg.ops.group(x, size=4, axis=0)
    assert grouped.shape == (2, 4, 3)
    np.testing.assert_array_equal(grouped[1, :, 0], [12, 15, 18, 21])
    np.testing.assert_array_equal(tg.ops.ungroup(grouped, axis=0), x)


def test_two_of_four_along_the_input_of_a_matrix():
    logits = tf.constant(some_logits(6, rows=16))
    noise = tg.random.uniform64([16, 6], [1, 1])
    groups = [tg.ops.group(x, size=4, axis=0) for x in (logits, noise)]
    mask = tg.ops.ungroup(tg.ops.sample_subset(*groups, k=2, axis=1), axis=0)
    assert mask.shape == logits.shape
    counts = mask.numpy().reshape(4, 4, 6).sum(axis=1)
    np.testing.assert_array_equal(counts, np.full([4, 6], 2.0))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tg.ops.group(tf.ones([6]), size=4), ValueError),
        (lambda: tg.ops.group(tf.ones([6]), size=0), ValueError),
        (lambda: tg.ops.group(tf.ones([6]), size=2.0), TypeError),
        (lambda: tg.ops.group(tf.ones([6]), size=2, axis=1), ValueError),
        (lambda: tg.ops.ungroup(tf.ones([6]), axis=0), ValueError),
        (lambda: tg.ops.ungroup(tf.ones([6, 2]), axis=-1), ValueError),
    ],
)
def test_bad_groups_are_an_error(call, error):
    with pytest.raises(error, match="Received: "):
        call()
