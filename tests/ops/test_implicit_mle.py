import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import value_and_gradients, weights_like

LOGITS = np.array([[0.4, 1.0, -0.3, 0.2], [0.0, 0.1, 0.2, 0.3]], np.float32)
NOISE = np.array([[0.1, -0.5, 0.9, 0.3], [1.0, 0.0, 0.5, -0.2]], np.float32)


def top(keys, k):
    order = np.argsort(-keys, axis=-1, kind="stable")[..., :k]
    return np.eye(keys.shape[-1])[order].sum(axis=-2)


@pytest.mark.parametrize("step", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("k", [1, 2])
def test_gradient_is_the_difference_of_two_samples(step, k, compiled):
    @compiled
    def of_op(logits):
        return value_and_gradients(
            lambda x: tg.ops.implicit_mle(x, NOISE, k=k, step=step), [logits]
        )

    value, (gradient,) = of_op(tf.constant(LOGITS))
    upstream = weights_like(value).numpy()
    keys = LOGITS + NOISE
    expected = (top(keys, k) - top(keys - step * upstream, k)) / step
    np.testing.assert_array_equal(value, top(keys, k))
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    # A step changes which items are chosen, never how many.
    np.testing.assert_allclose(np.sum(gradient, axis=1), 0.0, atol=1e-6)


def test_a_large_step_shows_a_difference():
    """The test above compares more than zeros."""
    _, (gradient,) = value_and_gradients(
        lambda x: tg.ops.implicit_mle(x, NOISE, k=2, step=20.0),
        [tf.constant(LOGITS)],
    )
    assert np.any(gradient != 0)


def test_value_is_that_of_gumbel_top_k():
    index = tg.ops.gumbel_top_k(LOGITS, NOISE, k=2)
    expected = tf.reduce_sum(tf.one_hot(index, 4), axis=-2)
    np.testing.assert_array_equal(
        tg.ops.implicit_mle(LOGITS, NOISE, k=2), expected
    )


def test_nan_stays_in_its_example():
    logits = LOGITS.copy()
    logits[0, 1] = np.nan
    value, (gradient,) = value_and_gradients(
        lambda x: tg.ops.implicit_mle(x, NOISE, k=2), [tf.constant(logits)]
    )
    for tensor in (value, gradient):
        np.testing.assert_array_equal(
            np.isnan(tensor), [[True] * 4, [False] * 4]
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": (1, 2)}, "no range"),
        ({"k": 5}, "Received: k=5"),
        ({"k": 2, "step": 0.0}, "Received: step=0.0"),
        ({"k": 2, "axis": 2}, "Received: axis=2"),
    ],
)
def test_bad_arguments_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        tg.ops.implicit_mle(LOGITS, NOISE, **arguments)
