"""Layers that draw one variable after the other, each in another loop."""

import keras
import tensorflow as tf

from tests.models import problem

KINDS = {}
K, D = problem.CATEGORIES, problem.VARIABLES


def kind(function):
    KINDS[function.__name__] = function
    return function


def put(samples, t, sample):
    """The samples with the t-th replaced."""
    here = keras.ops.arange(D) == t
    return keras.ops.where(here[:, None, None], sample[None], samples)


@kind
def tf_while_loop(draw, logits):
    def body(t, samples):
        return t + 1, samples.write(t, draw(logits[t]))

    samples = tf.TensorArray(tf.float32, D)
    _, samples = tf.while_loop(
        lambda t, _: t < D, body, (0, samples), maximum_iterations=D
    )
    return samples.stack()


@kind
def keras_while_loop(draw, logits):
    def body(t, samples):
        return t + 1, put(samples, t, draw(logits[t]))

    _, samples = keras.ops.while_loop(
        lambda t, _: t < D,
        body,
        (0, keras.ops.zeros_like(logits)),
        maximum_iterations=D,
    )
    return samples


@kind
def keras_scan(draw, logits):
    def step(last, x):
        sample = draw(x)
        return sample, sample

    return keras.ops.scan(step, keras.ops.zeros_like(logits[0]), logits)[1]


@kind
def keras_map(draw, logits):
    return keras.ops.map(draw, logits)


@kind
def keras_fori_loop(draw, logits):
    def body(t, samples):
        return put(samples, t, draw(logits[t]))

    return keras.ops.fori_loop(0, D, body, keras.ops.zeros_like(logits))


@kind
def tf_map_fn(draw, logits):
    return tf.map_fn(draw, logits)


@kind
def tf_cond(draw, logits):
    def drawn(t):
        return tf.cond(
            tf.shape(logits)[0] > 1,
            lambda: draw(logits[t]),
            lambda: tf.zeros_like(logits[t]),
        )

    return tf.stack([drawn(t) for t in range(D)])


@kind
def loop_in_loop(draw, logits):
    def inner(each):
        return tf.while_loop(
            lambda i, _: i < 1,
            lambda i, _: (i + 1, draw(each)),
            (0, tf.zeros_like(each)),
            maximum_iterations=1,
        )[1]

    return tf_while_loop(inner, logits)


class Looped(keras.layers.Layer):
    """Logits `[B, D, K]` in, samples out, drawn in a loop over D."""

    def __init__(self, kind, sampler, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.sampler = kind, sampler

    def build(self, shape):
        self.sampler.build((None, K))
        self.built = True

    def call(self, logits, training=None):
        samples = KINDS[self.kind](
            lambda each: self.sampler(each, training=training),
            keras.ops.transpose(logits, (1, 0, 2)),
        )
        samples = keras.ops.reshape(samples, (D, -1, K))
        return keras.ops.transpose(samples, (1, 0, 2))

    def compute_output_shape(self, shape):
        return shape
