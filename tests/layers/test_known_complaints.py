"""What users of other Gumbel-softmax implementations complain about most."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import differentiated

LAYERS = {
    "gumbel_softmax": tg.GumbelSoftmax,
    "gumbel_softmax_hard": lambda *a, **k: tg.GumbelSoftmax(*a, hard=True, **k),
    "st_gumbel": lambda *a, **k: tg.StraightThroughCategorical(
        "gumbel", *a, **k
    ),
    "binary_concrete": tg.BinaryConcrete,
}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


@layers
@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_no_nan_in_half_precision(make, policy):
    """Elsewhere: noise of -log(-log(u)) with a u that rounded to 0 or 1.

    Half a million draws; one in a thousand half-precision uniforms is 0.
    """
    layer = make(0.1, seed=1, dtype=policy)
    rows = np.array([[0.0, 8.0, -8.0, 65504.0], [0.0, 0.1, 0.2, -65504.0]])
    logits = tf.constant(np.tile(rows, (65_536, 1)), tf.float16)
    (y,), (gradient,) = differentiated(
        lambda x: [layer(x, training=True)], logits
    )
    assert y.dtype == gradient.dtype == tf.float16
    assert np.all(np.isfinite(y)) and np.all(np.isfinite(gradient))


@layers
def test_temperature_of_zero_is_an_error_not_nan(make):
    """When the layer is made, and when one that was assigned is used."""
    with pytest.raises(ValueError, match="Received: temperature=0"):
        make(0)
    layer = make(1.0)
    layer.temperature.assign(0.0)
    with pytest.raises(ValueError, match="Received: temperature=0"):
        layer(np.zeros((2, 3), "float32"), training=True)


@pytest.mark.parametrize("name", ["gumbel_softmax_hard", "st_gumbel"])
def test_hard_samples_have_the_gradient_of_the_relaxed_ones(name):
    """Elsewhere none, or that of a value that is not one-hot."""
    logits = tf.constant([[0.3, -0.2, 1.0], [2.0, 0.0, -1.0]])

    def value_and_gradient(layer):
        with tg.SamplingScope(4):  # one noise for two kinds of layers
            (y,), (gradient,) = differentiated(
                lambda x: [layer(x, training=True)], logits
            )
        return y.numpy(), gradient.numpy()

    hard, gradient = value_and_gradient(LAYERS[name](0.7))
    relaxed, expected = value_and_gradient(tg.GumbelSoftmax(0.7))
    np.testing.assert_array_equal(hard, np.eye(3)[relaxed.argmax(-1)])
    assert np.all(np.abs(gradient) > 1e-3)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
