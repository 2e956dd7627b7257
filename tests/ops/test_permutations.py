"""Orders of items: probabilities by enumeration, relaxations, matching."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.helpers.statistics import assert_frequencies, plackett_luce
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    derivatives,
    value_and_gradients,
)

LOGITS = np.array([0.5, -0.3, 1.1, 0.0])
SORTS = {"soft_sort": tg.ops.soft_sort, "neural_sort": tg.ops.neural_sort}
sorts = pytest.mark.parametrize("op", SORTS.values(), ids=SORTS.keys())


def some(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_log_probabilities_are_those_of_enumeration(k):
    tuples, probabilities = plackett_luce(LOGITS, k)
    logits = np.tile(LOGITS, [len(tuples), 1])
    log_prob = tg.ops.plackett_luce_log_prob(logits, tuples)
    np.testing.assert_allclose(np.exp(log_prob), probabilities, rtol=1e-12)
    np.testing.assert_allclose(np.sum(np.exp(log_prob)), 1.0, rtol=1e-12)


@eager_and_slow_xla
@pytest.mark.parametrize("k", [2, 5])
def test_derivatives_of_the_log_probability(k, compiled):
    """Against the definition, in plain ops."""
    logits = tf.constant(some(3, 5))
    order = np.array([[4, 1, 0, 2, 3], [0, 1, 2, 3, 4], [3, 2, 4, 0, 1]])
    order = order[:, :k]

    def composed(logits):
        total, left = 0.0, tf.ones_like(logits)
        for t in range(k):
            one = tf.one_hot(order[:, t], 5, dtype=logits.dtype)
            mass = tf.reduce_sum(left * tf.exp(logits), axis=-1)
            total += tf.reduce_sum(one * logits, axis=-1) - tf.math.log(mass)
            left -= one
        return total

    @compiled
    def of_op(logits):
        return derivatives(
            lambda x: tg.ops.plackett_luce_log_prob(x, order), [logits]
        )

    expected = derivatives(composed, [logits])
    assert_close(of_op(logits), expected, rtol=1e-9, atol=1e-11)


def test_log_probability_of_extreme_scores():
    logits = tf.constant([[1e4, 0.0, -1e4, -np.inf], [0.0, 0.0, 0.0, -np.inf]])
    orders = [[0, 1, 2, 3], [2, 1, 0, 3]]
    value, gradient = value_and_gradients(
        lambda x: tg.ops.plackett_luce_log_prob(x, orders), [logits]
    )
    assert_finite([value, gradient])
    np.testing.assert_allclose(value, [0.0, -np.log(6.0)], rtol=1e-6)


def test_samples_follow_their_probabilities(compiled):
    orders = tg.ops.enumerate_permutations(4)
    logits = np.tile(LOGITS, [len(orders), 1])
    probabilities = np.exp(tg.ops.plackett_luce_log_prob(logits, orders))

    @compiled
    def draw(seed):
        many = tf.broadcast_to(tf.constant(LOGITS, tf.float32), [50_000, 4])
        noise = tg.random.gumbel([50_000, 4], seed)
        return tg.ops.sample_permutation(many, noise)

    weights = 4 ** np.arange(4)
    codes = orders @ weights
    rank = np.argsort(codes)
    drawn = np.searchsorted(codes[rank], np.asarray(draw([2, 3])) @ weights)
    assert_frequencies(drawn, probabilities[rank])


def test_the_first_of_a_sample_are_those_of_gumbel_top_k():
    logits, noise = some(6, 5), some(6, 5, seed=4)
    order = tg.ops.sample_permutation(logits, noise)
    top = tg.ops.gumbel_top_k(logits, noise, k=3)
    np.testing.assert_array_equal(order[:, :3], top)


def test_mode_is_the_most_probable_order():
    orders = tg.ops.enumerate_permutations(4)
    logits = np.tile(LOGITS, [len(orders), 1])
    best = np.argmax(tg.ops.plackett_luce_log_prob(logits, orders))
    mode = tg.ops.permutation_mode(LOGITS)
    np.testing.assert_array_equal(mode, orders[best])
    np.testing.assert_array_equal(tg.ops.permutation_mode([1.0, 1.0]), [0, 1])


def test_matrix_sorts():
    logits = some(3, 5)
    matrix = tg.ops.permutation_matrix(tg.ops.permutation_mode(logits))
    assert matrix.dtype == tf.float32
    np.testing.assert_allclose(
        np.einsum("bij,bj->bi", matrix, logits),
        -np.sort(-logits, axis=1),
        rtol=1e-6,
    )


def test_enumeration():
    orders = tg.ops.enumerate_permutations(4)
    assert orders.dtype == np.int32
    assert [tuple(o) for o in orders] == list(itertools.permutations(range(4)))
    with pytest.raises(ValueError, match="Received: n=11"):
        tg.ops.enumerate_permutations(11)


def composed_soft_sort(logits, noise, temperature):
    s = logits + noise
    ordered = tf.sort(s, axis=-1, direction="DESCENDING")
    distance = tf.abs(ordered[..., :, None] - s[..., None, :])
    return tf.nn.softmax(-distance / temperature)


def at(op, **options):
    """The op as a function of logits, noise and temperature."""
    return lambda logits, noise, t: op(logits, noise, temperature=t, **options)


def composed_neural_sort(logits, noise, temperature):
    s = logits + noise
    n = s.shape[-1]
    spread = tf.reduce_sum(tf.abs(s[..., None] - s[..., None, :]), axis=-1)
    rows = [(n + 1 - 2 * t) * s - spread for t in range(1, n + 1)]
    return tf.nn.softmax(tf.stack(rows, axis=-2) / temperature)


@eager_and_slow_xla
@sorts
def test_relaxations_are_their_formulas(op, compiled):
    composed = (
        composed_soft_sort if op is tg.ops.soft_sort else composed_neural_sort
    )
    arguments = [
        tf.constant(some(2, 5)),
        tf.constant(some(2, 5, seed=8)),
        tf.constant(0.7, tf.float64),
    ]

    @compiled
    def of_op(*arguments):
        return derivatives(at(op), list(arguments))

    expected = derivatives(composed, arguments)
    assert_close(of_op(*arguments), expected, rtol=1e-8, atol=1e-10)
    hard, first = value_and_gradients(
        lambda *a: op(*a[:2], temperature=a[2], hard=True), arguments
    )
    assert_close(first, expected[1], rtol=1e-8, atol=1e-10)
    order = np.argsort(-(arguments[0] + arguments[1]), axis=1)
    np.testing.assert_array_equal(
        hard, tg.ops.permutation_matrix(order, dtype="float64")
    )


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "op", [*SORTS.values(), tg.ops.gumbel_sinkhorn], ids=lambda op: op.__name__
)
def test_the_gradient_may_have_a_temperature_of_its_own(op, hard):
    """The value is that of τ, the gradient that of the other one."""
    shape = (2, 4, 4) if op is tg.ops.gumbel_sinkhorn else (2, 4)
    logits, noise = some(*shape), some(*shape, seed=8)

    def of_op(**options):
        return value_and_gradients(
            lambda x: op(x, noise, hard=hard, **options), [tf.constant(logits)]
        )

    value, gradient = of_op(temperature=0.3, backward_temperature=0.9)
    np.testing.assert_allclose(value, of_op(temperature=0.3)[0], rtol=1e-12)
    # A fixed incoming gradient: that of `value_and_gradients` depends on none.
    assert_close(gradient, of_op(temperature=0.9)[1], rtol=1e-10)
    logits[0, 1] = np.nan
    _, (gradient,) = of_op(temperature=0.3, backward_temperature=0.9)
    assert np.all(np.isnan(gradient[0])) and np.all(np.isfinite(gradient[1:]))


@sorts
def test_rows_are_probabilities_and_tend_to_the_permutation(op):
    logits, noise = some(20, 6).astype("float32"), some(20, 6, seed=9)
    for temperature in (5.0, 0.5, 1e-3):
        rows = np.sum(op(logits, noise, temperature=temperature), axis=-1)
        np.testing.assert_allclose(rows, 1.0, rtol=1e-5)
    hard = op(logits, noise, hard=True).numpy()
    np.testing.assert_allclose(
        op(logits, noise, temperature=1e-5), hard, atol=1e-4
    )
    for axis in (1, 2):
        np.testing.assert_array_equal(hard.sum(axis=axis), 1.0)


def test_an_impossible_place_leaves_the_temperature_its_gradient():
    """Of two items and places: σ((a + d - b - c) / 2τ), and 1 apart."""
    logits = np.full([3, 3], -np.inf)
    logits[0, 0], logits[1:, 1:] = 0.4, [[0.9, -0.2], [0.1, 0.6]]
    tau = tf.constant(0.7, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(tau)
        matrix = tg.ops.gumbel_sinkhorn(
            logits, np.zeros([3, 3]), temperature=tau
        )
        chosen = matrix[1, 1]
    half = (0.9 + 0.6 + 0.2 - 0.1) / 2.0
    p = 1.0 / (1.0 + np.exp(-half / 0.7))
    np.testing.assert_allclose(matrix[0], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(chosen, p)
    slope = -p * (1.0 - p) * half / 0.7**2
    np.testing.assert_allclose(tape.gradient(chosen, tau), slope)


def test_an_impossible_item_stands_last():
    logits = [[0.0, -np.inf, 2.0]]
    zeros = np.zeros([1, 3])
    soft, gradient = value_and_gradients(
        lambda x: tg.ops.soft_sort(x, zeros, temperature=0.1),
        [tf.constant(logits)],
    )
    assert_finite([soft, gradient])
    np.testing.assert_allclose(
        soft[0], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-6
    )
    assert np.all(np.isnan(tg.ops.neural_sort(logits, zeros)))


@eager_and_slow_xla
def test_sinkhorn_is_doubly_stochastic(compiled):
    """To 1e-4 at temperature 1, after the iterations of the default."""
    logits, noise = some(30, 6, 6), some(30, 6, 6, seed=5)
    matrix = compiled(tg.ops.gumbel_sinkhorn)(
        tf.constant(logits, tf.float32), noise
    ).numpy()
    assert np.all(matrix >= 0)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(matrix.sum(axis=2), 1.0, atol=1e-4)


def test_sinkhorn_scales_rows_and_columns_only():
    logits = some(5, 4, 4)
    matrix = tg.ops.sinkhorn(logits, iterations=500).numpy()
    change = np.log(matrix) - logits
    change -= change[:, :1, :]
    np.testing.assert_allclose(change, change[:, :, :1] * np.ones(4), atol=1e-9)


@eager_and_slow_xla
def test_derivatives_of_sinkhorn(compiled):
    logits = tf.constant(some(2, 3, 3))

    def composed(x):
        for _ in range(7):
            x -= tf.reduce_logsumexp(x, axis=2, keepdims=True)
            x -= tf.reduce_logsumexp(x, axis=1, keepdims=True)
        return tf.exp(x)

    @compiled
    def of_op(x):
        return derivatives(lambda x: tg.ops.sinkhorn(x, iterations=7), [x])

    expected = derivatives(composed, [logits])
    assert_close(of_op(logits), expected, rtol=1e-9, atol=1e-11)


def test_the_gradient_of_sinkhorn_leaves_xla():
    """That of a `tf.while_loop` does not: the tape must be inside with it."""
    x, weights = tf.constant(some(3, 4, 4)), some(3, 4, 4, seed=4)
    gradients = []
    for function in (
        tg.ops.sinkhorn,
        tf.function(tg.ops.sinkhorn, jit_compile=True),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(weights * function(x))
        gradients.append(tape.gradient(value, x))
    np.testing.assert_allclose(*gradients, rtol=1e-9)


def test_sinkhorn_tends_to_the_matching():
    """Scores whose matching leads by far."""
    target = np.array([2, 0, 3, 1])
    logits = 0.3 * some(1, 4, 4) + 3.0 * np.eye(4)[target]
    zeros = np.zeros_like(logits)
    hard = tg.ops.gumbel_sinkhorn(logits, zeros, hard=True)
    np.testing.assert_array_equal(hard[0], np.eye(4)[target])
    soft = tg.ops.gumbel_sinkhorn(logits, zeros, temperature=0.05)
    np.testing.assert_allclose(soft, hard, atol=1e-6)


@pytest.mark.full
def test_hard_sinkhorn_has_the_gradient_of_the_soft_one():
    arguments = [tf.constant(some(2, 4, 4)), tf.constant(some(2, 4, 4, seed=7))]
    hard, first = value_and_gradients(
        lambda x, g: tg.ops.gumbel_sinkhorn(x, g, temperature=0.8, hard=True),
        arguments,
    )
    soft, expected = value_and_gradients(
        lambda x, g: tg.ops.gumbel_sinkhorn(x, g, temperature=0.8), arguments
    )
    assert_close(first, expected, rtol=1e-12)
    assert not np.allclose(hard, soft)
    for axis in (1, 2):
        np.testing.assert_array_equal(np.sum(hard, axis=axis), 1.0)


def scipy_matching(weights):
    return [scipy.optimize.linear_sum_assignment(-w)[1] for w in weights]


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
def test_matching_is_that_of_scipy(n, compiled):
    weights = some(25, n, n, seed=n)
    matching = compiled(tg.ops.maximal_matching)(weights)
    assert matching.dtype == tf.int32
    np.testing.assert_array_equal(matching, scipy_matching(weights))


@pytest.mark.parametrize("shape", [[None, None, 3], [None, 3, None]])
@pytest.mark.parametrize("op", [tg.ops.maximal_matching, tg.ops.sinkhorn])
def test_one_side_of_a_square_tells_the_other(op, shape):
    matrices = np.random.default_rng(0).normal(size=(2, 3, 3))
    traced = tf.function(op, input_signature=[tf.TensorSpec(shape, "float64")])
    np.testing.assert_allclose(traced(matrices), op(matrices))
    found = traced.get_concrete_function().structured_outputs.shape
    assert None not in found[1:]


def test_matching_of_ties_and_of_extremes():
    """Of equal totals any will do."""
    weights = np.round(some(40, 6, 6))
    weights[20:] = np.where(weights[20:] > 1.0, -1e6, 1e4 * weights[20:])
    matching = tg.ops.maximal_matching(weights).numpy()
    np.testing.assert_array_equal(np.sort(matching, axis=1), [range(6)] * 40)
    total, best = (
        np.take_along_axis(weights, np.array(m)[:, :, None], axis=2).sum((1, 2))
        for m in (matching, scipy_matching(weights))
    )
    np.testing.assert_allclose(total, best, rtol=1e-12)


def test_matching_takes_an_impossible_pair_only_if_it_must():
    weights = np.full([1, 3, 3], -np.inf)
    weights[0, [0, 1, 2, 2], [1, 2, 0, 1]] = [0.0, 0.0, -50.0, 100.0]
    matching = tg.ops.maximal_matching(weights)
    np.testing.assert_array_equal(matching, [[1, 2, 0]])


def test_matching_that_must_take_impossible_pairs_chooses_well_among_the_rest():
    """As few of them as can be, then the largest sum: of all permutations."""
    weights = some(200, 3, 3)
    weights[np.random.default_rng(1).random(weights.shape) < 0.6] = -np.inf
    orders = np.array(list(itertools.permutations(range(3))))
    bounded = np.maximum(weights, -1e6)
    best = bounded[:, range(3), orders].sum(-1).max(1)
    matching = tg.ops.maximal_matching(weights).numpy()
    chosen = np.take_along_axis(bounded, matching[:, :, None], axis=2)
    np.testing.assert_allclose(chosen.sum((1, 2)), best, rtol=1e-12)


MATRICES = {
    "gumbel_sinkhorn": lambda x: tg.ops.gumbel_sinkhorn(x, tf.zeros_like(x)),
    "hard_sinkhorn": lambda x: tg.ops.gumbel_sinkhorn(
        x, tf.zeros_like(x), hard=True
    ),
    "sinkhorn": tg.ops.sinkhorn,
}
ROWS = {
    "soft_sort": lambda x: tg.ops.soft_sort(x, tf.zeros_like(x)),
    "hard_soft_sort": lambda x: tg.ops.soft_sort(
        x, tf.zeros_like(x), temperature=1, hard=True
    ),
    "neural_sort": lambda x: tg.ops.neural_sort(x, tf.zeros_like(x)),
    "log_prob": lambda x: tg.ops.plackett_luce_log_prob(
        x, tg.ops.permutation_mode(tf.zeros_like(x))
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("name", [*MATRICES, *ROWS])
def test_nan_stays_in_its_example(name):
    shape = (3, 4, 4) if name in MATRICES else (3, 4)
    op = {**MATRICES, **ROWS}[name]
    logits = some(*shape).astype("float32")
    clean = tf.nest.flatten(value_and_gradients(op, [tf.constant(logits)]))
    logits[1, 2] = np.nan
    found = tf.nest.flatten(value_and_gradients(op, [tf.constant(logits)]))
    for tensor, expected in zip(found, clean, strict=True):
        assert np.all(np.isnan(tensor[1]))
        np.testing.assert_array_equal(tensor[0], expected[0])
        np.testing.assert_array_equal(tensor[2], expected[2])


@pytest.mark.full
@pytest.mark.parametrize("name", [*MATRICES, *ROWS])
def test_half_precision_and_unknown_batch(name):
    shape = [4, 4] if name in MATRICES else [4]
    op = {**MATRICES, **ROWS}[name]
    spec = tf.TensorSpec([None, *shape], tf.float16)
    of_op = tf.function(op, input_signature=[spec])
    half = tf.constant(some(3, *shape), tf.float16)
    value = of_op(half)
    assert value.dtype == (tf.float32 if name == "log_prob" else tf.float16)
    expected = op(tf.cast(half, tf.float32))
    np.testing.assert_allclose(
        tf.cast(value, tf.float32), expected, rtol=2e-3, atol=1e-4
    )


@pytest.mark.full
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
@pytest.mark.parametrize("op", [*SORTS.values(), tg.ops.gumbel_sinkhorn])
def test_bad_temperature_is_an_error(op, temperature):
    x = tf.ones([3, 4, 4])
    with pytest.raises(ValueError, match="Received: temperature="):
        op(x, x, temperature=temperature)
    bad = tf.constant(float(temperature))
    value = tf.function(at(op))(x, x, bad)
    assert np.all(np.isnan(value))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tg.ops.sinkhorn(tf.ones([3, 4])),
            ValueError,
            r"square matrices.*shape \(3, 4\)",
        ),
        (
            lambda: tg.ops.maximal_matching(tf.ones([4])),
            ValueError,
            "weights of shape",
        ),
        (
            lambda: tg.ops.maximal_matching(tf.ones([2, 2], "int32")),
            TypeError,
            "weights of dtype int32",
        ),
        (
            lambda: tg.ops.sinkhorn(tf.ones([2, 2]), iterations=0),
            ValueError,
            "iterations=0",
        ),
        (
            lambda: tg.ops.soft_sort(1.0, 1.0),
            ValueError,
            r"shape \[..., n\]",
        ),
        (
            lambda: tg.ops.soft_sort(tf.ones([2, 3]), tf.ones([3])),
            ValueError,
            "`noise`",
        ),
        (
            lambda: tg.ops.permutation_matrix([0.5]),
            TypeError,
            "order of dtype float32",
        ),
        (
            lambda: tg.ops.plackett_luce_log_prob([0.0, 1.0], [0.0, 1.0]),
            TypeError,
            "order of dtype float32",
        ),
        (
            lambda: tg.ops.plackett_luce_log_prob([0.0, 1.0], [0, 1, 0]),
            ValueError,
            r"order of shape \(3,\)",
        ),
        (
            lambda: tg.ops.plackett_luce_log_prob(tf.ones([2, 3]), [0, 1, 2]),
            ValueError,
            r"order of shape \(3,\)",
        ),
    ],
)
def test_bad_arguments_are_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
