"""The newer straight-through gradients, by enumeration over categories.

Each gradient is known for every category that can be drawn, so that bias and
variance are sums over K terms: nothing here is sampled but the noise of
Gumbel-Rao.
"""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.statistics import assert_mean
from tfgumbel import ops, random

K = 5
RNG = np.random.default_rng(3)
LOGITS = RNG.normal(size=K)
P = np.exp(LOGITS) / np.exp(LOGITS).sum()
JACOBIAN = np.diag(P) - np.outer(P, P)
EYE = np.eye(K)

# f(z) = c'z + z'Qz/2 at the corners, and its gradients there.
C = RNG.normal(size=K)
Q = RNG.normal(size=(K, K))
Q = Q + Q.T
VALUES = C + 0.5 * np.diag(Q)
SLOPES = C + Q
EXACT = JACOBIAN @ VALUES

ESTIMATORS = {
    "reinmax": ops.reinmax,
    "zgr": ops.zgr,
    "gapped": ops.gapped_straight_through,
    "mve": ops.minimum_variance_straight_through,
    "gumbel_rao": lambda logits, sample, axis=-1, **kwargs: ops.gumbel_rao(
        logits, sample, rao_noise(logits.shape, axis), axis=axis, **kwargs
    ),
}


def rao_noise(shape, axis):
    """The same for each category, whichever axis categories are on."""
    rows = random.gumbel([4, *(shape if axis else shape[::-1])], [5, 6])
    return rows if axis else tf.transpose(rows, [0, 2, 1])


def mve(tau):
    return partial(ops.minimum_variance_straight_through, temperature=tau)


