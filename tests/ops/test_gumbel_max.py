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


@pytest.mark.full
@graph_and_xla
@pytest.mark.parametrize("dtype", DTYPES)
def test_gumbel_max_is_exact(dtype, compiled):
    logits = tf.constant(LOGITS, dtype)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(logits, [2_000_000, 4])
        return tg.ops.gumbel_max(many, tg.random.gumbel([2_000_000, 4], seed))

    sample = draw(tf.constant([5, 6]))
    assert_frequencies(sample, softmax(tf.cast(logits, tf.float32)))


@graph_and_xla
@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_min_is_exact(dtype, compiled):
    """Half-precision noise would tie, and would starve the rare category."""
    probabilities = tf.constant(np.exp(LOGITS), dtype)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(probabilities, [2_000_000, 4])
        noise = tg.random.exponential([2_000_000, 4], seed)
        return tg.ops.exponential_min(many, noise)

    sample = draw(tf.constant([7, 8]))
    assert_frequencies(sample, tf.cast(probabilities, tf.float64))


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
