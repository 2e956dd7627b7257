import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import assert_close, value_and_gradients

LOGITS = np.array([[0.3, -1.2, 0.8], [2.0, -0.5, 9.0]], np.float32)
MASK = np.array([[True, True, False], [False, True, False]])
NOISE = np.array([[0.1, 0.4, 5.0], [3.0, 0.2, 7.0]], np.float32)


def masked_sample(logits, mask, noise, hard=False):
    masked = tg.ops.mask_logits(logits, mask)
    y = tg.ops.gumbel_softmax(masked, noise, temperature=0.5, hard=hard)
    return tg.ops.mask_sample(y, mask)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_masked_logits_are_very_low(dtype, compiled):
    logits = tf.constant(LOGITS, dtype)
    masked = compiled(tg.ops.mask_logits)(logits, MASK)
    assert masked.dtype == ("float64" if dtype == "float64" else "float32")
    expected = tf.where(MASK, tf.cast(logits, masked.dtype), -1e30)
    # The lowest logit is float32's nearest to -1e30, also in float64.
    assert_close(masked, expected, rtol=1e-7)


def test_a_legal_category_beats_a_masked_one_whatever_its_logit():
    logits = tg.ops.mask_logits([[-np.inf, 3.0], [3.0, -np.inf]], [True, False])
    assert_close(tf.nn.softmax(logits), [[1.0, 0.0], [1.0, 0.0]])


def test_no_mask_changes_nothing():
    np.testing.assert_array_equal(tg.ops.mask_logits(LOGITS, None), LOGITS)
    np.testing.assert_array_equal(tg.ops.mask_sample(LOGITS, None), LOGITS)


@pytest.mark.parametrize("hard", [False, True])
def test_masked_category_is_zero_with_zero_gradient(hard, compiled):
    """The others are as if it did not exist; one alone is certain."""

    @compiled
    def of_op(logits):
        return value_and_gradients(
            lambda x: masked_sample(x, MASK, NOISE, hard), [logits]
        )

    y, (gradient,) = of_op(tf.constant(LOGITS))
    np.testing.assert_array_equal(y.numpy()[~MASK], 0.0)
    np.testing.assert_array_equal(gradient.numpy()[~MASK], 0.0)
    legal = tg.ops.gumbel_softmax(
        LOGITS[:1, :2], NOISE[:1, :2], temperature=0.5, hard=hard
    )
    assert_close(y[:1, :2], legal)
    assert np.all(gradient[0, :2] != 0.0)
    np.testing.assert_array_equal(y[1], [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(gradient[1], [0.0, 0.0, 0.0])


def test_masked_category_is_never_drawn(compiled):
    @compiled
    def draw(seed):
        noise = tg.random.gumbel([20_000, 3], seed)
        logits = tf.broadcast_to([0.0, -40.0, 60.0], [20_000, 3])
        return masked_sample(logits, [True, True, False], noise, hard=True)

    drawn = tf.reduce_sum(draw(tf.constant([3, 1])), 0)
    assert drawn[2] == 0.0 and tf.reduce_sum(drawn) == 20_000


@pytest.mark.full
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_row_without_legal_category_is_zero_in_a_graph(hard, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def of_op(logits, mask):
        return value_and_gradients(
            lambda x: masked_sample(x, mask, NOISE, hard), [logits]
        )

    mask = tf.constant([[True, True, False], [False, False, False]])
    y, (gradient,) = of_op(tf.constant(LOGITS), mask)
    np.testing.assert_array_equal(y[1], [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient[1], [0.0, 0.0, 0.0])
    assert np.all(gradient[0, :2] != 0.0)


def test_row_without_legal_category_is_an_error():
    mask = np.array([[True, False, False], [False, False, False]])
    with pytest.raises(ValueError, match=r"`category_mask` .*index \(1,\)"):
        tg.ops.mask_logits(LOGITS, mask)


@pytest.mark.parametrize("shape", [(2,), (3, 3), (1, 2, 3), (2, 3, 1)])
def test_mask_of_the_wrong_shape_is_an_error(shape):
    with pytest.raises(ValueError, match="`category_mask` .*Received: cat"):
        tg.ops.mask_logits(LOGITS, np.ones(shape, bool))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), ()])
def test_mask_broadcasts(shape):
    masked = tg.ops.mask_logits(LOGITS, np.ones(shape, bool))
    np.testing.assert_array_equal(masked, LOGITS)


def test_mask_follows_the_axis():
    logits, mask = LOGITS.T, MASK.T
    masked = tg.ops.mask_logits(logits, mask, axis=0)
    np.testing.assert_array_equal(
        masked, np.where(mask, logits, np.float32(-1e30))
    )
    with pytest.raises(ValueError, match="every row"):
        tg.ops.mask_logits(logits, mask, axis=1)
