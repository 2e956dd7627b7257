"""What the timings compare: this package's layers, and other ways to sample.

A draw maps (logits, seed) to a sample, or to a sample and its log-probability;
`step` is its forward and backward pass. `vae` is a Keras model around a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks._timing import Call

TEMPERATURE = 0.7
Draw = Callable[[tf.Tensor, tf.Tensor], Any]
CATEGORICAL = tg.StraightThroughCategorical
BERNOULLI = tg.StraightThroughBernoulli
LAYERS: dict[str, Call] = {
    "GumbelSoftmax": partial(tg.GumbelSoftmax, TEMPERATURE),
    "GumbelSoftmax hard": partial(tg.GumbelSoftmax, TEMPERATURE, hard=True),
    "StraightThroughCategorical st": partial(CATEGORICAL, "st", TEMPERATURE),
    "StraightThroughCategorical st_gumbel": partial(
        CATEGORICAL, "st_gumbel", TEMPERATURE
    ),
    "BinaryConcrete": partial(tg.BinaryConcrete, TEMPERATURE),
    "BinaryConcrete hard": partial(tg.BinaryConcrete, TEMPERATURE, hard=True),
    "StraightThroughBernoulli st": partial(BERNOULLI, "st", TEMPERATURE),
    "StraightThroughBernoulli st_gumbel": partial(
        BERNOULLI, "st_gumbel", TEMPERATURE
    ),
    "ReparamGaussian": tg.ReparamGaussian,
    "ReinforceSampler": partial(
        tg.ReinforceSampler, baseline=None, return_log_prob=True
    ),
}


def draw_with(layer: Any) -> Draw:
    """A layer's draw; a Gaussian's log variance is its mean."""
    if isinstance(layer, tg.ReparamGaussian):
        return lambda logits, seed: layer((logits, logits), training=True)
    return lambda logits, seed: layer(logits, training=True)


SOFTMAX = "tf.nn.softmax"
COMPOSED = "composed of TF ops"
TFP = "tfp RelaxedOneHotCategorical"
TFP_HARD = "tfp RelaxedOneHotCategorical, made hard"
TFP_BINARY = "tfp RelaxedBernoulli"
TFP_BINARY_HARD = "tfp RelaxedBernoulli, made hard"
# What one writes with TFP in place of a layer; TFP where nothing stands.
RIVALS = {
    "GumbelSoftmax hard": TFP_HARD,
    "StraightThroughCategorical st_gumbel": TFP_HARD,
    "BinaryConcrete": TFP_BINARY,
    "BinaryConcrete hard": TFP_BINARY_HARD,
    "StraightThroughBernoulli st_gumbel": TFP_BINARY_HARD,
}
TORCH = "torch F.gumbel_softmax"
BITS = "random bits alone"
UNIFORM = "uniform noise alone"
GUMBEL = "Gumbel noise alone"


def softmax(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(logits)


def composed(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, minval=1e-20)
    gumbel = -tf.math.log(-tf.math.log(uniform))
    return tf.nn.softmax((logits + gumbel) / TEMPERATURE)


def tfp_relaxed(logits: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
    from tensorflow_probability import distributions as tfd

    distribution = tfd.RelaxedOneHotCategorical(TEMPERATURE, logits=logits)
    return distribution.sample(seed=seed)


def tfp_relaxed_bits(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from tensorflow_probability import distributions as tfd

    return tfd.RelaxedBernoulli(TEMPERATURE, logits=logits).sample(seed=seed)


def tfp_hard(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Straight through, as tutorials write it."""
    y = tfp_relaxed(logits, seed)
    hard = tf.one_hot(tf.argmax(y, axis=-1), y.shape[-1])
    return y + tf.stop_gradient(hard - y)


