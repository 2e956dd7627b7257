"""The only place that draws noise.

Every function maps a `shape` and a `seed` to float32 noise, and the same seed
gives the same noise. A seed is an integer tensor of shape `[2]`; `split` makes
independent seeds from one and `replica_seed` makes each replica of a
`tf.distribute` strategy draw its own.

Three facts shape this file:

* Uniforms come from 32 random bits and lie strictly inside (0, 1), finest
  near zero: down to 2^-33. Gumbel noise takes its large values there, so that
  it is finite, and resolves the winner among a million categories.
* Noise is float32 whatever the layer's policy: half-precision uniforms hold
  exact zeros and draw rare categories at the wrong rate.
* The algorithm is named explicitly. `auto_select` compiles under XLA on a CPU
  to code some hundred times slower than Threefry, while Threefry has no
  kernel outside XLA. The two give different bits, so a seed is reproducible
  within one mode (as for all random ops of TensorFlow).
"""

from __future__ import annotations

import random as _python_random
from typing import Any

import tensorflow as tf

_PHILOX = 1
_THREEFRY = 2


def _random_bits(shape: Any, seed: Any, dtype: tf.DType) -> tf.Tensor:
    """Integers of `dtype`, every bit random."""
    compiled = tf.__internal__.get_enclosing_xla_context() is not None
    block = tf.raw_ops.StatelessRandomGetKeyCounter(
        seed=tf.cast(seed, tf.int64)
    )
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.convert_to_tensor(shape, tf.int32),
        key=block.key,
        counter=block.counter,
        alg=_THREEFRY if compiled else _PHILOX,
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
    seed = tf.cast(seed, tf.int64)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    # Hash first: seeds are small integers, and adding the replica to one of
    # them would meet the seed of a neighbouring layer or step.
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    return _random_bits([2], seed, tf.int64) + tf.stack([replica, 0])


def _negative_uniform(shape: Any, seed: Any) -> tf.Tensor:
    # Bits round to float32 with a relative error of 2^-24, hence up to 2^32;
    # the factor below keeps the product at 1 - 2^-23 or less.
    bits = tf.cast(_random_bits(shape, seed, tf.uint32), tf.float32)
    return bits * -(2.0**-32 * (1 - 2.0**-23)) - 2.0**-33


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
    return -tf.math.log1p(_negative_uniform(shape, seed))


def gumbel(shape: Any, seed: Any) -> tf.Tensor:
    """Standard Gumbel noise: G = -log E. Within (-2.8, 22.9), finite."""
    return -tf.math.log(exponential(shape, seed))


def _signed_tail(shape: Any, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
    # One draw gives a sign and a tail probability in [2^-33, 1/2], as fine
    # in one tail as in the other.
    bits = _random_bits(shape, seed, tf.int32)
    tail = tf.abs(tf.cast(bits, tf.float32)) * 2.0**-32 + 2.0**-33
    return bits < 0, tf.minimum(tail, 0.5)


def logistic(shape: Any, seed: Any) -> tf.Tensor:
    """Standard logistic noise, log U - log(1 - U). Within (-22.9, 22.9)."""
    negative, tail = _signed_tail(shape, seed)
    size = tf.math.log1p(-tail) - tf.math.log(tail)
    return tf.where(negative, -size, size)


def normal(shape: Any, seed: Any) -> tf.Tensor:
    """Standard normal noise, by inversion. Within (-6.4, 6.4)."""
    negative, tail = _signed_tail(shape, seed)
    size = -tf.math.ndtri(tail)
    return tf.where(negative, -size, size)


def categorical(logits: tf.Tensor, seed: Any, axis: int = -1) -> tf.Tensor:
    """Exact samples of softmax(logits), as int32 indices without `axis`.

    Drawn by the Gumbel-max trick (Gumbel 1954).
    """
    logits = tf.cast(logits, tf.float32)
    noise = gumbel(tf.shape(logits), seed)
    return tf.argmax(logits + noise, axis=axis, output_type=tf.int32)


def bernoulli(logits: tf.Tensor, seed: Any) -> tf.Tensor:
    """Exact samples of Bernoulli(sigmoid(logits)) as float32 zeros and ones."""
    logits = tf.cast(logits, tf.float32)
    noise = logistic(tf.shape(logits), seed)
    return tf.cast(logits + noise > 0, tf.float32)


def gamma(concentration: tf.Tensor, seed: Any) -> tf.Tensor:
    """Gamma noise of rate 1, by TensorFlow's rejection sampler.

    It carries the implicit gradient with respect to the concentration. Zero
    where a concentration far below 1 underflows float32.
    """
    return tf.random.stateless_gamma(
        tf.shape(concentration), _pair(seed), alpha=concentration
    )


def poisson(rate: tf.Tensor, seed: Any) -> tf.Tensor:
    """Poisson samples as float32 whole numbers. No kernel under XLA."""
    return tf.random.stateless_poisson(
        tf.shape(rate), _pair(seed), rate, tf.float32
    )


def binomial(total_count: tf.Tensor, probs: tf.Tensor, seed: Any) -> tf.Tensor:
    """Binomial samples as float32 whole numbers. No kernel under XLA."""
    return tf.random.stateless_binomial(
        tf.shape(probs), _pair(seed), total_count, probs, tf.float32
    )


def _pair(seed: Any) -> tf.Tensor:
    return tf.cast(seed, tf.int64)
