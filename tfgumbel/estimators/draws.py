"""Exact samples, and the straight-through gradients by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.ops._precision import (
    finite_log_odds,
    finite_logits,
    in_working_precision,
    one_hot_index,
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


def draw_index(
    name: str, logits: tf.Tensor, draw: Draw
) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
    """Categories `[...]` drawn from logits `[..., K]`, and their surrogate.

    The surrogate, as `ops.straight_through_embedding` takes it, gives blocks
    of rows the gradient of the named estimator.
    """
    if name != "gumbel":
        later = random.split(draw.seed, 1)[0]

        def of_sample(logits: tf.Tensor, sample: tf.Tensor, first: tf.Tensor):
            seed = later + tf.stack([0, tf.cast(first, tf.int64)])
            return SURROGATES[name](logits, sample, draw._replace(seed=seed))

        return random.categorical(logits, draw.seed), of_sample

    noise = random.gumbel(tf.shape(logits), draw.seed)
    rows = tf.reshape(noise, [-1, logits.shape[-1]])

    def of_noise(logits: tf.Tensor, sample: tf.Tensor, first: tf.Tensor):
        of_block = rows[first : first + tf.shape(logits)[0]]
        return ops.gumbel_softmax(logits, of_block, draw.temperature, True)

    return ops.gumbel_max(logits, noise), of_noise


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
