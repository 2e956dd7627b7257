"""A surrogate gradient needs one declaration to be known everywhere."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers import registers
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    gradients,
    repeated,
)
from tfgumbel import ops
from tfgumbel.estimators import _relaxation


def halved(member):
    """The gradient of another one, halved."""

    def op(logits, *tensors, **options):
        half = 0.5 * logits + tf.stop_gradient(0.5 * logits)
        return member.op(half, *tensors, **options)

    return op


@pytest.fixture(params=["st", "zgr", "gumbel_rao"])
def declared(request, monkeypatch):
    """The name of a gradient that is half of another one, and the other."""
    member = ops.SURROGATES[request.param]
    mine = ops.Surrogate(halved(member), member.temperature, member.noise)
    monkeypatch.setitem(ops.SURROGATES, "halved_mine", mine)
    with registers.unchanged():
        _relaxation.register_surrogates()
        yield "halved_mine", request.param


def gradient_of_layer(name):
    layer = tg.StraightThroughCategorical(name, noise_samples=1, seed=3)
    logits = tf.constant(LOGITS["categorical"])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        z = layer(logits, training=True)
        cost = tf.reduce_sum(tf.square(tf.cumsum(z, axis=-1)))
    return tape.gradient(cost, logits).numpy()


def gradient_of_estimator(name):
    estimator = tg.estimators.get(name)
    if hasattr(estimator, "noise_samples"):
        estimator.noise_samples = 1
    return gradients(
        estimator,
        COSTS["quadratic"],
        repeated(LOGITS["categorical"], 5),
        repeated(WEIGHTS["categorical"], 5),
        [3, 8],
    )[1].numpy()


@pytest.mark.parametrize("of", [gradient_of_layer, gradient_of_estimator])
def test_layer_and_estimator_know_it(declared, of):
    mine, other = declared
    np.testing.assert_allclose(of(mine), 0.5 * of(other), rtol=1e-6)
    assert np.any(of(mine) != 0.0)
    assert mine in tg.estimators.available("categorical")
    heated = hasattr(tg.estimators.get(mine), "temperature")
    assert heated == ops.SURROGATES[mine].temperature


def test_a_class_of_its_own_stays():
    before = {name: type(tg.estimators.get(name)) for name in ops.SURROGATES}
    _relaxation.register_surrogates()
    after = {name: type(tg.estimators.get(name)) for name in ops.SURROGATES}
    assert before == after


@pytest.mark.parametrize("name", ["gumbel_softmax", "st", "st_gumbel"])
def test_a_schedule_counts_the_calls(name):
    schedule = tg.schedules.ExponentialAnnealing(1.0, rate=0.5, minimum=0.1)
    estimator = tg.estimators.get(name, temperature=schedule)
    for step in range(3):
        estimator(lambda z: z[:, 0, 0], tf.zeros([1, 2, 3]), [1, 2])
        expected = float(schedule(step))
        assert float(estimator.temperature) == pytest.approx(expected)
