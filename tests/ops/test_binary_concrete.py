import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import graph_and_xla
from tests.helpers.statistics import assert_frequencies, sigmoid
from tests.ops.derivatives import assert_close

LOGITS = np.array([-2.0, 0.0, 0.5, 3.0], np.float32)
NOISE = np.array([0.5, -0.1, 1.0, -4.0], np.float32)


def test_without_noise_it_is_a_sigmoid(compiled):
    logits = np.log([1 / 3, 1.0, 3.0]).astype(np.float32)
    op = compiled(tg.ops.binary_concrete)
    zeros = tf.zeros([3])
    assert_close(op(logits, zeros, temperature=1.0), [0.25, 0.5, 0.75])
    assert_close(op(logits, zeros, temperature=0.5), [0.1, 0.5, 0.9])
    assert_close(op(logits, zeros, temperature=1e-3), [0.0, 0.5, 1.0])


def test_hard_value_is_the_sign_of_the_perturbed_logit(compiled):
    op = compiled(lambda *a: tg.ops.binary_concrete(*a, hard=True))
    np.testing.assert_array_equal(op(LOGITS, NOISE), [0.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(op([-np.inf, np.inf], [22.0, -22.0]), [0, 1])


@pytest.mark.full
@graph_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_hard_samples_are_exact(dtype, compiled):
    logit = tf.constant(-9.2, dtype)

    @compiled
    def draw(seed):
        noise = tg.random.logistic([2_000_000], seed)
        many = tf.fill([2_000_000], logit)
        return tg.ops.binary_concrete(many, noise, hard=True)

    p = sigmoid(tf.cast(logit, tf.float32))
    sample = tf.cast(draw(tf.constant([15, 16])), tf.int32)
    assert_frequencies(sample, [1 - p, p])
