"""What a `PermutationSampler` does beyond the contract of every layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

SCORES = np.array([[0.3, -1.2, 2.0], [1.0, 1.5, -0.5]], "float32")
MATRICES = np.random.default_rng(1).normal(size=(20, 4, 4)).astype("float32")
RELAXATIONS = ["soft_sort", "neural_sort", "sinkhorn"]
relaxations = pytest.mark.parametrize("relaxation", RELAXATIONS)


def inputs_of(relaxation, scale=1.0):
    return scale * (MATRICES if relaxation == "sinkhorn" else SCORES)


@relaxations
@pytest.mark.parametrize("mode", ["mode", "sample"])
def test_values_are_permutations(relaxation, mode):
    layer = tg.PermutationSampler(relaxation, inference=mode, seed=1)
    for training in (False, True):
        z = layer(inputs_of(relaxation), training=training).numpy()
        assert set(np.unique(z)) == {0.0, 1.0}
        for axis in (-1, -2):
            np.testing.assert_array_equal(z.sum(axis=axis), 1.0)


def test_the_mode_sorts():
    z = tg.PermutationSampler()(SCORES)
    found = np.einsum("btj,bj->bt", z, SCORES)
    np.testing.assert_array_equal(found, -np.sort(-SCORES, axis=1))


@relaxations
def test_a_low_temperature_gives_the_permutation(relaxation):
    """Relaxed and hard of the same noise, and apart at τ = 5."""
    layer = tg.PermutationSampler(
        relaxation, 0.01, hard=False, iterations=1000, seed=1
    )
    hard = tg.PermutationSampler(relaxation, seed=1)
    inputs = inputs_of(relaxation, 5.0)
    z = hard(inputs, training=True)
    y = layer(inputs, training=True)
    near = np.abs(y - z).max(axis=(-1, -2)) < 0.05
    assert np.mean(near) > 0.8
    rows = np.sum(y, axis=-1)
    np.testing.assert_allclose(rows[near], 1.0, atol=0.05)
    layer.temperature = 5.0
    assert np.abs(layer(inputs, training=True) - z).max() > 0.1


@pytest.mark.full
@pytest.mark.parametrize(
    "relaxation",
    [
        pytest.param(name, marks=[pytest.mark.exhaustive] * (place > 0))
        for place, name in enumerate(RELAXATIONS)
    ],
)
def test_it_learns_to_sort_by_a_differentiable_cost(relaxation):
    """Scores of three numbers, so that P x ascends."""
    n = 3
    inputs = keras.Input((n, 1))
    if relaxation == "sinkhorn":
        scores = keras.layers.Dense(n)(inputs)  # [item, place]
        scores = keras.layers.Permute((2, 1))(scores)
    else:
        scores = keras.layers.Dense(1)(inputs)
        scores = keras.layers.Reshape((n,))(scores)
    z = tg.PermutationSampler(relaxation, 0.5, seed=1)(scores)
    model = keras.Model(inputs, keras.layers.Dot((2, 1))([z, inputs]))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(2).uniform(-2, 2, (256, n, 1)).astype("float32")
    model.fit(x, np.sort(x, axis=1), epochs=25, batch_size=64, verbose=0)
    found = model.predict(x, verbose=0)
    right = np.all(found == np.sort(x, axis=1), axis=(1, 2))
    assert np.mean(right) > 0.9


def test_the_distribution_is_that_of_the_score_function():
    """The sampler's draws are scored by `Permutation`: their mean is zero."""
    permutation = tg.distributions.Permutation()
    logits = np.tile(SCORES[:1], (20_000, 1))
    z = tg.PermutationSampler(seed=1)(logits, training=True)
    q = permutation.constrain(tf.constant(logits))
    (score,) = tg.estimators.algebra.score(permutation, q, z)
    error = score.numpy().std(0) / np.sqrt(len(logits))
    assert np.all(np.abs(score.numpy().mean(0)) < 5 * error)


@pytest.mark.parametrize(
    ("arguments", "shape", "error", "message"),
    [
        ({"relaxation": "bubble"}, (2, 3), ValueError, "'sinkhorn'.*bubble"),
        ({"relaxation": "sinkhorn"}, (2, 3), ValueError, "square"),
        ({"relaxation": "sinkhorn"}, (2, 3, 4), ValueError, "square .*, 3, 4"),
        ({"relaxation": "sinkhorn"}, (3, 3), ValueError, "square"),
        ({}, (2, 1), ValueError, "at least 2"),
        ({"iterations": 0}, (2, 3), ValueError, "iterations=0"),
        ({"temperature": 0.0}, (2, 3), ValueError, "temperature=0.0"),
        ({"inference": "mean"}, (2, 3), ValueError, "'mode', 'sample'"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_bad_arguments(arguments, shape, error, message, symbolic):
    inputs = keras.Input(shape[1:]) if symbolic else tf.ones(shape)
    with pytest.raises(error, match=message):
        tg.PermutationSampler(**arguments)(inputs)


def test_integers_are_an_error():
    with pytest.raises(TypeError, match="int32"):
        tg.PermutationSampler()(tf.ones([2, 3], tf.int32))


@relaxations
@pytest.mark.parametrize("hard", [False, True])
def test_the_gradient_may_have_a_temperature_of_its_own(relaxation, hard):
    """The value is that of τ, the gradient that of the other one."""
    inputs = tf.constant(inputs_of(relaxation))
    weights = tf.cos(
        tf.range(9 if relaxation != "sinkhorn" else 16, dtype=tf.float32)
    )

    def value_and_gradient(*temperatures):
        layer = tg.PermutationSampler(
            relaxation,
            temperatures[0],
            hard=hard,
            backward_temperature=(*temperatures, None)[1],
            seed=1,
        )
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=True)
            flat = tf.reshape(y, [len(inputs), -1])
            total = tf.reduce_sum(tf.linalg.matvec(flat, weights))
        return y, tape.gradient(total, inputs)

    value, gradient = value_and_gradient(0.5, 2.0)
    np.testing.assert_allclose(value, value_and_gradient(0.5)[0], atol=1e-6)
    expected = value_and_gradient(2.0)[1]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert np.any(np.abs(gradient - value_and_gradient(0.5)[1]) > 1e-3)
