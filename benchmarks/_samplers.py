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
from benchmarks._runner import Call

TEMPERATURE = 0.7
Draw = Callable[[tf.Tensor, tf.Tensor], Any]
_CATEGORICAL = partial(tg.StraightThroughCategorical, temperature=TEMPERATURE)
_BERNOULLI = partial(tg.StraightThroughBernoulli, temperature=TEMPERATURE)
_SCORE: dict[str, Any] = {"baseline": None, "return_log_prob": True}
LAYERS: dict[str, Call] = {
    "GumbelSoftmax": partial(tg.GumbelSoftmax, TEMPERATURE),
    "GumbelSoftmax hard": partial(tg.GumbelSoftmax, TEMPERATURE, hard=True),
    "StraightThroughCategorical st": partial(_CATEGORICAL, "st"),
    "StraightThroughCategorical st_gumbel": partial(_CATEGORICAL, "st_gumbel"),
    "BinaryConcrete": partial(tg.BinaryConcrete, TEMPERATURE),
    "BinaryConcrete hard": partial(tg.BinaryConcrete, TEMPERATURE, hard=True),
    "StraightThroughBernoulli st": partial(_BERNOULLI, "st"),
    "StraightThroughBernoulli st_gumbel": partial(_BERNOULLI, "st_gumbel"),
    "ReparamGaussian": tg.ReparamGaussian,
    "ReinforceSampler": partial(tg.ReinforceSampler, **_SCORE),
}


def draw_with(layer: Any) -> Draw:
    """A layer's draw; a Gaussian's log variance is its mean."""
    if isinstance(layer, tg.ReparamGaussian):
        return lambda logits, seed: layer((logits, logits), training=True)
    return lambda logits, seed: layer(logits, training=True)


SOFTMAX = "tf.nn.softmax"
COMPOSED = "composed of TF ops"
RELAXED, RELAXED_BITS = "RelaxedOneHotCategorical", "RelaxedBernoulli"
TFP, TFP_BINARY = f"tfp {RELAXED}", f"tfp {RELAXED_BITS}"
TFP_HARD, TFP_BINARY_HARD = f"{TFP}, made hard", f"{TFP_BINARY}, made hard"
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


def tfp(name: str, logits: tf.Tensor, seed: Any = None) -> tf.Tensor:
    from tensorflow_probability import distributions

    made = getattr(distributions, name)(TEMPERATURE, logits=logits)
    return made.sample(seed=seed)


def tfp_hard(name: str, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Straight through, as tutorials write it."""
    y = tfp(name, logits, seed)
    if name == RELAXED:
        hard = tf.one_hot(tf.argmax(y, axis=-1), y.shape[-1])
    else:
        hard = tf.round(y)
    return y + tf.stop_gradient(hard - y)


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
    TFP: partial(tfp, RELAXED),
    TFP_HARD: partial(tfp_hard, RELAXED),
    TFP_BINARY: partial(tfp, RELAXED_BITS),
    TFP_BINARY_HARD: partial(tfp_hard, RELAXED_BITS),
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
    function: Callable[[Any, Any], Any], start: Any, jit_compile: bool
) -> Call:
    """A call of the graph of function(start, seed); it waits for its end.

    The seed is another one in each call, lest noise of a constant seed be
    folded into a constant.
    """
    start, seeds = tf.constant(start), itertools.count()
    graph = tf.function(function, jit_compile=jit_compile, autograph=False)
    traced = graph.get_concrete_function(start, tf.TensorSpec([2], tf.int32))

    def call() -> Any:
        result = traced(start, tf.constant([next(seeds), 1], tf.int32))
        tf.test.experimental.sync_devices()
        return result

    return call


def gradients(
    cost: Callable[[Any, Any], Any],
    start: Any,
    weights: Sequence[Any] = (),
    jit_compile: bool = False,
) -> Call:
    """One call: cost(start, seed) and its gradients in start and weights."""

    def run(start: tf.Tensor, seed: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(start)
            value = cost(start, seed)
        return value, *tape.gradient(value, [start, *weights])

    return compiled(run, start, jit_compile)


def step(
    draw: Draw,
    logits: np.ndarray,
    weights: np.ndarray,
    jit_compile: bool,
    sources: Sequence[Any] = (),
) -> Call:
    """One call: draw, the loss Σ w·y, its gradients in logits and sources.

    A log-probability, one an example, is weighted by the example's first w.
    """
    scale = tf.constant(weights)
    first = tf.reshape(scale, [len(logits), -1])[:, 0]

    def loss(logits: tf.Tensor, seed: tf.Tensor) -> Any:
        drawn = draw(logits, seed)
        y, *log_prob = drawn if isinstance(drawn, tuple) else [drawn]
        terms = [tf.tensordot(first, each, 1) for each in log_prob]
        return sum(terms, tf.reduce_sum(scale * y))

    return gradients(loss, logits, sources, jit_compile)


def torch_softmax(logits: Any) -> Any:
    """PyTorch's own sampler."""
    import torch

    return torch.nn.functional.gumbel_softmax(logits, TEMPERATURE)


def torch_step(
    draw: Callable[[Any], Any],
    logits: np.ndarray,
    weights: np.ndarray,
    device: str = "CPU:0",
) -> Call:
    """The same for PyTorch, which runs op by op.

    A draw maps the logits to y, or to y and what is added to the loss.
    """
    import torch

    place = "cuda" if device == "GPU:0" else "cpu"
    start = torch.tensor(logits, requires_grad=True, device=place)
    scale = torch.tensor(weights, device=place)

    def call() -> tuple[Any, Any]:
        drawn = draw(start)
        y, *more = drawn if isinstance(drawn, tuple) else [drawn]
        loss = sum(more, torch.sum(scale * y))
        result = loss.detach(), torch.autograd.grad(loss, start)[0]
        if place == "cuda":
            torch.cuda.synchronize()
        return result

    return call


class TFPLayer(keras.layers.Layer):
    """Samples of TensorFlow Probability, which counts calls for its noise."""

    def call(self, logits: Any) -> Any:
        return tf.ensure_shape(tfp(RELAXED, logits), logits.shape)


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
