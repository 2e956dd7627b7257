"""What the contract of `tests/helpers/cases.py` does not hold of this layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg


def fitted(estimator, optimizer, jit_compile, policy="float32"):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6,))
    layer = tg.StraightThroughEmbedding(
        40, 3, estimator=estimator, seed=1, dtype=policy
    )
    y = keras.layers.Dense(1)(layer(keras.layers.Dense(40)(inputs)))
    model = keras.Model(inputs, y)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    before = layer.embeddings.numpy()
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    history = model.fit(x, np.ones(8), batch_size=8, verbose=0, epochs=1)
    assert np.all(np.isfinite(history.history["loss"]))
    return np.any(layer.embeddings.numpy() != before, axis=-1)


@pytest.mark.full
@pytest.mark.parametrize(
    ("optimizer", "jit_compile"),
    [("sgd", False), ("adam", False), ("adam", True)],
)
def test_fit_moves_only_the_rows_that_were_drawn(optimizer, jit_compile):
    moved = fitted("st", optimizer, jit_compile)
    assert 1 <= np.sum(moved) <= 8


@pytest.mark.full
def test_fit_under_a_mixed_policy():
    moved = fitted("gumbel", "adam", False, "mixed_float16")
    assert 1 <= np.sum(moved) <= 8


def test_row_without_a_legal_category_is_zero_in_a_graph():
    layer = tg.StraightThroughEmbedding(3, 2, estimator="st", seed=1)
    logits = tf.zeros([2, 3])
    layer(logits)

    @tf.function
    def value_and_gradient(mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = layer(logits, mask, training=True)
        return y, tape.gradient(y, logits)

    mask = tf.constant([[True, False, True], [False, False, False]])
    value, gradient = value_and_gradient(mask)
    assert np.any(value[0] != 0) and np.all(value[1] == 0)
    assert np.any(gradient[0] != 0) and np.all(gradient[1] == 0)
    assert np.all(gradient[:, 1] == 0)


@pytest.mark.parametrize("name", ["weights", "embeddings_initializer"])
def test_the_table_may_be_given(name):
    table = np.arange(6, dtype="float32").reshape(3, 2)
    given = [table] if name == "weights" else table
    layer = tg.StraightThroughEmbedding(3, 2, **{name: given})
    np.testing.assert_array_equal(layer(np.eye(3, dtype="float32")), table)
    with pytest.raises(ValueError, match=r"one table, of shape \(4, 2\)"):
        tg.StraightThroughEmbedding(4, 2, **{name: given})


def test_gumbel_rao_averages_over_as_many_noises_as_it_is_told():
    def gradient(noise_samples):
        layer = tg.StraightThroughEmbedding(
            *(4, 2), estimator="gumbel_rao", noise_samples=noise_samples, seed=1
        )
        layer.build((None, 4))
        layer.embeddings.assign(np.arange(8.0).reshape(4, 2))
        logits = tf.zeros([500, 4])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(layer(logits, training=True))
        return tape.gradient(total, logits)

    assert np.std(gradient(20)) < 0.9 * np.std(gradient(1))


def test_regularizer_sees_the_table():
    layer = tg.StraightThroughEmbedding(
        3, 2, embeddings_initializer="ones", embeddings_regularizer="l2"
    )
    layer(np.zeros((1, 3), "float32"))
    np.testing.assert_allclose(layer.losses, [0.06], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, 2), ValueError, r"shape \(1,\)"),
        ((2.0, 2), TypeError, "`categories`.*Received: categories=2.0"),
        ((2, 0), ValueError, "`dim`.*Received: dim=0"),
        ((2, 2, "best"), ValueError, "`estimator`.*'st_gumbel'.*'best'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        tg.StraightThroughEmbedding(
            *arguments[:2],
            **dict(zip(["estimator"], arguments[2:], strict=False)),
        )


@pytest.mark.parametrize("symbolic", [False, True])
def test_another_number_of_categories(symbolic):
    make = keras.KerasTensor if symbolic else tf.zeros
    with pytest.raises(ValueError, match=r"5 categories.*\(2, 4\)"):
        tg.StraightThroughEmbedding(5, 2)(make((2, 4)))
