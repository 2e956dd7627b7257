"""Value, first and second derivatives of an op, and the same composed."""

import numpy as np
import tensorflow as tf

ZERO = tf.UnconnectedGradients.ZERO


def weights_like(tensor):
    """Fixed weights of the tensor's shape, all different, of either sign."""
    index = tf.range(tf.size(tensor, out_type=tf.int64))
    weights = tf.cos(1.0 + 2.0 * tf.cast(index, tf.float64))
    return tf.cast(tf.reshape(weights, tf.shape(tensor)), tensor.dtype)


def weighted_sum(tensor):
    return tf.reduce_sum(weights_like(tensor) * tensor)


def value_and_gradients(function, arguments):
    """The value, and the gradient of its weighted sum by each argument."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = function(*arguments)
        total = weighted_sum(value)
    return value, tape.gradient(total, arguments, unconnected_gradients=ZERO)


def derivatives(function, arguments):
    """Value, gradients, and gradients of the weighted sum of gradients."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value, first = value_and_gradients(function, arguments)
        total = tf.add_n([weighted_sum(gradient) for gradient in first])
    return (
        value,
        first,
        tape.gradient(total, arguments, unconnected_gradients=ZERO),
    )


def assert_close(actual, expected, rtol=1e-6, atol=0.0):
    """Compares two arrays, or two structures of tensors."""
    if isinstance(actual, tf.Tensor):
        actual, expected = [actual], [np.asarray(expected)]
    pairs = zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True)
    for a, e in pairs:
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


def assert_finite(structure):
    for tensor in tf.nest.flatten(structure):
        assert np.all(np.isfinite(np.asarray(tensor, np.float64)))
