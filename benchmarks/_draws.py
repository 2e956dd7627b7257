"""The contenders of `benchmarks.layers`: (logits, seed) to a sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

import tfgumbel as tg

TEMPERATURE = 0.7

LAYERS: dict[str, Callable[[], Any]] = {
    "GumbelSoftmax": lambda: tg.GumbelSoftmax(TEMPERATURE),
    "GumbelSoftmax hard": lambda: tg.GumbelSoftmax(TEMPERATURE, hard=True),
    **{
        f"StraightThroughCategorical {name}": partial(
            tg.StraightThroughCategorical, name, TEMPERATURE
        )
        for name in ("st", "st_gumbel")
    },
    "BinaryConcrete": lambda: tg.BinaryConcrete(TEMPERATURE),
    "BinaryConcrete hard": lambda: tg.BinaryConcrete(TEMPERATURE, hard=True),
    **{
        f"StraightThroughBernoulli {name}": partial(
            tg.StraightThroughBernoulli, name, TEMPERATURE
        )
        for name in ("st", "st_gumbel")
    },
    "ReparamGaussian": tg.ReparamGaussian,
    "ReinforceSampler": lambda: tg.ReinforceSampler(
        baseline=None, return_log_prob=True
    ),
}
SOFTMAX = "tf.nn.softmax"
COMPOSED = "composed of TF ops"
TFP = "tfp RelaxedOneHotCategorical"
TORCH = "torch F.gumbel_softmax"
BITS = "random bits alone"
# By whether XLA compiles.
ALGORITHMS = {False: "philox", True: "threefry"}
UNIFORM = "uniform noise alone"
GUMBEL = "Gumbel noise alone"

# Maps (logits, seed) to a sample, or to (sample, log-probability).
Draw = Callable[[tf.Tensor, tf.Tensor], Any]


def make_draw(name: str, jit_compile: bool) -> Draw:
    """The contender of this name, to be compiled by XLA or not."""
    if name == BITS:
        return partial(random_bits, algorithm=ALGORITHMS[jit_compile])
    return PEERS[name] if name in PEERS else _draw_with_layer(name)


def _draw_with_layer(name: str) -> Draw:
    layer = LAYERS[name]()
    if name == "ReparamGaussian":
        return lambda logits, seed: layer((logits, logits), training=True)
    return lambda logits, seed: layer(logits, training=True)


def softmax(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(logits)


def composed(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, minval=1e-20)
    gumbel = -tf.math.log(-tf.math.log(uniform))
    return tf.nn.softmax((logits + gumbel) / TEMPERATURE)


def tfp_relaxed(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from tensorflow_probability import distributions as tfd

    distribution = tfd.RelaxedOneHotCategorical(TEMPERATURE, logits=logits)
    return distribution.sample(seed=seed)


def random_bits(
    logits: tf.Tensor, seed: tf.Tensor, algorithm: str
) -> tf.Tensor:
    """TensorFlow's kernel, by the algorithm of `tg.random`, and a cast."""
    bits = tf.random.stateless_uniform(
        tf.shape(logits), seed, None, None, tf.uint32, alg=algorithm
    )
    return tf.cast(bits, tf.float32)


def uniform_noise(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tg.random.uniform(tf.shape(logits), seed)


def gumbel_noise(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tg.random.gumbel(tf.shape(logits), seed)


PEERS: dict[str, Draw] = {
    UNIFORM: uniform_noise,
    GUMBEL: gumbel_noise,
    SOFTMAX: softmax,
    COMPOSED: composed,
    TFP: tfp_relaxed,
}
