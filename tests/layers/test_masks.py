"""Masked categories are never drawn, and receive no gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import tensors

LAYERS = {
    "gumbel_softmax": tg.GumbelSoftmax,
    "gumbel_softmax_hard": lambda **k: tg.GumbelSoftmax(hard=True, **k),
    "st": lambda **k: tg.StraightThroughCategorical("st", **k),
    "st_gumbel": lambda **k: tg.StraightThroughCategorical("gumbel", **k),
}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
MODES = ["training", "mode", "sample", "mean", "relaxed"]
# The masked category is by far the likeliest.
LOGITS = np.tile(np.array([0.0, 9.0, 1.0], "float32"), (200, 1))
MASK = np.array([True, False, True])
POLICIES = ["float32", "mixed_float16", "mixed_bfloat16"]


def call(make, mode, logits, mask, **kwargs):
    if mode == "training":
        layer = make(seed=3, **kwargs)
        return layer(logits, mask, training=True)
    return make(seed=3, inference=mode, **kwargs)(logits, mask, training=False)


@layers
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_masked_category_is_never_drawn(make, mode, policy):
    logits, mask = tensors((LOGITS, MASK))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        y = call(make, mode, logits, mask, dtype=policy)
        total = tf.reduce_sum(tf.cast(y, tf.float32) * [1.0, 2.0, 3.0])
    assert np.all(y[:, 1] == 0)
    np.testing.assert_allclose(np.sum(y, -1, "float64"), 1, atol=1e-2)
    gradient = tape.gradient(total, logits)
    if mode == "training":
        assert np.all(gradient[:, 0] != 0)
    assert gradient is None or np.all(gradient[:, 1] == 0)


@layers
def test_mask_is_an_input_of_a_functional_model(make):
    logits = keras.Input((3,))
    mask = keras.Input((3,), dtype="bool")
    model = keras.Model([logits, mask], make(inference="sample")(logits, mask))
    y = model.predict([LOGITS, np.tile(MASK, (200, 1))], verbose=0)
    assert np.all(y[:, 1] == 0) and np.all(y.sum(axis=-1) == 1)


@layers
@pytest.mark.parametrize("mode", MODES)
def test_row_without_a_legal_category_is_an_error_in_eager_mode(make, mode):
    mask = np.ones((200, 3), bool)
    mask[7] = False
    with pytest.raises(ValueError, match="`category_mask` .* index \\(7,\\)"):
        call(make, mode, LOGITS, mask)


@layers
@pytest.mark.parametrize(
    ("mode", "jit_compile"),
    [
        *((mode, False) for mode in MODES),
        pytest.param("training", True, marks=pytest.mark.slow),
    ],
)
def test_row_without_a_legal_category_is_zero_in_a_graph(
    make, mode, jit_compile
):
    """Value and gradient; the other rows are what they are without it."""
    layer = make(seed=3, inference="mode" if mode == "training" else mode)
    layer(LOGITS)
    start = layer.seed_state.numpy()

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(logits, mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = layer(logits, mask, training=mode == "training")
            total = tf.reduce_sum(y * [1.0, 2.0, 3.0])
        zero = tf.UnconnectedGradients.ZERO
        return y, tape.gradient(total, logits, unconnected_gradients=zero)

    results = []
    for legal in (False, True):
        mask = np.tile(MASK, (200, 1))
        mask[7] &= legal
        layer.seed_state.assign(start)
        results.append(value_and_gradient(*tensors((LOGITS, mask))))
    others = np.arange(200) != 7
    for masked, expected in zip(*results, strict=True):
        assert np.all(masked[7] == 0)
        np.testing.assert_array_equal(
            np.asarray(masked)[others], np.asarray(expected)[others]
        )


@pytest.mark.parametrize(
    "estimator", [n for n in tg.estimators.surrogates() if n != "st_gumbel"]
)
def test_row_of_minus_infinity_alone_is_drawn_from_evenly(estimator):
    """As logits that are all alike are, where no mask says otherwise.

    Not by Gumbel noise: it is lost beside what stands in for -inf.
    """
    layer = tg.StraightThroughCategorical(estimator, seed=1)
    logits = tf.fill([3000, 3], -np.inf)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = layer(logits, training=True)
    np.testing.assert_allclose(np.mean(z, axis=0), [1 / 3] * 3, atol=0.04)
    assert np.all(np.isfinite(tape.gradient(z, logits, z)))


@layers
def test_mask_of_floating_point_numbers_is_an_error(make):
    """It may be a context, or added to logits by others, 0 for the legal."""
    with pytest.raises(TypeError, match="`category_mask` must be boolean"):
        call(make, "training", LOGITS, np.where(MASK, 0.0, -1e9))
    call(make, "training", LOGITS, MASK.astype("int32"))


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_mask_in_the_place_of_a_context_is_an_error(kind):
    layer = tg.ReinforceSampler(baseline=None, return_log_prob=True)
    with pytest.raises(TypeError, match="category_mask=mask"):
        layer(LOGITS, kind(MASK), training=True)


@layers
@pytest.mark.parametrize("shape", [(4,), (2, 200, 3), (3, 1), (200, 2)])
def test_mask_of_a_wrong_shape_is_an_error(make, shape):
    message = "`category_mask` .*Received: category_mask of shape"
    with pytest.raises(ValueError, match=message):
        call(make, "training", LOGITS, np.ones(shape, bool))
