"""The only place that draws noise.

Every function maps a `shape` and a `seed` to float32 noise (`uniform64` to
float64), and the same seed gives the same noise. A seed is an integer tensor of
shape `[2]`; `split` makes independent seeds from one and `replica_seed` makes
each replica of a `tf.distribute` strategy draw its own.

Four facts shape this file:

* Uniforms come from 32 random bits and lie strictly inside (0, 1), finest
  near zero: down to 2^-33. Gumbel noise takes its large values there, so that
  it is finite, and resolves the winner among a million categories.
* Noise is float32 whatever the layer's policy: half-precision uniforms hold
  exact zeros and draw rare categories at the wrong rate.
* A categorical sample takes one uniform, in float64, rather than a Gumbel for
  each category: faster by a factor that grows with K.
* The algorithm is named explicitly. `auto_select` compiles under XLA on a CPU
  to code some hundred times slower than Threefry, while Threefry has no
  kernel outside XLA. The two give different bits, so a seed is reproducible
  within one mode (as for all random ops of TensorFlow).
"""

from __future__ import annotations

import math
import random as _python_random
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    is_compiled,
    normal_above,
    softmax,
    to_last,
)

_PHILOX = 1
_THREEFRY = 2


def _random_bits(shape: Any, seed: Any, dtype: tf.DType) -> tf.Tensor:
    """Integers of `dtype`, every bit random."""
    block = tf.raw_ops.StatelessRandomGetKeyCounter(seed=_checks.seed(seed))
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.convert_to_tensor(shape, tf.int32),
        key=block.key,
        counter=block.counter,
        alg=_THREEFRY if is_compiled() else _PHILOX,
        dtype=dtype,
    )


def default_seed() -> int:
    """A seed from Python's generator, which `keras.utils.set_random_seed` sets.

    Returns:
        An integer in [1, 10^9].
    """
    return _python_random.randint(1, 10**9)


def split(seed: Any, count: int) -> list[tf.Tensor]:
    """Returns `count` seeds, independent of each other and of `seed`."""
    return tf.unstack(_random_bits([count, 2], seed, tf.int64), num=count)


def replica_seed(seed: Any) -> tf.Tensor:
    """Returns a seed that differs between the replicas of a strategy.

    Outside a replica context of a strategy with several replicas the seed is
    returned as it is.
    """
    seed = _checks.seed(seed)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    # Hash first: seeds are small integers, and adding the replica to one of
    # them would meet the seed of a neighbouring layer or step.
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    return _random_bits([2], seed, tf.int64) + tf.stack([replica, 0])


def numbered(seed: Any, number: int) -> tf.Tensor:
    """Returns the seed of this number among those that `seed` stands for."""
    # Hash first, as in `replica_seed`: seed and number are small integers.
    return _random_bits([2], seed, tf.int64) + tf.constant([number, 0], "int64")


def _negative_uniform(shape: Any, seed: Any) -> tf.Tensor:
    # Bits round to float32 with a relative error of 2^-24, hence up to 2^32;
    # the factor below keeps the product at 1 - 2^-23 or less.
    bits = tf.cast(_random_bits(shape, seed, tf.uint32), tf.float32)
    return bits * -(2.0**-32 * (1 - 2.0**-23)) - 2.0**-33


def _log1p(x: tf.Tensor) -> tf.Tensor:
    """log(1 + x) for x in (-1, 0)."""
    if not is_compiled():
        return tf.math.log1p(x)
    # XLA's log1p, fused with Threefry, takes five times as long (2.21). In
    # the quotient the rounding of the sum cancels: Kahan, HP-15C handbook.
    total = 1.0 + x
    quotient = tf.math.log(total) * (x / (total - 1.0))
    return tf.where(total == 1.0, x, quotient)


def uniform(shape: Any, seed: Any) -> tf.Tensor:
    """Uniform noise on (0, 1), both ends excluded.

    Args:
        shape: Shape of the result.
        seed: Integer tensor of shape `[2]`.

    Returns:
        A float32 tensor; the least value is 2^-33, the largest 1 - 2^-23.
    """
    return -_negative_uniform(shape, seed)


def exponential(shape: Any, seed: Any) -> tf.Tensor:
    """Exponential noise of rate 1: E = -log(1 - U). Positive, finite."""
    return -_log1p(_negative_uniform(shape, seed))


def gumbel(shape: Any, seed: Any) -> tf.Tensor:
    """Standard Gumbel noise: G = -log E. Within (-2.8, 22.9), finite."""
    return -tf.math.log(exponential(shape, seed))


