"""A small stochastic model whose expected loss can be enumerated."""

import itertools

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import one_hots

VARIABLES, CATEGORIES = 2, 3
LEARNING_RATE = 2.0**-7
INPUTS = np.array([[1, 0], [0, 1], [1, 1], [-1, 1]], "float32")
TARGETS = np.array([[3, 0], [-2, 1], [0, 4], [1, -1]], "float32")


def encoder():
    kernel = np.linspace(-1, 1, 12).reshape(2, 6)
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(
                6,
                kernel_initializer=keras.initializers.Constant(kernel),
                dtype="float32",
            ),
            keras.layers.Reshape((VARIABLES, CATEGORIES)),
        ],
        name="encoder",
    )


def decoder(*middle):
    kernel = np.cos(np.arange(12)).reshape(6, 2)
    return keras.Sequential(
        [
            keras.Input((VARIABLES, CATEGORIES)),
            keras.layers.Flatten(),
            *middle,
            keras.layers.Dense(
                2, kernel_initializer=keras.initializers.Constant(kernel)
            ),
        ],
        name="decoder",
    )


def model(baseline, decode=None, seed=1):
    x = keras.Input((2,))
    logits = encoder()(x)
    sampler = tg.ReinforceSampler(baseline=baseline, seed=seed)
    z = sampler(logits, context=x)
    return tg.StochasticModel(x, (decode or decoder())(z))


def all_samples():
    """Every joint one-hot sample, `[K^D, D, K]`."""
    rows = one_hots(CATEGORIES)
    return np.array(list(itertools.product(rows, repeat=VARIABLES)), "float32")


def expected_loss(network, example_loss):
    """Σ_z q(z | x) · example_loss(y(z), i), per input, by enumeration."""
    samples = all_samples()
    logits = tf.cast(network.get_layer("encoder")(INPUTS), tf.float32)
    log_q = tf.nn.log_softmax(logits)
    joint = tf.exp(tf.einsum("ndk,sdk->ns", log_q, samples))
    outputs = network.get_layer("decoder")(samples)
    losses = tf.stack([example_loss(outputs, i) for i in range(len(INPUTS))])
    return tf.reduce_sum(joint * losses, axis=1)


def exact_gradients(network, example_loss, weights=None):
    """Gradients of the mean expected loss for encoder and decoder."""
    variables = main_weights(network)
    with tf.GradientTape() as tape:
        losses = expected_loss(network, example_loss)
        weights = np.ones(len(INPUTS)) if weights is None else weights
        total = tf.reduce_mean(losses * tf.cast(weights, tf.float32))
    return [g.numpy() for g in tape.gradient(total, values(variables))]


def main_weights(network):
    return [
        *network.get_layer("encoder").trainable_variables,
        *network.get_layer("decoder").trainable_variables,
    ]


def values(variables):
    return [v.value for v in variables]


class GradientRecorder(keras.callbacks.Callback):
    """Reads the gradient of each step of plain SGD, and undoes the step.

    Only encoder and decoder are put back; a baseline goes on learning.
    """

    def __init__(self):
        super().__init__()
        self.gradients = []

    def on_train_begin(self, logs=None):
        self._variables = main_weights(self.model)
        self._start = [v.numpy() for v in self._variables]

    def on_train_batch_end(self, batch, logs=None):
        self.gradients.append(
            [
                (start - v.numpy()) / LEARNING_RATE
                for start, v in zip(self._start, self._variables, strict=True)
            ]
        )
        for start, v in zip(self._start, self._variables, strict=True):
            v.assign(start)


def repeated(array, batch):
    return np.repeat(array, batch // len(array), axis=0)


def fit_gradients(network, steps, batch, y=TARGETS, x=INPUTS, **options):
    """One gradient per step of `fit`, per weight: `[steps, ...]`."""
    weights = options.pop("sample_weight", None)
    data = (x, y) if weights is None else (x, y, weights)
    data = tf.nest.map_structure(lambda array: repeated(array, batch), data)
    dataset = tf.data.Dataset.from_tensors(data).repeat(steps)
    recorder = GradientRecorder()
    network.fit(dataset, verbose=0, callbacks=[recorder], **options)
    return [np.stack(each) for each in zip(*recorder.gradients, strict=True)]


def cost_of(outputs, targets):
    """The mean squared error of each example, symbolic."""
    return keras.layers.Lambda(
        lambda pair: tf.reduce_mean(tf.square(pair[0] - pair[1]), -1),
        output_shape=(),
    )([outputs, targets])


def squared_error(outputs, i):
    """Keras's mean squared error of `outputs` against target i."""
    outputs = tf.cast(outputs, tf.float32)
    return tf.reduce_mean(tf.square(outputs - TARGETS[i]), axis=-1)


def gradient_variance(gradients):
    """Total variance of a list of per-weight gradients over the steps."""
    return sum(np.sum(np.var(g, axis=0, ddof=1)) for g in gradients)
