"""Samples with a straight-through gradient, by the name of the gradient.

The gradients are the ops in `ops.SURROGATES`, and straight-through
Gumbel-softmax, whose sample comes from the noise that its gradient is of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import in_working_precision, working_dtype
from tfgumbel.distributions import (
    Bernoulli,
    Categories,
    Distribution,
    Parameters,
    Relaxed,
)

GUMBEL = "st_gumbel"
# Numbers in a block of the backward pass, 128 MB; and where the logits, too,
# are computed by blocks, 16 MB: more does not make it faster.
_BLOCK = 32_000_000
_QUANTIZER_BLOCK = 4_000_000


def surrogates() -> list[str]:
    """Returns the names of the straight-through family, sorted.

    The same in `StraightThroughCategorical`, `StraightThroughBernoulli`,
    `StraightThroughEmbedding` and, as estimators, in `ExpectedCost`.
    """
    return sorted([GUMBEL, *ops.SURROGATES])


def surrogate_sample(
    name: str,
    distribution: Distribution,
    parameters: Parameters,
    seed: Any,
    *,
    temperature: Any = 1.0,
    noise_samples: int = 1,
) -> tf.Tensor:
    """Returns exact samples with the gradient of this name.

    Args:
        name: One of `surrogates()`.
        distribution: A distribution of categories.
        parameters: As from its `constrain`.
        seed: Integer tensor of shape `[2]`.
        temperature: τ of the gradient, if it has one.
        noise_samples: Noises that `"gumbel_rao"` averages over.
    """
    if name == GUMBEL:
        assert isinstance(distribution, Relaxed)
        noise = distribution.noise(parameters, seed)
        return distribution.relax(
            parameters, noise, temperature=temperature, hard=True
        )
    member = ops.SURROGATES[name]
    sample = distribution.sample(parameters, seed)
    if member.bernoulli and isinstance(distribution, Bernoulli):
        return member.bernoulli(*parameters, sample, temperature=temperature)
    assert isinstance(distribution, Categories)
    logits, one_hot, axis = distribution.to_categories(parameters, sample)
    value = _with_gradient(
        member, logits, one_hot, seed, axis, temperature, noise_samples
    )
    return distribution.from_categories(value)


def _with_gradient(
    member: ops.Surrogate,
    logits: tf.Tensor,
    one_hot: tf.Tensor,
    seed: Any,
    axis: int,
    temperature: Any,
    noise_samples: int,
) -> tf.Tensor:
    tensors = [logits, one_hot]
    if member.noise:
        shape = tf.concat([[noise_samples], tf.shape(logits)], axis=0)
        tensors.append(random.gumbel(shape, random.split(seed, 1)[0]))
    options = {"temperature": temperature} if member.temperature else {}
    return member.op(*tensors, axis=axis, **options)


def surrogate_embedding(
    name: str,
    logits: tf.Tensor,
    table: tf.Tensor,
    seed: Any,
    *,
    temperature: Any = 1.0,
    noise_samples: int = 1,
) -> tf.Tensor:
    """Returns rows of a table drawn from logits, with the named gradient.

    Args:
        name: One of `surrogates()`.
        logits: `[..., K]`.
        table: `[K, dim]`.
        seed: Integer tensor of shape `[2]`.
        temperature: τ of the gradient, if it has one.
        noise_samples: Noises that `"gumbel_rao"` averages over.
    """
    tau = _checks.guarded_temperature(temperature, working_dtype(logits.dtype))
    if name == GUMBEL:
        # Straight-through at the perturbed logits, where D is the largest.
        logits = in_working_precision(logits)
        noise = random.gumbel(tf.shape(logits), seed)
        logits += tf.cast(noise, logits.dtype)
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        name = "st"
    else:
        index = random.categorical(logits, seed)
    gradient, copies = _index_gradient(name, seed, tau, noise_samples)
    return ops.straight_through_embedding(
        logits, table, index, gradient=gradient, block=max(1, _BLOCK // copies)
    )


def surrogate_quantize(
    name: str,
    x: tf.Tensor,
    codebook: tf.Tensor,
    seed: Any,
    *,
    scale: Any = 1.0,
    temperature: Any = 1.0,
    noise_samples: int = 1,
    trains_codebook: bool = True,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns codes of vectors, drawn by distance, with the named gradient.

    Neither the logits nor noise for each code is kept for the backward pass.

    Args:
        name: One of `surrogates()`.
        x: `[..., dim]`.
        codebook: `[K, dim]`.
        seed: Integer tensor of shape `[2]`.
        scale: s, as in `ops.quantize`.
        temperature: τ of the gradient, if it has one.
        noise_samples: Noises that `"gumbel_rao"` averages over.
        trains_codebook: As in `ops.quantize`.

    Returns:
        The codes `[..., dim]`, and their indices `[...]`.
    """
    tau = _checks.guarded_temperature(temperature, working_dtype(x.dtype))
    if name == GUMBEL:
        return _perturbed_codes(x, codebook, seed, scale, tau, trains_codebook)
    gradient, copies = _index_gradient(name, seed, tau, noise_samples)
    index = draw_codes(x, codebook, seed, scale=scale)
    codes = ops.quantize(
        x,
        codebook,
        index,
        scale=scale,
        gradient=gradient,
        trains_codebook=trains_codebook,
        block=max(1, _QUANTIZER_BLOCK // copies),
    )
    return codes, index


def draw_codes(
    x: tf.Tensor, codebook: tf.Tensor, seed: Any, *, scale: Any = 1.0
) -> tf.Tensor:
    """Returns exact samples of softmax(-‖x - e_k‖² / s), without a gradient.

    Args:
        x: `[..., dim]`.
        codebook: `[K, dim]`.
        seed: Integer tensor of shape `[2]`.
        scale: s, as in `ops.quantize`.

    Returns:
        int32 indices `[...]`.
    """
    uniform = random.uniform64(tf.reduce_prod(tf.shape(x)[:-1])[None], seed)

    def choose(logits: tf.Tensor, rows: tf.Tensor, first: Any) -> tf.Tensor:
        return random.categorical_quantile(logits, tf.gather(uniform, rows))

    return ops.choose_code(
        x, codebook, choose, scale=scale, block=_QUANTIZER_BLOCK
    )


def _perturbed_codes(
    x: tf.Tensor,
    codebook: tf.Tensor,
    seed: Any,
    scale: Any,
    tau: tf.Tensor,
    trains_codebook: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Straight-through at the perturbed logits, where D is the largest."""
    gradient, _ = _index_gradient("st", seed, tau, 1)

    def perturbed(logits: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        noise = random.gumbel(tf.shape(logits), _of_block(seed, first))
        return logits + tf.cast(noise, logits.dtype)

    def choose(logits: tf.Tensor, rows: Any, first: tf.Tensor) -> tf.Tensor:
        logits = perturbed(logits, first)
        return tf.argmax(logits, axis=-1, output_type=tf.int32)

    def again(block: Any) -> tf.Tensor:
        # The noise that the sample was drawn with is drawn once more.
        logits = perturbed(block.logits, block.first)
        return gradient(block._replace(logits=logits))

    options: dict[str, Any] = {"scale": scale, "block": _QUANTIZER_BLOCK}
    index = ops.choose_code(x, codebook, choose, **options)
    codes = ops.quantize(
        x,
        codebook,
        index,
        gradient=again,
        trains_codebook=trains_codebook,
        **options,
    )
    return codes, index


def _index_gradient(
    name: str, seed: Any, tau: tf.Tensor, noise_samples: int
) -> tuple[Callable[[Any], tf.Tensor], int]:
    """The gradient for blocks, and how many copies of a block it makes."""
    member = ops.SURROGATES[name]

    def of_index(block: Any) -> tf.Tensor:
        assert member.index_gradient is not None
        return member.index_gradient(block, tau)

    def of_op(block: Any) -> tf.Tensor:
        logits, index = block.logits, block.index
        one_hot = tf.one_hot(index, logits.shape[-1], dtype=logits.dtype)
        own = _of_block(seed, block.first)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = _with_gradient(
                member, logits, one_hot, own, -1, tau, noise_samples
            )
        return tape.gradient(value, logits, block.incoming())

    if member.index_gradient is not None:
        return of_index, 1
    return of_op, 3 * noise_samples if member.noise else 3


def _of_block(seed: Any, first: tf.Tensor) -> tf.Tensor:
    """The seed of a block's own noise; hashed first, as seeds are small."""
    own = random.split(seed, 1)[0]
    return own + tf.stack([0, tf.cast(first, tf.int64)])