def _signed_tail(shape: Any, seed: Any) -> tf.Tensor:
    # A sign and 2^32 p, for a tail probability p in [2^-33, 1/2], as fine in
    # one tail as in the other. Never 0; what is above is rounded to 1/2.
    return tf.cast(_random_bits(shape, seed, tf.int32), tf.float32) + 0.5


def logistic(shape: Any, seed: Any) -> tf.Tensor:
    """Standard logistic noise, log U - log(1 - U). Within (-22.9, 22.9)."""
    tail = _signed_tail(shape, seed)
    return tf.sign(tail) * tf.math.log(2.0**32 / tf.abs(tail) - 1.0)


def normal(shape: Any, seed: Any) -> tf.Tensor:
    """Standard normal noise. Within (-6.8, 6.8)."""
    if is_compiled():
        tail = _signed_tail(shape, seed)
        return tf.sign(tail) * normal_above(tf.abs(tail) * 2.0**-32)
    # By Box and Muller: as fast here, and LiteRT knows the operations.
    pair = tf.concat([[2], tf.convert_to_tensor(shape, tf.int32)], axis=0)
    bits = tf.cast(_random_bits(pair, seed, tf.int32), tf.float32)
    tail = tf.abs(bits[0]) * 2.0**-31 + 2.0**-33  # rounded to 1, if above
    return tf.sqrt(-2.0 * tf.math.log(tail)) * tf.cos(
        bits[1] * (math.pi * 2.0**-31)
    )


def uniform64(shape: Any, seed: Any) -> tf.Tensor:
    """Uniform noise on (0, 1) in float64: odd multiples of 2^-53."""
    bits = _random_bits(shape, seed, tf.uint64)
    bits = tf.bitwise.right_shift(bits, tf.constant(12, tf.uint64))
    return (tf.cast(bits, tf.float64) + 0.5) * 2.0**-52


def categorical(logits: tf.Tensor, seed: Any, *, axis: int = -1) -> tf.Tensor:
    """Exact samples of softmax(logits), as int32 indices without `axis`.

    Drawn by inversion, from one uniform a sample; see `categorical_quantile`.
    """
    rows = to_last(tf.convert_to_tensor(logits), axis)
    return categorical_quantile(rows, uniform64(tf.shape(rows)[:-1], seed))


def categorical_quantile(
    logits: tf.Tensor, uniform: tf.Tensor, *, axis: int = -1
) -> tf.Tensor:
    """The inverse of the cumulative distribution function of softmax(logits).

    With uniform noise u the result k, the first with π_0 + ... + π_k > u,
    follows π = softmax(logits) exactly. Many categories fall into blocks of
    about √K: u chooses a block by its mass, and what remains of u a category
    in the block. Masses are added up in float64, so that a million categories
    keep their rates, up to 64 of them as multiples of 2^-46 of the largest;
    the passes over all K are those of a softmax, in the precision of the
    logits (float32 for half precision).

    A category of probability 0, masked or with a logit of -inf, is never
    drawn. A row that holds NaN or no finite logit gives index 0.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
        uniform: Noise in (0, 1), of the shape of the logits without `axis`,
            as from `uniform64`.
        axis: Axis of the categories.

    Returns:
        int32 indices, of the shape of `uniform`.

    Reference:
        Devroye. Non-uniform random variate generation. 1986, chapter III.
    """
    rows = to_last(tf.convert_to_tensor(logits), axis)
    rows = in_working_precision(rows)
    uniform = tf.cast(uniform, tf.float64)
    categories = rows.shape[-1]
    if categories is not None and categories <= _FEW:
        return _among_few(rows, uniform, categories)
    weights = softmax(rows, -1)
    if categories is None:
        return _first_above(weights, uniform)[0]
    return _in_two_steps(weights, uniform, categories)


# Up to as many categories have weights whose sums float64 holds exactly, and
# up to as many are not divided into blocks.
_FEW = 64
_ONE_BLOCK = 16


