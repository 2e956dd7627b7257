import keras
import numpy as np
import pytest

import tfgumbel as tg
from tests.ops.derivatives import assert_close

COST = np.array([1.0, 4.0, -2.0], np.float32)
WEIGHTS = np.array([1.0, 0.5, 2.0], np.float32)


@pytest.mark.parametrize("target", [np.zeros(3), np.full(3, 7.0)])
def test_value_is_the_mean_cost_whatever_the_target(target):
    loss = tg.losses.MeanCost()
    assert_close(loss(target, COST), 1.0)
    assert_close(loss(target, COST, sample_weight=WEIGHTS), -1 / 3)


@pytest.mark.parametrize(
    ("reduction", "expected"), [("sum", 3.0), (None, COST)]
)
def test_reductions_are_those_of_keras(reduction, expected):
    loss = tg.losses.MeanCost(reduction=reduction)
    assert_close(loss(np.zeros(3), COST), expected)


def test_config_round_trip():
    loss = tg.losses.MeanCost(reduction="sum", name="elbo")
    serialized = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(serialized)
    assert type(again) is tg.losses.MeanCost
    assert again.get_config() == loss.get_config()
    assert (again.reduction, again.name) == ("sum", "elbo")


def test_model_descends_its_own_output():
    """One step of gradient descent on mean(w x), by the weighted mean."""
    x = np.array([[1.0], [2.0], [6.0]], np.float32)
    inputs = keras.Input([1])
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    cost = keras.layers.Reshape([])(dense(inputs))
    model = keras.Model(inputs, cost)
    model.compile("sgd", loss=tg.losses.MeanCost())
    model.optimizer.learning_rate = 0.1
    history = model.fit(x, np.zeros(3), sample_weight=WEIGHTS, verbose=0)
    mean = (1.0 + 1.0 + 12.0) / 3
    assert_close(np.float32(history.history["loss"]), [mean])
    assert_close(dense.kernel.numpy(), [[1 - 0.1 * mean]])


def test_the_target_may_be_left_out():
    inputs = keras.Input([])
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile("sgd", loss=tg.losses.MeanCost())
    history = model.fit(COST, verbose=0).history
    assert history["loss"] == [pytest.approx(np.mean(COST))]
