import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import graph_and_xla
from tests.helpers.statistics import assert_frequencies, softmax

LOGITS = np.log([1e-4, 0.1, 0.3, 0.5999])
DTYPES = ["float32", "float16"]


def test_gumbel_max_adds_the_noise(compiled):
    logits = tf.constant([[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
    noise = tf.constant([[0.0, 0.0, 1.5], [0.0, 1.9, 0.9]])
    sample = compiled(tg.ops.gumbel_max)(logits, noise)
    assert sample.dtype == tf.int32
    np.testing.assert_array_equal(sample, [2, 0])


def test_exponential_min_divides_the_noise(compiled):
    probabilities = tf.constant([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9]])
    noise = tf.constant([[1.0, 1.0, 0.1], [1e-9, 0.2, 2.0]])
    sample = compiled(tg.ops.exponential_min)(probabilities, noise)
    assert sample.dtype == tf.int32
    np.testing.assert_array_equal(sample, [2, 1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_noise_stays_in_float32(dtype, compiled):
    """Cast to half precision, each of these pairs would tie."""
    zeros, halves = (
        tf.zeros([2, 2], dtype),
        tf.fill([2, 2], tf.cast(0.5, dtype)),
    )
    gumbel = tf.constant([[18.0, 18.001], [0.1, 0.10001]])
    exponential = tf.constant([[1e-9, 9e-10], [1.0, 0.9999]])
    by_max = compiled(tg.ops.gumbel_max)(zeros, gumbel)
    by_min = compiled(tg.ops.exponential_min)(halves, exponential)
    np.testing.assert_array_equal(by_max, [1, 1])
    np.testing.assert_array_equal(by_min, [1, 1])


@pytest.mark.parametrize("axis", [-1, 1, -3])
def test_both_forms_agree(axis):
    logits = 3.0 * tg.random.normal([7, 8, 9], [1, 2])
    exponential = tg.random.exponential([7, 8, 9], [3, 4])
    by_max = tg.ops.gumbel_max(logits, -tf.math.log(exponential), axis=axis)
    by_min = tg.ops.exponential_min(tf.exp(logits), exponential, axis=axis)
    np.testing.assert_array_equal(by_max, by_min)
    expected = np.argmax(logits - tf.math.log(exponential), axis)
    np.testing.assert_array_equal(by_max, expected)


@graph_and_xla
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("op", "noise", "weights"),
    [
        (tg.ops.exponential_min, tg.random.exponential, np.exp(LOGITS)),
        (tg.ops.gumbel_max, tg.random.gumbel, LOGITS),
    ],
)
def test_samples_are_exact(op, noise, weights, dtype, compiled):
    """Half-precision noise would tie, and would starve the rare category."""
    weights = tf.constant(weights, dtype)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(weights, [2_000_000, 4])
        return op(many, noise([2_000_000, 4], seed))

    p = tf.cast(weights, tf.float64)
    p = softmax(p) if op is tg.ops.gumbel_max else p
    assert_frequencies(draw(tf.constant([7, 8])), p)


def test_impossible_category_is_never_drawn(compiled):
    @compiled
    def draw(seed):
        logits = tf.broadcast_to([-np.inf, 0.0, -50.0], [10_000, 3])
        noise = tg.random.gumbel([10_000, 3], seed)
        race = tg.random.exponential([10_000, 3], seed)
        return (
            tg.ops.gumbel_max(logits, noise),
            tg.ops.exponential_min(tf.exp(logits), race),
        )

    for sample in draw(tf.constant([9, 1])):
        np.testing.assert_array_equal(sample, np.ones(10_000))


@pytest.mark.parametrize(
    "op",
    [tg.ops.gumbel_max, tg.ops.gumbel_softmax, tg.ops.exponential_min],
    ids=["max", "softmax", "min"],
)
def test_noise_that_merely_broadcasts_is_refused(op):
    with pytest.raises(ValueError, match="`noise`.*shape \\(3,\\)"):
        op(tf.zeros([2, 3]), tf.zeros([3]))


def test_logistic_noise_that_merely_broadcasts_is_refused():
    with pytest.raises(ValueError, match="`noise`.*shape \\(3,\\)"):
        tg.ops.binary_concrete(tf.zeros([2, 3]), tf.zeros([3]))
