"""Codes of vectors: values, gradients and blocks against plain TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import assert_close
from tfgumbel.estimators import _surrogate

RANDOM = np.random.default_rng(3)
X, UPSTREAM = RANDOM.normal(size=(2, 7, 3))
BOOK = RANDOM.normal(size=(5, 3))
INDEX = np.array([0, 1, 2, 3, 4, 0, 1])
SCALE = 0.8
BLOCKS = [10, 10_000]  # two vectors at a time; all at once


def plain_logits(x, book, scale):
    return -tf.reduce_sum((x[:, None] - book) ** 2, axis=-1) / scale


def plain(x, book, scale):
    """Straight-through of a one-hot, times the codebook."""
    p = tf.nn.softmax(plain_logits(x, book, scale))
    one_hot = tf.one_hot(INDEX, len(BOOK), dtype=x.dtype)
    return (p + tf.stop_gradient(one_hot - p)) @ book


def differentiated(function, *values):
    values = [tf.constant(value, tf.float64) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = function(*values)
        cost = tf.reduce_sum(tf.sin(y) * UPSTREAM)
    gradients = tape.gradient(cost, values, unconnected_gradients="zero")
    return y, [tf.convert_to_tensor(g) for g in gradients]


@pytest.mark.parametrize("block", BLOCKS)
def test_straight_through_is_that_of_a_one_hot(block):
    """In vectors, codes and scale, whatever the size of a block."""
    expected = differentiated(plain, X, BOOK, SCALE)

    def by_blocks(x, book, scale):
        return tg.ops.quantize(x, book, INDEX, scale=scale, block=block)

    assert_close(differentiated(by_blocks, X, BOOK, SCALE), expected)

    def of_vectors_alone(x, book, scale):
        return tg.ops.quantize(
            x, book, INDEX, scale=scale, trains_codebook=False, block=block
        )

    y, (of_x, *others) = differentiated(of_vectors_alone, X, BOOK, SCALE)
    assert_close([y, of_x], [expected[0], expected[1][0]])
    assert all(np.all(g == 0) for g in others)


def enumerated(name, cost, x, book, scale):
    """The estimator's mean over all codes, and the exact gradient in x."""
    logits = plain_logits(x[None], book, scale)
    p = tf.nn.softmax(logits)[0].numpy()
    total = 0.0
    for index, probability in enumerate(p):
        member = tg.ops.SURROGATES[name].index_gradient

        def gradient(block, member=member):
            return member(block, tf.constant(1.0, tf.float64))

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tg.ops.quantize(
                x[None], book, [index], scale=scale, gradient=gradient
            )
            f = cost(y[0])
        total += probability * tape.gradient(f, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = tf.nn.softmax(plain_logits(x[None], book, scale))[0]
        mean = tf.add_n([q[k] * cost(book[k]) for k in range(len(BOOK))])
    return total.numpy(), tape.gradient(mean, x).numpy()


def test_reinmax_is_exact_for_a_quadratic_cost_of_the_code():
    """By enumeration; straight-through is not, so that the test can fail."""
    x, book = tf.constant(X[0]), tf.constant(BOOK)
    matrix = tf.constant(RANDOM.normal(size=(3, 3)))

    def quadratic(y):
        return tf.reduce_sum(y * tf.linalg.matvec(matrix, y)) + y[0]

    mean, exact = enumerated("reinmax", quadratic, x, book, SCALE)
    np.testing.assert_allclose(mean, exact, rtol=1e-9)
    mean, _ = enumerated("st", quadratic, x, book, SCALE)
    assert np.linalg.norm(mean - exact) > 0.02 * np.linalg.norm(exact)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("compiled", ["eager", "graph"], indirect=True)
def test_the_nearest_code_is_nearest(compiled, block):
    distances = np.sum((X[:, None] - BOOK) ** 2, axis=-1)
    found = compiled(lambda: tg.ops.nearest_code(X, BOOK, block=block))()
    np.testing.assert_array_equal(found, distances.argmin(axis=-1))


def test_logits_are_distances_up_to_a_constant_of_the_vector():
    logits = tg.ops.code_logits(X, BOOK, scale=SCALE)
    expected = plain_logits(X, BOOK, SCALE)
    centred = X - BOOK.mean(axis=0)
    constant = np.sum(centred**2, axis=-1, keepdims=True) / SCALE
    np.testing.assert_allclose(logits, expected + constant)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = tf.constant(X, dtype)
    logits = tg.ops.code_logits(x, BOOK.astype("float32"), scale=SCALE)
    single = tf.cast(x, tf.float32)
    expected = tg.ops.code_logits(single, BOOK.astype("float32"), scale=SCALE)
    assert logits.dtype == tf.float32
    assert_close(logits, expected)


def test_vectors_and_codes_far_from_zero():
    """In float32, as near zero: rounded, their distances are not."""
    random = np.random.default_rng(2)
    x, book = random.integers(-64, 64, size=(2, 50, 8)) / 32
    near = tg.ops.code_logits(x, book, scale=0.1)
    far = [(array + 1000.0).astype("float32") for array in (x, book)]
    found = tg.ops.code_logits(*far, scale=0.1)
    np.testing.assert_allclose(found, near, atol=1e-2)
    distances = np.sum((x[:, None] - book) ** 2, axis=-1)
    found = tg.ops.nearest_code(*far)
    np.testing.assert_array_equal(found, distances.argmin(axis=-1))

    def gradients(x, book):
        x, book = tf.constant(x), tf.constant(book)
        with tf.GradientTape() as tape:
            tape.watch([x, book])
            y = tg.ops.quantize(x, book, found, scale=5.0)
        return tape.gradient(y, [x, book], tf.constant(upstream, x.dtype))

    upstream = random.normal(size=x.shape)
    expected = gradients(x, book)
    assert_close(gradients(*far), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["st", "reinmax", "zgr", "gapped", "mve"])
def test_blocks_do_not_change_what_is_drawn_and_its_gradient(name, monkeypatch):
    def drawn(x, book, scale):
        return tg.estimators.surrogate_quantize(
            name, x, book, [1, 2], scale=scale
        )[0]

    expected = differentiated(drawn, X, BOOK, SCALE)
    monkeypatch.setattr(_surrogate, "_QUANTIZER_BLOCK", 30)
    assert_close(differentiated(drawn, X, BOOK, SCALE), expected)


def test_gumbels_of_a_block_are_those_its_sample_was_drawn_with(monkeypatch):
    """By the gradient: straight-through at logits that have the code on top."""
    monkeypatch.setattr(_surrogate, "_QUANTIZER_BLOCK", 10)
    seed = tf.constant([1, 2], tf.int64)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, index = tg.estimators.surrogate_quantize(
            "st_gumbel", x, tf.constant(BOOK), seed, scale=SCALE
        )
        cost = tf.reduce_sum(y * UPSTREAM)
    actual = tape.gradient(cost, x)
    own = tg.random.split(seed, 1)[0]
    noise = np.concatenate(
        [
            tg.random.gumbel([min(2, 7 - first), 5], own + [0, first])
            for first in range(0, 7, 2)
        ]
    ).astype("float64")
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = plain_logits(x, BOOK, SCALE) + noise
        cost = tf.reduce_sum((tf.nn.softmax(logits) @ BOOK) * UPSTREAM)
    np.testing.assert_array_equal(index, np.argmax(logits, axis=-1))
    np.testing.assert_allclose(actual, tape.gradient(cost, x), rtol=1e-9)


def test_a_vector_with_nan_is_nan_and_others_are_not():
    x = X.copy()
    x[2, 1] = np.nan
    y, (gradient, *_) = differentiated(
        lambda x: tg.ops.quantize(x, BOOK, INDEX), x
    )
    nan = np.isnan(np.asarray(y)).all(axis=-1)
    np.testing.assert_array_equal(nan, np.arange(7) == 2)
    assert np.isfinite(np.asarray(gradient)[np.arange(7) != 2]).all()


@pytest.mark.parametrize(
    ("x", "book", "index", "error", "message"),
    [
        (X, BOOK[:1], INDEX, ValueError, r"at least 2 codes.*\(1, 3\)"),
        (X, BOOK[:, :2], INDEX, ValueError, r"\[..., 2\].*\(7, 3\)"),
        (X, BOOK, INDEX[:3], ValueError, r"`index`.*\(7,\).*\(3,\)"),
        (X, BOOK, 1.0 * INDEX, TypeError, "`index`.*float64"),
        (INDEX[:, None], BOOK, INDEX, TypeError, "`x`.*int64"),
    ],
)
def test_bad_input(x, book, index, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        tg.ops.quantize(x, book, index)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_gradient_of_the_vectors_changes_with_the_codes(block):
    """A second derivative, by finite differences of the first."""
    x, book = tf.constant(X), tf.constant(BOOK)

    def slope(book):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = tg.ops.quantize(x, book, INDEX, scale=SCALE, block=block)
        gradient = tape.gradient(z, x, tf.constant(UPSTREAM))
        return tf.reduce_sum(gradient * UPSTREAM)

    with tf.GradientTape() as tape:
        tape.watch(book)
        total = slope(book)
    found = tape.gradient(total, book)
    for place in [(0, 0), (2, 1), (4, 2)]:
        step = np.zeros(BOOK.shape)
        step[place] = 1e-5
        change = slope(book + step) - slope(book - step)
        assert_close(found[place], change / 2e-5, rtol=1e-6, atol=1e-8)
