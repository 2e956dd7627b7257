"""A chain whose state is its last sample, small enough to enumerate."""

import itertools

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.models import problem

STEPS, CATEGORIES, FEATURES = 3, 3, 2
RATE = problem.LEARNING_RATE
INPUTS = np.sin(np.arange(24.0)).reshape(4, STEPS, FEATURES).astype("float32")
TARGETS = 2.0 * np.cos(np.arange(24.0)).reshape(4, STEPS, 2).astype("float32")


def constant(function, *shape):
    values = function(np.arange(float(np.prod(shape)))).reshape(shape)
    return keras.initializers.Constant(values)


@keras.saving.register_keras_serializable("tests")
class Chain(keras.layers.Layer):
    """A cell: the logits come from the input and the last sample."""

    def __init__(self, sampler, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = CATEGORIES
        self.sampler = sampler
        self.logits = keras.layers.Dense(
            CATEGORIES,
            kernel_initializer=constant(
                np.sin, FEATURES + CATEGORIES, CATEGORIES
            ),
            # Keras sums gradients over the batch in half precision.
            dtype="float32",
            name="logits",
        )

    def build(self, shape):
        context = (None, FEATURES + CATEGORIES)
        self.logits.build(context)
        self.sampler.build((None, CATEGORIES), context)
        self.built = True

    def call(self, inputs, states, training=None):
        context = keras.ops.concatenate([inputs, states[0]], axis=-1)
        z = self.sampler(self.logits(context), context, training=training)
        return z, [z]

    def get_config(self):
        sampler = keras.saving.serialize_keras_object(self.sampler)
        return {**super().get_config(), "sampler": sampler}

    @classmethod
    def from_config(cls, config):
        sampler = keras.saving.deserialize_keras_object(config.pop("sampler"))
        return cls(sampler, **config)


def decoder(name="decoder"):
    return keras.layers.Dense(
        2, kernel_initializer=constant(np.cos, CATEGORIES, 2), name=name
    )


def model(unroll=False, masked=False, steps=STEPS, **options):
    """Input, chain and decoder; `options` are the sampler's."""
    options = {"seed": 1, "baseline": None, **options}
    x = inputs = keras.Input((steps, FEATURES))
    if masked:
        inputs = keras.layers.Masking(9.0)(x)
    cell = Chain(tg.ReinforceSampler(**options))
    rnn = keras.layers.RNN(
        cell, return_sequences=True, unroll=unroll, name="chain"
    )
    rnn.supports_masking = True  # as up to Keras 3.15, not in its nightly
    return tg.StochasticModel(x, decoder()(rnn(inputs)))


def compiled(network, loss="mse", **options):
    network.compile(keras.optimizers.SGD(RATE), loss=loss, **options)
    return network


def cell_of(network):
    return network.get_layer("chain").cell


def weights_of(network):
    return [
        *cell_of(network).logits.trainable_variables,
        *network.get_layer("decoder").trainable_variables,
    ]


def exact_gradients(network, weights=None, lengths=None):
    """Gradients of the expected loss, by summation over all chains.

    Args:
        network: The model.
        weights: Sample weights, `[4]` or `[4, T]`.
        lengths: How many steps of each example count, `[4]`.
    """
    weights = np.ones(4) if weights is None else np.asarray(weights)
    weights = np.broadcast_to(weights.reshape(4, -1), (4, STEPS))
    if lengths is not None:
        counts = np.arange(STEPS) < np.asarray(lengths)[:, None]
        # Keras divides by the number of steps that count.
        weights = weights * counts * counts.size / counts.sum()
    eye = np.eye(CATEGORIES, dtype="float32")
    with tf.GradientTape() as tape:
        total = 0.0
        for chain in itertools.product(range(CATEGORIES), repeat=STEPS):
            state, log_q = tf.zeros([4, CATEGORIES]), tf.zeros([4])
            loss = tf.zeros([4])
            for t, k in enumerate(chain):
                context = tf.concat([INPUTS[:, t], state], -1)
                logits = cell_of(network).logits(context)
                state = tf.repeat(eye[k][None], 4, axis=0)
                log_q += tf.nn.log_softmax(tf.cast(logits, tf.float32))[:, k]
                output = network.get_layer("decoder")(state)
                error = tf.cast(output, tf.float32) - TARGETS[:, t]
                loss += weights[:, t] * tf.reduce_mean(error**2, -1)
            total += tf.reduce_mean(tf.exp(log_q) * loss) / STEPS
    found = tape.gradient(total, [v.value for v in weights_of(network)])
    return [g.numpy() for g in found]


class Recorder(problem.GradientRecorder):
    """Reads the gradients of cell and decoder; a baseline goes on learning."""

    def on_train_begin(self, logs=None):
        self._variables = weights_of(self.model)
        self._start = [v.numpy() for v in self._variables]


def gradients(network, steps, batch, x=INPUTS, y=TARGETS, weights=None):
    """One gradient per step of `fit`, per weight: `[steps, ...]`."""
    data = [problem.repeated(x, batch), problem.repeated(y, batch)]
    if weights is not None:
        data.append(problem.repeated(np.asarray(weights, "float32"), batch))
    dataset = tf.data.Dataset.from_tensors(tuple(data)).repeat(steps)
    recorder = Recorder()
    network.fit(dataset, verbose=0, callbacks=[recorder])
    return [np.stack(each) for each in zip(*recorder.gradients, strict=True)]
