"""Exact samples of subsets of k of n."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.ops import _bernoulli_sum as sums
from tfgumbel.ops._precision import in_working_precision, nan_values
from tfgumbel.ops._subset_size import (
    SubsetSize,
    like,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import Tilt, tilt


def sample_subset(logits: Any, noise: Any, k: Any, axis: int = -1) -> tf.Tensor:
    """Exact sample of exactly k of n items: the conditional Bernoulli one.

    Independent Bernoulli variables with these log-odds, given that exactly k
    are one: q(z) ∝ exp(z · logits) on the k-hot vectors. The number of ones is
    split between two halves of the items, by the distributions of theirs, and
    each part again, down to blocks of a few items; those are gone through one
    by one. The time is that of n log n items, whatever k is.

    Gumbel top-k (`gumbel_top_k`) draws k of n by another distribution.
    Carries no gradient; `straight_through_subset` gives it one.

    Args:
        logits: Log-odds of the items, with n items on `axis`. Only their
            differences count. -inf is never drawn, if at least k logits are
            finite.
        noise: Uniform noise on (0, 1) of the same shape, as from
            `tfgumbel.random.uniform64`; one number an item.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        Zeros and ones of the shape and dtype of the logits. An example with
        NaN logits is NaN.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            n is not known, or the noise is not of the logits' shape.

    Example:

    >>> import tfgumbel as tg
    >>> logits, noise = [0.0, 5.0, 0.0, 5.0], [0.5, 0.5, 0.5, 0.5]
    >>> tg.ops.sample_subset(logits, noise, k=2).numpy()
    array([0., 1., 0., 1.], dtype=float32)

    Reference:
        Chen, Liu. Statistical applications of the Poisson-binomial and
        conditional Bernoulli distributions. Statistica Sinica 1997.
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    noise = tf.cast(noise, tf.float64)
    if not noise.shape.is_compatible_with(logits.shape):
        raise ValueError(
            "Argument `noise` must have the shape of the logits, "
            f"{logits.shape}. Received: noise of shape {noise.shape}"
        )
    working = tf.stop_gradient(in_working_precision(logits))
    sample = _sample(rows(working, axis), rows(noise, axis), size)
    return like(tf.cast(sample, logits.dtype), logits, axis)


