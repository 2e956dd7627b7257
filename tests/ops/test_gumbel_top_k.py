import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import graph_and_xla
from tests.helpers.statistics import (
    assert_frequencies,
    plackett_luce,
    subset_law,
)

LOGITS = np.log([0.1, 0.4, 0.2, 0.3]).astype(np.float32)
NOISE = np.array([[0.3, -0.4, 1.2, 0.0], [2.5, 0.1, -0.6, 0.9]], np.float32)


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [[2], [0]]), (2, [[2, 3], [0, 3]]), (3, [[2, 3, 1], [0, 3, 1]])],
)
def test_indices_are_in_the_order_drawn(k, expected, compiled):
    """log π + G: (-2.0, -1.3, -0.4, -1.2) and (0.2, -0.8, -2.2, -0.3)."""
    drawn = compiled(lambda x, g: tg.ops.gumbel_top_k(x, g, k=k))(
        np.stack([LOGITS] * 2), NOISE
    )
    assert drawn.dtype == tf.int32
    np.testing.assert_array_equal(drawn, expected)


@graph_and_xla
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_ordered_samples_follow_plackett_luce(k, dtype, compiled):
    """Chi-square over all 12, or 24, ordered tuples."""
    logits = tf.constant(LOGITS, dtype)
    tuples, probabilities = plackett_luce(logits, k)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(logits, [100_000, 4])
        noise = tg.random.gumbel([100_000, 4], seed)
        return tg.ops.gumbel_top_k(many, noise, k=k)

    # Each tuple as a number in base 4.
    codes, drawn = (
        np.asarray(t) @ 4 ** np.arange(k) for t in (tuples, draw([5, 6]))
    )
    order = np.argsort(codes)
    indices = np.searchsorted(codes[order], drawn)
    assert_frequencies(indices, probabilities[order])


def test_enumeration_of_subsets_adds_up():
    """Two of three, by hand: p(a)p(b)/(1-p(a)) + p(b)p(a)/(1-p(b))."""
    p = np.array([0.5, 0.3, 0.2])
    k_hots, probabilities = subset_law(np.log(p), 2)
    pairs = {
        (0, 1, 1): (0.3, 0.2),
        (1, 0, 1): (0.5, 0.2),
        (1, 1, 0): (0.5, 0.3),
    }
    expected = [a * b / (1 - a) + a * b / (1 - b) for a, b in pairs.values()]
    np.testing.assert_array_equal(k_hots, list(pairs))
    np.testing.assert_allclose(probabilities, expected)


def test_one_category_is_gumbel_max():
    logits = np.stack([LOGITS] * 2)
    np.testing.assert_array_equal(
        tg.ops.gumbel_top_k(logits, NOISE, k=1)[:, 0],
        tg.ops.gumbel_max(logits, NOISE),
    )


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_every_axis_may_hold_the_categories(axis):
    logits = np.stack([LOGITS] * 2)
    expected = tg.ops.gumbel_top_k(logits, NOISE, k=2).numpy()
    moved = [np.moveaxis(a[None], -1, axis) for a in (logits, NOISE, expected)]
    drawn = tg.ops.gumbel_top_k(*moved[:2], k=2, axis=axis)
    np.testing.assert_array_equal(drawn, moved[2])


@pytest.mark.parametrize("op", [tg.ops.gumbel_top_k, tg.ops.relaxed_top_k])
@pytest.mark.parametrize(
    ("k", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (4, ValueError),
        (2.0, TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_bad_size_is_an_error(op, k, error):
    with pytest.raises(error, match=f"`k` must .*Received: k={k}"):
        op(LOGITS, NOISE[0], k=k)