def _among_few(
    rows: tf.Tensor, uniform: tf.Tensor, categories: int
) -> tf.Tensor:
    """The quantile by weights that are whole numbers, 2^46 the largest.

    Their sums are exact in any order: products with a triangle, faster than
    sums one by one, and never a larger one for a weight of 0.
    """
    flat = tf.reshape(rows, [-1, categories])
    highest = tf.reduce_max(flat, axis=-1, keepdims=True)
    weights = tf.floor(tf.exp(flat - highest) * 2.0**46)
    weights = tf.cast(weights, tf.float64)
    uniform = tf.reshape(uniform, [-1, 1])
    if categories <= _ONE_BLOCK:
        sums = _sums(weights)
        index = _number_of(sums <= uniform * sums[:, -1:])
    else:
        size = _block_size(categories)
        blocks = _in_blocks(weights, size)
        masses = tf.reduce_sum(blocks, axis=-1)
        sums = _sums(masses)
        target = uniform * sums[:, -1:]
        passed = sums <= target
        before = tf.where(passed, masses, tf.zeros_like(masses))
        target -= tf.reduce_sum(before, axis=-1, keepdims=True)
        block = _number_of(passed)
        chosen = tf.gather(blocks, block, batch_dims=1)
        index = block * size + _number_of(_sums(chosen) <= target)
    shaped = tf.reshape(index, tf.shape(rows)[:-1])
    shaped.set_shape(rows.shape[:-1])
    return shaped


def _sums(weights: tf.Tensor) -> tf.Tensor:
    """w_0 + ... + w_k for each k, of `[R, K]`."""
    size = weights.shape[-1]
    return tf.matmul(weights, tf.constant(np.triu(np.ones([size, size]))))


def _number_of(flags: tf.Tensor) -> tf.Tensor:
    """How many of each row are set."""
    number = tf.reduce_sum(tf.cast(flags, tf.float32), axis=-1)
    return tf.cast(number, tf.int32)


def _in_blocks(weights: tf.Tensor, size: int) -> tf.Tensor:
    """`[..., K]` as `[..., blocks, size]`, with zeros to fill the last."""
    shape, categories = tf.shape(weights), weights.shape[-1]
    count = -(-categories // size)
    if count * size > categories:
        padding = [[0, 0]] * (weights.shape.rank - 1)
        weights = tf.pad(weights, [*padding, [0, count * size - categories]])
    return tf.reshape(weights, tf.concat([shape[:-1], [count, size]], 0))


def _in_two_steps(
    weights: tf.Tensor, uniform: tf.Tensor, categories: int
) -> tf.Tensor:
    size = _block_size(categories)
    blocks = _in_blocks(weights, size)
    masses = tf.reduce_sum(blocks, axis=-1)
    block, excess = _first_above(masses, uniform)
    rank = block.shape.rank
    mass = tf.cast(tf.gather(masses, block, batch_dims=rank), tf.float64)
    rest = tf.clip_by_value(1.0 - excess / mass, 0.0, 1.0 - 2.0**-53)
    chosen = tf.gather(blocks, block, axis=-2, batch_dims=rank)
    return block * size + _first_above(chosen, rest)[0]


def _block_size(categories: int) -> int:
    """About √K; a divisor of K, which needs no padding, if one is near."""
    root = math.isqrt(categories - 1) + 1
    return next((n for n in range(root, 2 * root) if not categories % n), root)


def _first_above(
    weights: tf.Tensor, uniform: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The quantile by unnormalised weights, and its sum's excess over u.

    Only positive weights count: where sums are formed in a tree, two of them
    may differ by rounding over a weight of 0.
    """
    sums = tf.cumsum(tf.cast(weights, tf.float64), axis=-1)
    sums = tf.where(weights > 0, sums, tf.zeros_like(sums))
    target = uniform[..., None] * tf.reduce_max(sums, axis=-1, keepdims=True)
    excess = sums - target
    above = tf.cast(excess > 0, tf.float32)  # GPUs find no int8
    index = tf.argmax(above, axis=-1, output_type=tf.int32)
    return index, tf.gather(excess, index, batch_dims=index.shape.rank)


def bernoulli(logits: tf.Tensor, seed: Any) -> tf.Tensor:
    """Exact samples of Bernoulli(sigmoid(logits)) as float32 zeros and ones."""
    logits = tf.cast(logits, tf.float32)
    noise = logistic(tf.shape(logits), seed)
    return tf.cast(logits + noise > 0, tf.float32)


def poisson(rate: tf.Tensor, seed: Any) -> tf.Tensor:
    """Poisson samples as float32 whole numbers. No kernel under XLA."""
    return tf.random.stateless_poisson(
        tf.shape(rate), _checks.seed(seed), rate, tf.float32
    )


def binomial(total_count: tf.Tensor, probs: tf.Tensor, seed: Any) -> tf.Tensor:
    """Binomial samples as float32 whole numbers. No kernel under XLA."""
    return tf.random.stateless_binomial(
        tf.shape(probs), _checks.seed(seed), total_count, probs, tf.float32
    )
