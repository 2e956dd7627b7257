"""Networks with stochastic layers, trained by any estimator, and their bounds.

`Network` is a chain of layers of discrete variables between an input and the
logits of binary pixels. With several layers the estimators are nested: the
cost of layer l's sample is what the estimator of layer l + 1 returns, whose
gradient is an estimate of the gradient of the expectation below. Where the
estimators are unbiased, so is the whole: at every point at which layer l asks
for a cost, and for its gradient, it gets an unbiased one. The learning signal
of a layer is the cost at the end of the chain.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tfgumbel import distributions, estimators, random
from tfgumbel.estimators.algebra import attach, log_mean_exp, repeat

Parameters = distributions.Parameters
Shape = Sequence[int]


class Network:
    """input -> variables -> ... -> variables -> pixels, linear in between.

    A stochastic layer has the shape `(D,)`, or `(D, K)` where its variables are
    categorical. The logits of all of them are multiplied by `slope`.
    """

    def __init__(
        self,
        inputs: int,
        layers: Sequence[Shape],
        pixels: int,
        distribution: str,
    ) -> None:
        self.layers = list(layers)
        self.distribution: Any = distributions.get(distribution)
        self.slope = keras.Variable(1.0, trainable=False, name="slope")
        self.dense, self.weights = [], []
        sizes = [inputs, *map(math.prod, layers), pixels]
        for size, units in itertools.pairwise(sizes):
            layer = keras.layers.Dense(units)
            layer.build((None, size))
            self.dense.append(layer)
            self.weights += layer.weights

    def logits(self, index: int, below: tf.Tensor) -> tf.Tensor:
        """Logits of stochastic layer `index`, given what lies below it."""
        flat = tf.reshape(below, [-1, self.dense[index].kernel.shape[0]])
        rows = self.slope * self.dense[index](flat)
        return tf.reshape(rows, [-1, *self.layers[index]])

    def pixels(self, code: tf.Tensor) -> tf.Tensor:
        """Logits of the pixels, given the last layer's variables."""
        last = self.dense[-1]
        return last(tf.reshape(code, [-1, last.kernel.shape[0]]))

    def loss(
        self, nodes: Any, inputs: Any, targets: Any, seed: Any, index: int = 0
    ) -> tf.Tensor:
        """-log p(targets | variables) per example, a sample each.

        Layers from `index` on are sampled, each by its own of the nodes, its
        estimators, given what is below: `inputs`, `[n·B, ...]`. The targets
        are binary pixels, `[B, P]`.
        """
        if index == len(self.layers):
            return reconstruction(self.pixels(inputs), targets)
        own, rest = random.split(seed, 2)
        above, node, options = index + 1, nodes[index], {}
        if getattr(node, "expands", False):
            options["mean_field"] = lambda z: self.mean_field(z, targets, above)
        return node(
            lambda z: self.loss(nodes, z, targets, rest, above),
            self.logits(index, inputs),
            own,
            inputs,
            **options,
        )

    def mean_field(
        self, below: tf.Tensor, targets: tf.Tensor, index: int
    ) -> tf.Tensor:
        """-log p(targets) with layers `index`, ... at their means, `[n·B]`."""
        for layer in range(index, len(self.layers)):
            below = self.distribution.mean(self.parameters(layer, below))
        return reconstruction(self.pixels(below), targets)

    def parameters(self, index: int, below: tf.Tensor) -> Parameters:
        """What the distribution of layer `index` takes."""
        return self.distribution.constrain(self.logits(index, below))


def reconstruction(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """-log p(targets) of binary pixels, `[n·B]`, in nats."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=estimators.tile_context(targets, logits), logits=logits
    )
    return tf.reduce_sum(entropy, axis=1)


class AutoEncoder:
    """Encoder and decoder of images, with LeakyReLU of this slope.

    `hidden` are the units of the encoder; the decoder reverses them.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        code: int,
        slope: float,
        initializer: Any = "glorot_uniform",
    ) -> None:
        def perceptron(*sizes: int) -> keras.Sequential:
            layers: list[Any] = [keras.Input([sizes[0]])]
            for size in sizes[1:]:
                layer = keras.layers.Dense(size, kernel_initializer=initializer)
                layers += [layer, keras.layers.LeakyReLU(slope)]
            return keras.Sequential(layers[:-1])

        self.encoder = perceptron(784, *hidden, code)
        self.decoder = perceptron(code, *hidden[::-1], 784)
        self.weights = self.encoder.weights + self.decoder.weights


