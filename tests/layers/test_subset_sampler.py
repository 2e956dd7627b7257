"""What a `SubsetSampler` does beyond the contract of every layer."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import differentiated
from tests.ops.derivatives import assert_close
from tests.statistics import assert_mean, subset_law

# The masked category is by far the likeliest.
LOGITS = np.tile(np.array([0.0, 9.0, 1.0, -0.5], "float32"), (200, 1))
MASK = np.array([True, False, True, True])
MODES = ["training", "mode", "sample", "relaxed"]
modes = pytest.mark.parametrize("mode", MODES)


def sampler(mode, k=2, **kwargs):
    inference = "mode" if mode == "training" else mode
    return tg.SubsetSampler(k, inference=inference, seed=3, **kwargs)


@pytest.mark.parametrize("hard", [False, True])
def test_one_category_is_gumbel_softmax(hard):
    """The same value and gradient for the same noise."""
    results = []
    for layer in (
        tg.SubsetSampler(1, 0.6, hard=hard),
        tg.GumbelSoftmax(0.6, hard),
    ):
        with tg.SamplingScope(3):
            results.append(
                differentiated(
                    lambda x, la=layer: [la(*x, training=True)],
                    [tf.constant(LOGITS)],
                )
            )
    assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_inclusion_probabilities_are_those_of_enumeration(k):
    """In training, of every category; also when it follows from the law."""
    logits = np.log([0.1, 0.4, 0.2, 0.3]).astype("float32")
    layer = tg.SubsetSampler(k, seed=5)
    z = layer(np.tile(logits, (50_000, 1)), training=True).numpy()
    assert set(np.unique(z)) == {0, 1} and np.all(z.sum(axis=-1) == k)
    k_hots, probabilities = subset_law(logits, k)
    assert_mean(z, probabilities @ k_hots, smallest_bias=0.02)


@modes
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_masked_category_is_never_drawn(mode, policy):
    logits = tf.constant(LOGITS)
    layer = sampler(mode, dtype=policy)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        y = layer(logits, MASK, training=mode == "training")
        total = tf.reduce_sum(tf.cast(y, tf.float32) * [1.0, 2.0, 3.0, 5.0])
    assert np.all(y[:, 1] == 0) and np.all(np.sum(y, axis=-1) == 2)
    gradient = tape.gradient(total, logits)
    if mode == "training":
        assert np.all(gradient[:, 0] != 0)
    assert gradient is None or np.all(gradient[:, 1] == 0)


@modes
def test_too_few_legal_categories_are_an_error_in_eager_mode(mode):
    mask = np.tile(MASK, (200, 1))
    mask[7, 2:] = False
    message = r"at least 2 legal .*Received: 1 row\(s\).* index \(7,\)"
    with pytest.raises(ValueError, match=message):
        sampler(mode)(LOGITS, mask, training=mode == "training")


@modes
def test_too_few_legal_categories_are_all_chosen_in_a_graph(mode):
    """One in row 7, none in row 8; every gradient is finite."""
    layer = sampler(mode)
    mask = np.tile(MASK, (200, 1))
    mask[7, 2:] = mask[8] = False

    @tf.function
    def value_and_gradient(logits, mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = layer(logits, mask, training=mode == "training")
            total = tf.reduce_sum(y * [1.0, 2.0, 3.0, 5.0])
        zero = tf.UnconnectedGradients.ZERO
        return y, tape.gradient(total, logits, unconnected_gradients=zero)

    y, gradient = value_and_gradient(tf.constant(LOGITS), tf.constant(mask))
    np.testing.assert_array_equal(y[7:9], [[1, 0, 0, 0], [0, 0, 0, 0]])
    assert np.all(np.isfinite(gradient)) and np.all(gradient[8] == 0)
    others = np.delete(y, [7, 8], axis=0)
    assert np.all(others.sum(axis=-1) == 2)


@pytest.mark.parametrize("k", [0, 4, 2.0, True])
def test_bad_size_is_an_error(k):
    error = TypeError if isinstance(k, float | bool) else ValueError
    with pytest.raises(error, match=f"`k` must .*Received: k={k}"):
        tg.SubsetSampler(k)(LOGITS)


def test_there_is_no_mean():
    message = "`inference` must be one of 'mode', 'sample', 'relaxed'"
    with pytest.raises(ValueError, match=message):
        tg.SubsetSampler(2, inference="mean")
