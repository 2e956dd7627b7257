"""What is saved comes back: weights, seed state, and the noise to come."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import is_variant, layer_cases
from tests.layers.calls import (
    assert_equal,
    flat_inputs,
    network,
    the_layer,
    training_values,
)

every_layer = layer_cases(exhaustive=is_variant)
sampling = layer_cases(lambda case: case.law is not None, exhaustive=is_variant)


def through_keras_file(case, model, folder):
    path = folder / "model.keras"
    model.save(path)
    other = keras.models.load_model(path, safe_mode=True)
    assert type(the_layer(other)) is type(the_layer(model))
    assert as_json(the_layer(other)) == as_json(the_layer(model))
    return other


def as_json(layer):
    return json.dumps(layer.get_config(), sort_keys=True)


def through_weights_file(case, model, folder):
    path = folder / "model.weights.h5"
    model.save_weights(path)
    other = network(case, **another_seed(case))
    other.load_weights(path)
    return other


def through_checkpoint(case, model, folder):
    path = tf.train.Checkpoint(model=model).write(str(folder / "checkpoint"))
    other = network(case, **another_seed(case))
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    return other


def another_seed(case):
    return {} if case.noise is None else {"seed": 99}


WAYS = {
    "keras": through_keras_file,
    "weights": through_weights_file,
    "checkpoint": through_checkpoint,
}


def trained(case):
    """A model none of whose weights is what it was made with."""
    model = network(case)
    for _ in range(2):
        training_values(model, [flat_inputs(case)])
    for weight in model.trainable_weights:
        weight.assign_add(0.01 * tf.ones(weight.shape))
    annealed = getattr(the_layer(model), case.anneals or "", None)
    if annealed is not None:
        annealed.assign(0.4)
    return model


@every_layer
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_round_trip(case, way, tmp_path):
    """Predictions, weights, and the next noise, are what they were."""
    model = trained(case)
    other = way(case, model, tmp_path)
    inputs = [flat_inputs(case)]
    assert_equal(other.get_weights(), model.get_weights())
    assert_equal(other(*inputs), model(*inputs))
    assert_equal(training_values(other, inputs), training_values(model, inputs))
    assert_equal(other.get_weights(), model.get_weights())


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.GumbelSoftmax(0.7, trainable_temperature=True),
        lambda: tg.BinaryConcrete(0.7, trainable_temperature=True),
        lambda: tg.StochasticQuantizer(
            5, 4, estimator="st", scale=0.7, trainable_scale=True
        ),
    ],
)
def test_a_checkpoint_holds_what_is_trained(make, tmp_path):
    one, other = make(), make()
    for layer in (one, other):
        layer(np.ones((2, 4), "float32"))
    for weight in one.trainable_weights:
        weight.assign_add(tf.ones(weight.shape))
    path = tf.train.Checkpoint(layer=one).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).read(path).assert_consumed()
    for a, b in zip(
        one.trainable_weights, other.trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(a, b)


@sampling
def test_inference_samples_go_on_after_a_reload(case, tmp_path):
    model = network(case, inference="sample")
    inputs = flat_inputs(case)
    model(inputs)
    other = through_keras_file(case, model, tmp_path)
    assert_equal(other(inputs), model(inputs))


@pytest.mark.parametrize("store", [{}, {"0": np.zeros(3)}], ids=len)
def test_a_file_of_a_model_with_another_layer_in_the_place(store):
    """Its weights are nothing to this one, whose state stays as it was."""
    layer = tg.GumbelSoftmax(seed=7)
    layer(np.ones((2, 4), "float32"))
    layer.load_own_variables(store)
    np.testing.assert_array_equal(layer.seed_state, [7, 0])


def test_weights_of_a_layer_that_is_not_built_are_not_lost_in_silence():
    with pytest.raises(ValueError, match="never built"):
        tg.ConcreteSelector(2).load_own_variables({"0": np.zeros((2, 5))})
