"""Exact samples, and the straight-through gradients by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.ops import _index_gradients
from tfgumbel.ops._precision import (
    finite_log_odds,
    finite_logits,
    in_working_precision,
    one_hot_index,
    working_dtype,
)


def draw_one_hot(logits: tf.Tensor, axis: int, seed: tf.Tensor) -> tf.Tensor:
    """An exact one-hot sample of softmax(logits), without gradient."""
    logits = finite_logits(logits)
    index = random.categorical(logits, seed, axis)
    return tf.stop_gradient(one_hot_index(index, logits, axis))


def draw_bits(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Exact samples of Bernoulli(sigmoid(logits)), without gradient."""
    logits = in_working_precision(logits)
    noise = tf.cast(random.logistic(tf.shape(logits), seed), logits.dtype)
    return threshold(logits + noise)


def threshold(values: tf.Tensor) -> tf.Tensor:
    """1 above zero, else 0; NaN where there is NaN; without gradient."""
    nan = tf.where(tf.math.is_nan(values), values, tf.zeros_like(values))
    return tf.stop_gradient(tf.cast(values > 0, values.dtype) + nan)


class Draw(NamedTuple):
    """What an estimator needs for a sample.

    Attributes:
        seed: Seed of this call.
        temperature: τ, a scalar tensor.
        axis: Axis of the categories.
        samples: Noise samples that the gradient is averaged over.
    """

    seed: tf.Tensor
    temperature: tf.Tensor
    axis: int = -1
    samples: int = 1


Surrogate = Callable[[tf.Tensor, tf.Tensor, Draw], tf.Tensor]


def _st(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    return ops.straight_through(logits, sample, draw.temperature, draw.axis)


def _reinmax(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    return ops.reinmax(logits, sample, draw.temperature, draw.axis)


def _zgr(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    return ops.zgr(logits, sample, draw.axis)


def _gapped(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    return ops.gapped_straight_through(
        logits, sample, draw.temperature, axis=draw.axis
    )


def _mve(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    return ops.minimum_variance_straight_through(
        logits, sample, draw.temperature, draw.axis
    )


def _gumbel_rao(logits: tf.Tensor, sample: tf.Tensor, draw: Draw) -> tf.Tensor:
    shape = tf.concat([[draw.samples], tf.shape(logits)], axis=0)
    noise = random.gumbel(shape, random.split(draw.seed, 1)[0])
    return ops.gumbel_rao(logits, sample, noise, draw.temperature, draw.axis)


# Each gives a sample, drawn from the logits alone, a gradient.
SURROGATES: dict[str, Surrogate] = {
    "gapped": _gapped,
    "gumbel_rao": _gumbel_rao,
    "mve": _mve,
    "reinmax": _reinmax,
    "st": _st,
    "zgr": _zgr,
}
NAMES = ("gumbel", *SURROGATES)


def draw_categories(name: str, logits: tf.Tensor, draw: Draw) -> tf.Tensor:
    """One-hot samples with the gradient of the named estimator."""
    if name == "gumbel":
        noise = random.gumbel(tf.shape(logits), draw.seed)
        return ops.gumbel_softmax(
            logits, noise, draw.temperature, True, draw.axis
        )
    sample = draw_one_hot(logits, draw.axis, draw.seed)
    return SURROGATES[name](logits, sample, draw)


# The same for a sample given by its index.
INDEX_GRADIENTS: dict[str, Callable[..., tf.Tensor]] = {
    "gapped": _index_gradients.gapped,
    "reinmax": _index_gradients.reinmax,
    "st": _index_gradients.straight_through,
    "zgr": lambda block, tau: _index_gradients.zgr(block),
}
# Numbers in a block of the backward pass, 128 MB.
_BLOCK = 32_000_000


def draw_embedding(
    name: str, logits: tf.Tensor, table: tf.Tensor, draw: Draw
) -> tf.Tensor:
    """Rows of the table drawn from the logits, with the named estimator."""
    draw = draw._replace(axis=-1)
    if name == "gumbel":
        # Straight-through at the perturbed logits, where D is the largest.
        logits = in_working_precision(logits)
        logits += tf.cast(
            random.gumbel(tf.shape(logits), draw.seed), logits.dtype
        )
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        name = "st"
    else:
        index = random.categorical(logits, draw.seed)
    later = random.split(draw.seed, 1)[0]
    tau = _checks.guarded_temperature(
        draw.temperature, working_dtype(logits.dtype)
    )

    def of_index(block):
        return INDEX_GRADIENTS[name](block, tau)

    def of_surrogate(block):
        logits, index = block.logits, block.index
        sample = tf.one_hot(index, logits.shape[-1], dtype=logits.dtype)
        seed = later + tf.stack([0, tf.cast(block.first, tf.int64)])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = SURROGATES[name](logits, sample, draw._replace(seed=seed))
        return tape.gradient(value, logits, block.incoming())

    if name in INDEX_GRADIENTS:
        return ops.straight_through_embedding(
            logits, table, index, of_index, _BLOCK
        )
    copies = 3 * draw.samples if name == "gumbel_rao" else 3
    block = max(1, _BLOCK // copies)
    return ops.straight_through_embedding(
        logits, table, index, of_surrogate, block
    )


def draw_bernoulli(name: str, logits: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Bits with the gradient of the named estimator."""
    if name == "gumbel":
        noise = random.logistic(tf.shape(logits), draw.seed)
        return ops.binary_concrete(logits, noise, draw.temperature, hard=True)
    bits = draw_bits(logits, draw.seed)
    if name == "st":
        return ops.straight_through_bernoulli(logits, bits, draw.temperature)
    # A bit is a category out of two, with logits (θ, 0); +inf is allowed.
    logits = finite_log_odds(logits)
    bits = tf.cast(bits, logits.dtype)
    pair = tf.stack([logits, tf.zeros_like(logits)], axis=-1)
    sample = tf.stack([bits, 1.0 - bits], axis=-1)
    return SURROGATES[name](pair, sample, draw)[..., 0]


def draw(
    name: str, distribution: str, logits: tf.Tensor, draw: Draw
) -> tf.Tensor:
    """Samples of either law with the gradient of the named estimator."""
    if distribution == "categorical":
        return draw_categories(name, logits, draw)
    return draw_bernoulli(name, logits, draw)
