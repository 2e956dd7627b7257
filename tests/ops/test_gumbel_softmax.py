import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_xla, graph_and_xla
from tests.helpers.statistics import assert_frequencies, softmax
from tests.ops.derivatives import assert_close, value_and_gradients

LOGITS = np.log([[1.0, 2.0, 1.0], [4.0, 4.0, 8.0]]).astype(np.float32)
NOISE = np.array([[0.3, -0.4, 1.2], [2.0, 0.1, -0.6]], np.float32)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [[0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]),
        (0.5, [[1 / 6, 4 / 6, 1 / 6], [1 / 6, 1 / 6, 4 / 6]]),
        (1e-3, [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (1e6, [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]]),
    ],
)
def test_without_noise_it_is_a_softmax(temperature, expected, compiled):
    zeros = tf.zeros_like(LOGITS)
    y = compiled(tg.ops.gumbel_softmax)(LOGITS, zeros, temperature=temperature)
    assert_close(y, expected, rtol=3e-6)


@eager_and_xla
@pytest.mark.parametrize("size", [3, 40])
def test_a_softmax_of_large_logits(size, compiled):
    """The largest keeps its place, however far from zero."""
    random = np.random.default_rng(0)
    logits = random.uniform(-3e7, 3e7, (50, size)).astype("float32")
    logits[0] = -3e7
    noise, tau = tf.zeros_like(logits), tf.constant(7e-4)

    @compiled
    def of_op():
        return tg.ops.gumbel_softmax(logits, noise, temperature=tau)

    expected = np.eye(size)[np.argmax(logits, axis=1)]
    expected[0] = 1 / size
    assert_close(of_op(), expected, rtol=1e-6)


def test_hard_value_is_the_one_hot_argmax(compiled):
    hard = compiled(lambda *a: tg.ops.gumbel_softmax(*a, hard=True))
    y = hard(LOGITS, NOISE)
    np.testing.assert_array_equal(y, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    index = tg.ops.gumbel_max(LOGITS, NOISE)
    np.testing.assert_array_equal(tf.argmax(y, -1), index)


@pytest.mark.full
@graph_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_hard_samples_are_exact(dtype, compiled):
    logits = tf.constant(np.log([1e-4, 0.1, 0.3, 0.5999]), dtype)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(logits, [2_000_000, 4])
        noise = tg.random.gumbel([2_000_000, 4], seed)
        y = tg.ops.gumbel_softmax(many, noise, hard=True)
        return tf.argmax(y, -1), tf.reduce_sum(tf.cast(y, tf.float32), -1)

    sample, total = draw(tf.constant([13, 14]))
    np.testing.assert_array_equal(total, np.ones(2_000_000))
    assert_frequencies(sample, softmax(tf.cast(logits, tf.float32)))


def test_two_categories_are_a_binary_concrete():
    """The difference of two logits and of two Gumbels is all that counts."""
    logits, noise = tf.constant(LOGITS[:, :2]), tf.constant(NOISE[:, :2])
    for hard in (False, True):
        pair = tg.ops.gumbel_softmax(logits, noise, temperature=0.6, hard=hard)
        bit = tg.ops.binary_concrete(
            logits[:, 0] - logits[:, 1],
            noise[:, 0] - noise[:, 1],
            temperature=0.6,
            hard=hard,
        )
        assert_close(pair[:, 0], bit)


def test_impossible_category_is_zero_with_zero_gradient(compiled):
    logits = tf.constant([[-np.inf, 0.0, 1.0]])

    @compiled
    def of_op(logits):
        return value_and_gradients(
            lambda x: tg.ops.gumbel_softmax(x, NOISE[:1], temperature=0.5),
            [logits],
        )

    y, (gradient,) = of_op(logits)
    assert y[0, 0] == 0.0 and gradient[0, 0] == 0.0
    assert_close(
        y[:, 1:],
        tg.ops.gumbel_softmax(logits[:, 1:], NOISE[:1, 1:], temperature=0.5),
    )


@pytest.mark.parametrize("categories", [10, 200])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("spoiled", [np.nan, -np.inf])
def test_a_spoiled_row_shows_and_stays_alone(
    categories, hard, spoiled, compiled
):
    """One NaN logit; or a relaxed row of -inf alone. The mask does better.

    TensorFlow's softmax leaves numbers beside the NaN of a long row.
    """
    random = np.random.default_rng(1)
    logits, noise, upstream = random.normal(size=(3, 3, categories))
    where = 3 if np.isnan(spoiled) else slice(None)
    bad = logits.copy()
    bad[1, where] = spoiled

    @compiled
    def of_op(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = tg.ops.gumbel_softmax(
                logits, noise.astype("float32"), temperature=0.5, hard=hard
            )
        return y, tape.gradient(y, logits, upstream.astype("float32"))

    clean = of_op(tf.constant(logits, tf.float32))
    found = of_op(tf.constant(bad, tf.float32))
    for tensor, expected in zip(found, clean, strict=True):
        np.testing.assert_array_equal(tensor[::2], expected[::2])
    y, gradient = (np.isnan(tensor[1]) for tensor in found)
    if hard and np.isneginf(spoiled):
        assert not y.any() and not gradient.any()
        return
    assert y.any() and gradient.all()
    assert y.all() or (categories > 64 and not hard)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_a_bad_backward_temperature_in_a_graph_shows_in_the_value(bad, hard):
    @tf.function(autograph=False)
    def value(backward):
        return tg.ops.gumbel_softmax(
            [[0.0, 1.0]],
            [[0.5, -0.5]],
            hard=hard,
            backward_temperature=backward,
        )

    assert np.all(np.isnan(value(tf.constant(bad))))
    assert np.all(np.isfinite(value(tf.constant(0.5))))
