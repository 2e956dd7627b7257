"""Noise is not drawn again in the backward pass, or an error says so."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

X = np.ones((4, 3), "float32")
SCOPES = {
    "full": {},
    "activations": {},
    "larger_than": {"output_size_threshold": 0},
    "list_of_layers": {"layer_names": ["first", "sampler", "last"]},
    None: {},
}
# Around a model's construction: "full" rematerialises it as a whole, and in
# "larger_than" Keras's own call of any functional model raises TypeError.
PARTIAL = ("activations", "list_of_layers", None)


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


def averaging(**kwargs):
    """Vectors to averaged codes; nothing is drawn."""
    return tg.StochasticQuantizer(
        4, 3, estimator="nearest", update="ema", revive_after=None, **kwargs
    )


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    "layer, inputs, does",
    [
        (tg.CategoricalKL, [X], "adds a loss"),
        (lambda: tg.CodeUsageLoss("entropy"), [X], "adds a loss"),
        (averaging, [X], "adds a loss"),
        (lambda: averaging(commitment=0.0), [X], "averages inputs"),
        (
            lambda: tg.ScoreFunctionCost("moving_average"),
            [X[:, 0], X[:, 0]],
            "averages costs",
        ),
    ],
)
def test_what_a_second_call_would_spoil_is_refused(layer, inputs, does, traced):
    # A loss that is added outside of every tape has no gradient.
    layer = layer()
    layer(*inputs)  # Builds it.
    again = tf.recompute_grad(lambda *inputs: layer(*inputs, training=True))
    again = tf.function(again) if traced else again
    with pytest.raises(ValueError, match=f"{does} inside a model that is re"):
        again(*map(tf.constant, inputs))


def test_a_baseline_without_averages_may_be_called_again():
    layer = tg.ScoreFunctionCost(keras.layers.Dense(1))
    cost, log_prob = tf.constant(X[:, 0]), tf.constant(-X[:, 1])
    again = tf.recompute_grad(
        lambda log_prob: layer(cost, log_prob, X, training=True)
    )
    with tf.GradientTape() as tape:
        tape.watch(log_prob)
        value = layer(cost, log_prob, X, training=True)
    expected = tape.gradient(value, log_prob)
    with tf.GradientTape() as tape:
        tape.watch(log_prob)
        value = again(log_prob)
    np.testing.assert_allclose(tape.gradient(value, log_prob), expected)


def test_a_schedule_goes_on_once_where_a_call_is_recomputed():
    layer = tg.StochasticQuantizer(
        4,
        3,
        estimator="nearest",
        scale=tg.schedules.ExponentialAnnealing(),
        commitment=0.0,
        codebook_loss=0.0,
        revive_after=None,
    )
    again = tf.recompute_grad(lambda x: layer(x, training=True))
    x = tf.Variable(X)
    with tf.GradientTape() as tape:
        y = again(x)
    assert tape.gradient(y, x) is not None
    assert int(layer.annealed("scale").step) == 1


@pytest.mark.full
def test_a_model_rematerialised_as_a_whole_is_evaluated():
    with keras.RematScope("full"):
        model = model_with(tg.CategoricalKL(name="kl"))
    model.compile("sgd", "mse", run_eagerly=True)
    model.evaluate(X, X[:, :1], verbose=0)
    model.predict(X, verbose=0)
    with pytest.raises(ValueError, match="'kl' adds a loss inside"):
        model.fit(X, X[:, :1], verbose=0)


@pytest.mark.parametrize("mode", SCOPES)
def test_every_scope_around_the_layers_keeps_the_gradients(mode):
    with keras.RematScope(mode, **SCOPES[mode]):
        x = keras.Input((3,))
        y = keras.layers.Dense(3, "tanh", name="first")(x)
        y = tg.GumbelSoftmax(seed=3, name="sampler")(y)
        y = keras.layers.Dense(1, name="last")(y)
    assert_gradients_of_a_plain_model(keras.Model(x, y))


@pytest.mark.parametrize("mode", PARTIAL)
def test_other_scopes_around_a_model_keep_the_gradients(mode):
    with keras.RematScope(mode, **SCOPES[mode]):
        model = model_with(tg.GumbelSoftmax(seed=3, name="sampler"))
    assert_gradients_of_a_plain_model(model)


def assert_gradients_of_a_plain_model(model):
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    outcome = []
    for each in (model, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(each(X, training=True) ** 2)
        outcome.append(tape.gradient(loss, each.trainable_variables))
    for one, other in zip(*outcome, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
