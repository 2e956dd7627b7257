"""Noise is not drawn again in the backward pass, or an error says so."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

X = np.ones((4, 3), "float32")


def model_with(layer):
    x = keras.Input((3,))
    y = layer(keras.layers.Dense(3)(x))
    return keras.Model(x, keras.layers.Dense(1)(y))


def test_a_model_rematerialised_as_a_whole_is_refused():
    # In eager mode: Keras does not rematerialise a model in a graph.
    with keras.RematScope("full"):
        model = model_with(tg.GumbelSoftmax(name="sampler"))
    with pytest.raises(ValueError, match="'sampler' draws noise inside"):
        model(X, training=True)
    assert model(X).shape == (4, 1)  # Nothing is drawn.


def test_recompute_grad_is_refused():
    layer = tg.ReparamGaussian()
    again = tf.recompute_grad(lambda mean: layer((mean, mean), training=True))
    with pytest.raises(ValueError, match="draws noise inside"):
        again(tf.constant(X))


def test_layers_around_a_sampler_are_rematerialised():
    sampler = tg.GumbelSoftmax(seed=3)
    with keras.RematScope("list_of_layers", layer_names=["first", "last"]):
        x = keras.Input((3,))
        y = sampler(keras.layers.Dense(3, name="first")(x))
        y = keras.layers.Dense(1, name="last")(y)
    model = keras.Model(x, y)
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    outcome = []
    for each in (model, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(each(X, training=True) ** 2)
        outcome.append(tape.gradient(loss, each.trainable_variables))
    for one, other in zip(*outcome, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