def _sample(logits: tf.Tensor, noise: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    n = logits.shape[-1]
    found = tilt(logits, size)
    given = sums.conditioned(logits, found, size.most + 1)
    polynomials = sums.suffix_polynomials(given)
    levels = sums.products(sums.spectrum(given, polynomials[0]))
    noise = sums.fold(noise, 0.5)
    # A block's last item is what is left: its noise draws numbers instead.
    number = _number(given, levels[-1], noise[:, 0, :1], found)
    numbers = _split(given, levels, polynomials[0], noise[:, 0, 1:], number)
    sample = _within_blocks(given, polynomials, noise[:, 1:], numbers)
    return sums.unfold(sample, n) + nan_values(found.shift)


def _number(
    given: sums.Conditioned, root: tf.Tensor, noise: tf.Tensor, found: Tilt
) -> tf.Tensor:
    """How many items the whole subset has, `[R, 1]`."""
    size = found.size
    if size.fixed:
        return tf.broadcast_to(size.low, tf.shape(noise))
    number = tf.range(size.most + 1, dtype=tf.float64)
    wanted = (given.low <= number) & (number <= given.high)
    distance = tf.where(wanted, number - tf.cast(found.centre, tf.float64), 0.0)
    mass = tf.exp(-tf.cast(found.amount, tf.float64) * distance)
    mass *= _pmf(given, root, size.most + 1)[:, 0]
    mass = tf.where(wanted, mass, tf.zeros_like(mass))
    index = _quantile(mass[:, None], noise)
    return tf.clip_by_value(index, size.low, size.high)


def _pmf(given: sums.Conditioned, nodes: tf.Tensor, count: int) -> tf.Tensor:
    """P(c ones in a node), c < count: from `[R, L, N]` to `[R, N, count]`."""
    amplitudes = (
        tf.math.conj(nodes) * sums.as_complex(given, given.weights)[..., None]
    )
    return tf.maximum(sums.projection(given, amplitudes, count, last=True), 0.0)


def _quantile(mass: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """The first index at which the mass, `[R, N, W]`, adds up to above u."""
    sums_of_mass = tf.cumsum(mass, axis=-1)
    below = sums_of_mass <= uniform[..., None] * sums_of_mass[..., -1:]
    return tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)


def _split(
    given: sums.Conditioned,
    levels: list[tf.Tensor],
    leaves: tf.Tensor,
    noise: tf.Tensor,
    number: tf.Tensor,
) -> tf.Tensor:
    """How many items each block has, `[R, m]`, of a number `[R, 1]` in all."""
    bounds = _bounds(given, len(levels))
    used = 0
    for level in reversed(range(len(levels) - 1)):
        nodes = levels[level].shape[-1] // 2
        items = given.on.shape[1] * 2**level
        count = min(items + 1, given.circle.shape[-1])
        if level:
            pmf = _pmf(given, levels[level], count)
        else:
            pmf = tf.cast(leaves[:, :count], tf.float64)
            pmf = tf.transpose(pmf, [0, 2, 1])
        uniform = noise[:, used : used + nodes]
        number = _split_nodes(pmf, uniform, number, *bounds[level])
        used += nodes
    return number


def _split_nodes(
    pmf: tf.Tensor,
    uniform: tf.Tensor,
    number: tf.Tensor,
    least: tf.Tensor,
    most: tf.Tensor,
) -> tf.Tensor:
    """Splits the numbers of N nodes, `[R, N]`, between their 2N children.

    P(c₁ ones in the first | c in both) ∝ P₁(c₁) P₂(c - c₁).
    """
    first, second = tf.split(pmf, 2, axis=1)
    count = pmf.shape[-1]
    rest = number[..., None] - tf.range(count)
    inside = (rest >= 0) & (rest < count)
    rest = tf.clip_by_value(rest, 0, count - 1)
    mass = first * tf.gather(second, rest, batch_dims=2)
    mass = tf.where(inside, mass, tf.zeros_like(mass))
    chosen = _quantile(mass, uniform)
    # What rounding may leave to an impossible number goes to a possible one.
    least_first, least_second = tf.split(least, 2, axis=1)
    most_first, most_second = tf.split(most, 2, axis=1)
    chosen = tf.maximum(chosen, number - most_second)
    chosen = tf.minimum(chosen, number - least_second)
    chosen = tf.minimum(tf.maximum(chosen, least_first), most_first)
    return tf.concat([chosen, number - chosen], axis=1)


def _bounds(
    given: sums.Conditioned, levels: int
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """How many ones a node has at least and at most, level by level."""
    certain = tf.cast(given.off <= 0.0, tf.int32)
    possible = tf.cast(given.on > 0.0, tf.int32)
    bounds = [(tf.reduce_sum(certain, 1), tf.reduce_sum(possible, 1))]
    for _ in range(levels - 1):
        halves = [tf.split(bound, 2, axis=-1) for bound in bounds[-1]]
        least, most = (first + second for first, second in halves)
        bounds.append((least, most))
    return bounds


def _within_blocks(
    given: sums.Conditioned,
    polynomials: list[tf.Tensor],
    noise: tf.Tensor,
    number: tf.Tensor,
) -> list[tf.Tensor]:
    """The items of blocks with these numbers of ones, one by one.

    P(b_j = 1 | r of j … s-1) ∝ p_j P(r - 1 of j+1 … s-1).
    """
    sample = []
    items = sums.items(given.on, given.off)
    for j, ((on, off), rest) in enumerate(
        zip(items[:-1], polynomials[1:-1], strict=True)
    ):
        chosen = tf.one_hot(number, rest.shape[1] + 1, axis=1, dtype=rest.dtype)
        zero = off[:, 0] * tf.reduce_sum(chosen[:, :-1] * rest, axis=1)
        one = on[:, 0] * tf.reduce_sum(chosen[:, 1:] * rest, axis=1)
        one, zero = tf.cast(one, tf.float64), tf.cast(zero, tf.float64)
        drawn = noise[:, j] * (one + zero) < one
        sample.append(tf.cast(drawn, rest.dtype))
        number -= tf.cast(drawn, tf.int32)
    return [*sample, tf.cast(number, given.on.dtype)]