def gradients(op, slopes=SLOPES, logits=LOGITS):
    """The gradient in the logits for each category drawn, `[K, K]`."""
    logits = tf.constant(np.tile(logits, [K, 1]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = op(logits, tf.constant(EYE, logits.dtype))
    np.testing.assert_array_equal(z, EYE)
    slopes = tf.constant(slopes, logits.dtype)
    return tape.gradient(z, logits, slopes).numpy()


def jacobian(p):
    return np.diag(p) - np.outer(p, p)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


@pytest.mark.parametrize(
    "op",
    [
        ops.reinmax,
        ops.zgr,
        mve(1e8),
    ],
    ids=["reinmax", "zgr", "mve at its limit"],
)
def test_exact_in_expectation_for_a_quadratic(op):
    np.testing.assert_allclose(P @ gradients(op), EXACT, atol=1e-7)
    straight = P @ gradients(ops.straight_through)
    assert np.abs(straight - EXACT).max() > 0.05


def test_mve_is_exact_for_a_linear_cost_at_every_temperature():
    linear = np.tile(C, [K, 1])
    for tau in (0.1, 1.0, 30.0):
        mean = P @ gradients(mve(tau), linear)
        np.testing.assert_allclose(mean, JACOBIAN @ C, atol=1e-12)


@pytest.mark.full
def test_mve_has_the_least_variance_of_the_exact_estimators():
    def spread(op):
        found = [
            gradients(op, RNG.normal(size=(K, 1)) + np.zeros((K, K)) + C2)
            for C2 in RNG.normal(size=(200, K, K))
        ]
        return np.mean([P @ np.sum(np.square(g), 1) for g in found])

    limit = spread(mve(1e8))
    assert limit < spread(ops.reinmax)
    assert limit < spread(ops.zgr)


def test_mve_solves_the_authors_system():
    """The K x K matrices S_x formed one by one, as the paper writes them."""
    tau = 2.0
    pair = 1 + tau * (P[:, None] + P)
    matrix = -tau * np.outer(P, P) / pair
    matrix += np.diag((1 + tau * P) * np.sum(P / pair, axis=1))
    right = ((1 + tau * P) / (1 + 2 * tau * P))[:, None] * JACOBIAN
    v = np.linalg.solve(matrix, right)
    expected = []
    for x in range(K):
        s = (1 + tau * P)[:, None] * v - tau * P[:, None] * v[x]
        s[x] += tau * JACOBIAN[x]
        s /= (1 + tau * (P + P[x]))[:, None]
        expected.append(s.T @ SLOPES[x])
    found = gradients(mve(tau))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("tau", [1e6, 1e8, 1e12])
def test_mve_keeps_its_precision_where_its_matrix_is_all_but_singular(tau):
    rng = np.random.default_rng(0)
    logits, upstream = rng.normal(size=(2, 300, 4))
    sample = np.eye(4)[rng.integers(0, 4, 300)]
    found = []
    for dtype in ("float32", "float64"):
        inputs = tf.constant(logits, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            z = mve(tau)(inputs, tf.constant(sample, dtype))
        found.append(tape.gradient(z, inputs, tf.constant(upstream, dtype)))
    size = np.abs(found[1]).max()
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("tau", [0.7, 1.0, 1.4])
def test_reinmax_formula(tau):
    found = gradients(partial(ops.reinmax, temperature=tau))
    for x in range(K):
        middle = 0.5 * (softmax(LOGITS / tau) + EYE[x])
        expected = 2 * jacobian(middle) @ SLOPES[x]
        expected -= 0.5 * JACOBIAN @ SLOPES[x]
        np.testing.assert_allclose(found[x], expected, atol=1e-12)


def test_gapped_formula():
    tau, gap = 0.8, 0.5
    found = gradients(
        partial(ops.gapped_straight_through, temperature=tau, gap=gap)
    )
    for x in range(K):
        moved = np.minimum(LOGITS, LOGITS.max() - gap)
        moved[x] = LOGITS.max()
        expected = jacobian(softmax(moved / tau)) @ SLOPES[x] / tau
        np.testing.assert_allclose(found[x], expected, atol=1e-12)


def per_draw(op, draws, seed, logits=LOGITS):
    """Gradients of f(sample) for `draws` exact samples, `[draws, K]`."""
    logits = tf.constant(np.tile(logits, [draws, 1]), tf.float32)
    noise, more = random.split(seed, 2)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = op(logits, random.gumbel(logits.shape, noise), more)
    slopes = tf.matmul(z, tf.constant(SLOPES, tf.float32))
    return tape.gradient(z, logits, slopes).numpy()


def st_gumbel(logits, noise, _):
    return ops.gumbel_softmax(logits, noise, hard=True)


def rao(count):
    def op(logits, noise, seed):
        sample = tf.one_hot(ops.gumbel_max(logits, noise), K)
        more = random.gumbel([count, *logits.shape], seed)
        return ops.gumbel_rao(logits, sample, more)

    return op


@pytest.mark.full
def test_gumbel_rao_averages_straight_through_gumbel():
    single = per_draw(st_gumbel, 40_000, [1, 1])
    one = per_draw(rao(1), 40_000, [2, 2])
    many = per_draw(rao(32), 40_000, [3, 3])
    # The last mean is known many times better than the others.
    assert_mean(single, many.mean(0), 0.04)
    assert_mean(one, many.mean(0), 0.04)
    # One conditional draw: the same law, here the same second moments.
    np.testing.assert_allclose(one.var(0), single.var(0), rtol=0.1)
    assert np.all(many.var(0) < 0.9 * single.var(0))


def test_gumbel_rao_tends_to_zgr_as_the_temperature_falls():
    """With the noise enumerated by brute force at a low temperature."""
    noise = random.gumbel([40_000, K, K], [7, 7])
    cold = gradients(partial(ops.gumbel_rao, noise=noise, temperature=0.02))
    np.testing.assert_allclose(cold, gradients(ops.zgr), atol=0.12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_logits_that_are_large_together(name, dtype):
    """What they have in common says nothing."""
    op = partial(ESTIMATORS[name], axis=-1)
    logits = np.arange(K, dtype=dtype) / 2
    near, far = (gradients(op, logits=logits + more) for more in (0.0, 1e6))
    np.testing.assert_allclose(far, near, atol=1e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_values_masks_axes_and_extremes(name, compiled):
    op = ESTIMATORS[name]
    logits = np.array([[1e4, -1e4, 0.0], [-np.inf, 0.5, 0.5]], "float32")
    sample = np.array([[1, 0, 0], [0, 0, 1]], "float32")

    def gradient(logits, sample, axis):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            z = op(logits, sample, axis=axis)
        return z, tape.gradient(z, logits, tf.ones_like(z) * [[1.0]])

    run = compiled(lambda *pair: gradient(*pair, -1))
    z, rows = run(tf.constant(logits), tf.constant(sample))
    np.testing.assert_array_equal(z, sample)
    assert np.all(np.isfinite(rows)) and rows[1, 0] == 0
    run = compiled(lambda *pair: gradient(*pair, 0))
    z, columns = run(tf.constant(logits.T), tf.constant(sample.T))
    np.testing.assert_array_equal(z, sample.T)
    np.testing.assert_allclose(columns, np.transpose(rows), atol=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_half_precision_and_nan_rows(name):
    op = ESTIMATORS[name]
    logits = tf.constant([[1.0, np.nan], [0.5, 0.0]], tf.float16)
    z = op(logits, tf.constant([[1.0, 0.0], [0.0, 1.0]]))
    assert z.dtype == tf.float16
    assert np.all(np.isnan(z[0])) and np.all(z[1] == [0, 1])


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"zgr"}))
def test_a_bad_temperature(name):
    with pytest.raises(ValueError, match="`temperature`.*temperature=-1"):
        ESTIMATORS[name](tf.zeros([2]), [1.0, 0.0], temperature=-1)


def test_a_bad_gap():
    with pytest.raises(ValueError, match="`gap`.*gap=0"):
        ops.gapped_straight_through([0.0, 0.0], [1.0, 0.0], gap=0)


def test_a_logit_that_overflowed_stays_in_its_row():
    """The solver of "mve" would fail for the whole batch."""
    logits = tf.constant([[np.inf, 0.0, 1.0], [0.3, 0.0, 1.0]])
    sample, upstream = tf.one_hot([0, 2], 3), tf.constant([[0.5, 1.0, -2.0]])

    def gradient_of(rows):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            z = ops.minimum_variance_straight_through(
                logits[rows:], sample[rows:]
            )
            total = tf.reduce_sum(upstream * z)
        return tape.gradient(total, logits).numpy()

    both, second = gradient_of(0), gradient_of(1)
    assert np.all(np.isnan(both[0]))
    np.testing.assert_allclose(both[1], second[1], rtol=1e-6)
    assert np.all(second[1] != 0)