class ScoreFunction(keras.layers.Layer):
    """(f - b(x) - c) / max(1, √v) · ∇log q: NVIL with variance normalisation.

    The running mean c and variance v and the network b are those of
    `tg.ScoreFunctionCost`. One evaluation of f, of a distribution with a mean.

    Args:
        expands: Whether f is replaced by f(z) - h(z), and h'ᵀ∇μ added, where
            h is the expansion at μ = E z of the cost with all that lies below
            at its means: MuProp, with its mean-field pass.
        normalize: Whether the signal is divided by max(1, √v).
    """

    evaluations = 1
    unbiased = True

    def __init__(
        self, distribution: Any, expands: bool = False, normalize: bool = True
    ) -> None:
        super().__init__()
        self.distribution = distribution
        self.expands = expands
        self.join = tg.ScoreFunctionCost("nvil", normalize=normalize)

    def build(self, logits_shape: Any, context_shape: Any) -> None:
        """Builds the baseline's network."""
        self.join.build((None,), (None,), context_shape)
        self.built = True

    def __call__(
        self,
        cost_fn: Any,
        logits: tf.Tensor,
        seed: Any,
        context: tf.Tensor,
        mean_field: Any = None,
    ) -> tf.Tensor:
        """The contract of `tfgumbel.estimators`; and what is expanded."""
        parameters = self.distribution.constrain(logits)
        sample = self.distribution.sample(parameters, seed)
        log_prob = self.distribution.log_prob(parameters, sample)
        cost = cost_fn(sample)
        if not self.expands:
            return self.join(cost, log_prob, context, training=True)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            path = self.distribution.mean(parameters)
        mean = tf.stop_gradient(path)
        with tf.GradientTape() as inner:
            inner.watch(mean)
            at_mean = mean_field(mean)
        slope = inner.gradient(at_mean, mean)
        linear = distributions.per_example(slope * (sample - mean))
        expansion = tf.stop_gradient(at_mean + linear)
        cost = self.join(cost - expansion, log_prob, context, training=True)
        gradients = tape.gradient(path, parameters, slope)  # h'ᵀ∇μ
        return attach(cost + expansion, parameters, gradients)


def log_likelihoods(
    network: Network, inputs: Any, targets: Any, samples: int, seed: Any
) -> tf.Tensor:
    """log p(targets | z) of `samples` ancestral samples, `[m, B]`."""
    below = inputs
    seeds = random.split(seed, len(network.layers))
    for index, own in enumerate(seeds):
        parameters = network.parameters(index, below)
        if index == 0:
            parameters = repeat(parameters, samples)
        below = network.distribution.sample(parameters, own)
    log_prob = -reconstruction(network.pixels(below), targets)
    return tf.reshape(log_prob, [samples, -1])


def log_weights(
    network: Network, images: Any, targets: Any, samples: int, seed: Any
) -> tf.Tensor:
    """log p(x|z) p(z) / q(z|x) of samples of q, uniform prior, `[m, B]`."""
    parameters = repeat(network.parameters(0, images), samples)
    code = network.distribution.sample(parameters, seed)
    log_prob = -reconstruction(network.pixels(code), targets)
    log_prob -= network.distribution.log_prob(parameters, code)
    return tf.reshape(log_prob - log_states(network), [samples, -1])


def sampled_elbo(
    network: Network, node: Any, images: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """-log p(x|z) - log p(z) + log q(z|x) at one sample, per example.

    The whole of it is the cost of the node. One that divides its learning
    signal would divide the reconstruction alone if the divergence were added
    in closed form, and descend a bound in which the divergence weighs more.
    """
    logits = network.logits(0, images)
    q = network.distribution.constrain(tf.stop_gradient(logits))

    def cost(code: tf.Tensor) -> tf.Tensor:
        log_q = network.distribution.log_prob(q, code)
        found = reconstruction(network.pixels(code), images)
        return found + log_q + log_states(network)

    return node(cost, logits, seed, images)


def log_states(network: Network) -> float:
    """The logarithm of the number of states of the last layer."""
    return math.log(network.distribution.count((1, *network.layers[-1])))


def divergence(network: Network, logits: tf.Tensor) -> tf.Tensor:
    """KL(q(z|x) ‖ uniform) per example, in nats."""
    q = network.distribution.constrain(logits)
    uniform = tuple(map(tf.zeros_like, q))
    return distributions.per_example(network.distribution.kl(q, uniform))


def negative_bound(
    terms: Callable[..., tf.Tensor],
    inputs: np.ndarray,
    targets: np.ndarray,
    samples: int,
    seed: int = 11,
    rows: int = 10_000,
    xla: bool = True,
) -> tuple[float, float]:
    """Mean of -log 1/m Σ_i exp(term_i) over the examples, and its error.

    `terms` maps (inputs, targets, m, seed) to `[m, B]`, where the batch B is
    such that m·B are about `rows`. The result is in nats.
    """
    batch = max(1, rows // samples)
    values = []

    @tf.function(autograph=False, jit_compile=xla)
    def part(below: tf.Tensor, above: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        below, above = tf.cast(below, tf.float32), tf.cast(above, tf.float32)
        return -log_mean_exp(terms(below, above, samples, key))

    for first in range(0, len(inputs), batch):
        chosen = slice(first, first + batch)
        key = tf.constant([seed, first], tf.int64)
        pair = (tf.constant(x[chosen]) for x in (inputs, targets))
        values.append(part(*pair, key).numpy())
    found = np.concatenate(values).astype("float64")
    return float(found.mean()), float(found.std() / math.sqrt(len(found)))
