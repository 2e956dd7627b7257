"""What the pages say of second derivatives, by a tape of a tape."""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots

TAU = 0.7
LOGITS = tf.constant([0.4, -0.3, 0.9])
NOISE = tg.random.gumbel([50, 3], [1, 2])


def linear(z):
    return tf.reduce_sum(z * [1.0, -2.0, 3.0])


def cubic(z):
    return tf.pow(linear(z) + 0.6, 3)


def derivatives(function, at):
    """Value, gradient and Hessian."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(at)
        with tf.GradientTape() as inner:
            inner.watch(at)
            value = function(at)
        gradient = inner.gradient(value, at)
    hessian = outer.jacobian(gradient, at, experimental_use_pfor=False)
    return value, gradient, tf.zeros([3, 3]) if hessian is None else hessian


def gapped(z):
    """The op, and the one softmax of the logits plus what is held fixed."""
    top = tf.reduce_max(LOGITS)
    moves = z * (top - LOGITS) - (1 - z) * tf.nn.relu(LOGITS + 1.0 - top)
    return (
        lambda logits: tg.ops.gapped_straight_through(
            logits, z, temperature=TAU
        ),
        moves[None],
    )


def gumbel_rao(z):
    """The op, and the softmaxes, one for each noise."""
    many = [tf.broadcast_to(tensor, NOISE.shape) for tensor in (LOGITS, z)]
    moves = tg.ops.conditional_gumbel(*many, NOISE) - LOGITS
    return (
        lambda logits: tg.ops.gumbel_rao(logits, z, NOISE, temperature=TAU),
        moves,
    )


def formula(f, z, moves):
    """J̄ f'' J̄ + ∂[J̄] f', with the derivatives of f taken at z."""
    _, slope, curvature = derivatives(f, z)

    def relaxed(logits):
        return tf.reduce_mean(tf.nn.softmax((logits + moves) / TAU), axis=0)

    with tf.GradientTape() as tape:
        tape.watch(LOGITS)
        y = relaxed(LOGITS)
    jacobian = tape.jacobian(y, LOGITS)
    _, _, bent = derivatives(
        lambda t: tf.reduce_sum(relaxed(t) * slope), LOGITS
    )
    return tf.transpose(jacobian) @ curvature @ jacobian + bent


@pytest.mark.full
@pytest.mark.parametrize("f", [linear, cubic])
@pytest.mark.parametrize("make", [gapped, gumbel_rao])
def test_second_derivatives_are_those_of_the_softmax_held_fixed(make, f):
    mean = 0.0
    for z, probability in zip(
        tf.unstack(one_hots(3)), tf.nn.softmax(LOGITS), strict=True
    ):
        op, moves = make(z)
        _, _, found = derivatives(lambda t, op=op: f(op(t)), LOGITS)
        np.testing.assert_allclose(
            found, formula(f, z, moves), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(found, np.transpose(found), atol=1e-4)
        mean += probability * found

    def expected(logits):
        values = [f(z) for z in tf.unstack(one_hots(3))]
        return tf.reduce_sum(tf.nn.softmax(logits) * values)

    _, _, exact = derivatives(expected, LOGITS)
    relative = np.linalg.norm(mean - exact) / np.linalg.norm(exact)
    assert relative > 0.2, "not the Hessian of the expectation"