def tfp_hard_bits(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    y = tfp_relaxed_bits(logits, seed)
    return y + tf.stop_gradient(tf.round(y) - y)


def random_bits(algorithm: str, logits: tf.Tensor, seed: tf.Tensor) -> Any:
    """TensorFlow's kernel and a cast."""
    bits = tf.random.stateless_uniform(
        tf.shape(logits), seed, None, None, tf.uint32, alg=algorithm
    )
    return tf.cast(bits, tf.float32)


PEERS: dict[str, Draw] = {
    UNIFORM: lambda logits, seed: tg.random.uniform(tf.shape(logits), seed),
    GUMBEL: lambda logits, seed: tg.random.gumbel(tf.shape(logits), seed),
    SOFTMAX: softmax,
    COMPOSED: composed,
    TFP: tfp_relaxed,
    TFP_HARD: tfp_hard,
    TFP_BINARY: tfp_relaxed_bits,
    TFP_BINARY_HARD: tfp_hard_bits,
}


def make_draw(name: str, jit_compile: bool) -> Draw:
    """The contender of this name, to be compiled by XLA or not."""
    if name == BITS:  # By the algorithm of `tg.random`.
        return partial(random_bits, "threefry" if jit_compile else "philox")
    return PEERS[name] if name in PEERS else draw_with(LAYERS[name]())


def arrays(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and weights w, the same for all contenders."""
    generator = np.random.default_rng(0)
    logits, weights = generator.normal(size=(2, *shape)).astype("float32")
    return logits, weights


def compiled(
    function: Callable[..., Any],
    *inputs: tf.Tensor,
    jit_compile: bool = False,
    seeded: bool = False,
) -> Call:
    """A call of the function's graph, which waits until all is done.

    If seeded, the last argument is a seed, another one in each call, lest noise
    of a constant seed be folded into a constant.
    """
    graph = tf.function(function, jit_compile=jit_compile, autograph=False)
    of_seed = [tf.TensorSpec([2], tf.int32)] if seeded else []
    traced = graph.get_concrete_function(*inputs, *of_seed)
    seeds = itertools.count()

    def call() -> Any:
        seed = [tf.constant([next(seeds), 1], tf.int32)] if seeded else []
        result = traced(*inputs, *seed)
        tf.test.experimental.sync_devices()
        return result

    return call


def step(
    draw: Draw, logits: np.ndarray, weights: np.ndarray, jit_compile: bool
) -> Call:
    """One call: draw, the loss Σ w·y, and its gradient in the logits.

    A log-probability, one an example, is weighted by the example's first w.
    """
    scale, start = tf.constant(weights), tf.constant(logits)
    first = tf.reshape(scale, [len(logits), -1])[:, 0]

    def loss_and_gradient(logits: tf.Tensor, seed: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            drawn = draw(logits, seed)
            y, *log_prob = drawn if isinstance(drawn, tuple) else [drawn]
            loss = tf.reduce_sum(scale * y)
            for each in log_prob:
                loss += tf.tensordot(first, each, 1)
        return loss, tape.gradient(loss, logits)

    return compiled(
        loss_and_gradient, start, jit_compile=jit_compile, seeded=True
    )


def torch_step(logits: np.ndarray, weights: np.ndarray, device: str) -> Call:
    """The same for PyTorch, which runs op by op."""
    import torch

    place = "cuda" if device == "GPU:0" else "cpu"
    start = torch.tensor(logits, requires_grad=True, device=place)
    scale = torch.tensor(weights, device=place)

    def call() -> tuple[Any, Any]:
        y = torch.nn.functional.gumbel_softmax(start, TEMPERATURE)
        loss = torch.sum(scale * y)
        result = loss.detach(), torch.autograd.grad(loss, start)[0]
        if place == "cuda":
            torch.cuda.synchronize()
        return result

    return call


class TFPLayer(keras.layers.Layer):
    """Samples of TensorFlow Probability, which counts calls for its noise."""

    def call(self, logits: Any) -> Any:
        return tf.ensure_shape(tfp_relaxed(logits), logits.shape)


class NoNoise(keras.layers.Layer):
    """A softmax in place of a sampler."""

    def call(self, logits: Any) -> Any:
        return tf.nn.softmax(logits / TEMPERATURE)


class HandWritten(keras.layers.Layer):
    """The layer that one finds in tutorials, mended to draw anew."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, logits: Any) -> Any:
        uniform = keras.random.uniform(
            keras.ops.shape(logits), 1e-7, 1.0, seed=self.seeds
        )
        noise = -keras.ops.log(-keras.ops.log(uniform))
        return keras.ops.softmax((logits + noise) / TEMPERATURE)


def vae(
    sampler: Any,
    pixels: int,
    hidden: Sequence[int],
    code: tuple[int, int],
    model: Any = keras.Model,
    jit_compile: bool = False,
) -> Any:
    """A compiled VAE with this layer between encoder and decoder."""
    h = x = keras.Input((pixels,))
    for units in hidden:
        h = keras.layers.Dense(units, activation="relu")(h)
    logits = keras.layers.Dense(code[0] * code[1])(h)
    logits = tg.CategoricalKL()(keras.layers.Reshape(code)(logits))
    h = keras.layers.Flatten()(sampler(logits))
    for units in hidden[::-1]:
        h = keras.layers.Dense(units, activation="relu")(h)
    made = model(x, keras.layers.Dense(pixels)(h))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    made.compile(
        "adam", loss, loss_weights=float(pixels), jit_compile=jit_compile
    )
    return made
