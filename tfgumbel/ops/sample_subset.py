"""Exact samples of subsets of k of n."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgumbel._precision import in_working_precision, nan_values
from tfgumbel.ops import _bernoulli_sum as sums
from tfgumbel.ops._subset_size import (
    SubsetSize,
    like,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import Tilt, tilt

# exp(-17) is less than float32 can tell from 0 next to 1.
_TAIL = 17.0


def sample_subset(
    logits: Any, noise: Any, *, k: Any, axis: int = -1
) -> tf.Tensor:
    """Exact sample of exactly k of n items: the conditional Bernoulli one.

    Independent Bernoulli variables with these log-odds, given that exactly k
    are one: q(z) ∝ exp(z · logits) on the k-hot vectors. The number of ones is
    split between two halves of the items, by the distributions of theirs, and
    each part again, down to blocks of a few items; those are gone through one
    by one. The time grows as n log n and slowly with k.

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
    found = tilt(logits, size)
    on, off = sums.blocks(logits, found)
    polynomials = sums.suffix_polynomials(on, off)
    grid = _grid(logits.shape[-1], on.shape[1], size)
    leaves = tf.cast(tf.transpose(polynomials[0], [0, 2, 1]), tf.float64)
    levels = _levels(leaves, grid)
    noise = sums.fold(noise, 0.5)
    # A block's last item is what is left: its noise draws numbers instead.
    number = _number(grid, levels, noise[:, 0, :1], found)
    pmfs = [leaves[..., : size.most + 1]]
    pmfs += [
        _pmf(grid, x, level) for level, x in enumerate(levels[:-1]) if level
    ]
    numbers = _split(pmfs, noise[:, 0, 1:], number, _bounds(on, off))
    sample = _within_blocks(on, off, polynomials, noise[:, 1:], numbers)
    sample = sums.unfold(sample, logits.shape[-1])
    return sample + nan_values(found.shift)


class _Grid(NamedTuple):
    """Frequencies 2πl/M, l = 0 … M/2, for nodes of any size."""

    period: int  # M
    most: int  # the largest number of ones
    block: int  # items in a block
    variance: float  # no sum of the variables has a larger one

    def step(self, level: int) -> int:
        """Every which frequency tells all of nodes of 2^level blocks.

        An alias of the number of ones in a node and what is left for its
        neighbour must be out of the reach of both together.
        """
        items = self.block * 2**level
        enough = min(items + 1, _reach(min(items / 2, self.variance)))
        step = 1
        while self.period % (4 * step) == 0 and (
            self.period // (2 * step) >= enough
        ):
            step *= 2
        return step

    def waves(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """cos ω_l c and sin ω_l c, `[M/(2 step) + 1, count]`."""
        index = np.arange(0, self.period // 2 + 1, step)
        turns = np.outer(index, np.arange(count)) % self.period
        angles = 2.0 * np.pi * turns / self.period
        return np.cos(angles), np.sin(angles)


def _grid(items: int, block: int, size: SubsetSize) -> _Grid:
    # The expected number, in [least, most], with the largest variance.
    mean = min(max(items / 2, size.least), size.most)
    variance = min(mean * (1.0 - mean / items) + 1.0, items / 4)
    reach = _reach(variance)
    if not size.fixed:
        reach *= 2.0  # on either side of the mean
    # Sixteenths, so that small nodes can do with every eighth frequency.
    period = 16 * math.ceil(min(reach, items + 1) / 16)
    return _Grid(period, size.most, block, variance)


def _reach(variance: float) -> float:
    """Farther from its mean a sum is with probability 1e-7 (Bernstein)."""
    return _TAIL / 3.0 + math.sqrt(_TAIL**2 / 9.0 + 2.0 * _TAIL * variance)


def _levels(leaves: tf.Tensor, grid: _Grid) -> list[tf.Tensor]:
    """Spectra of 1, 2, 4, … blocks: `[R, m, M/2 + 1]` … `[R, 1, M/2 + 1]`.

    Of two halves, the first goes with the second: node j of 2h has node j of
    h for its parent.
    """
    cos, sin = grid.waves(1, leaves.shape[-1])
    spectra = tf.tensordot(leaves, tf.constant(np.hstack([cos.T, sin.T])), 1)
    levels = [tf.complex(*tf.split(spectra, 2, axis=-1))]
    while levels[-1].shape[1] > 1:
        first, second = tf.split(levels[-1], 2, axis=1)
        levels.append(first * second)
    return levels


def _pmf(grid: _Grid, nodes: tf.Tensor, level: int) -> tf.Tensor:
    """P(c ones in a node), c = 0, 1, …: `[R, N, M/2 + 1]` to `[R, N, C]`."""
    step = grid.step(level)
    count = min(grid.block * 2**level, grid.most) + 1
    cos, sin = grid.waves(step, count)
    weights = np.full([len(cos), 1], 2.0 * step / grid.period)
    weights[[0, -1]] /= 2.0
    nodes = nodes[..., ::step]
    parts = tf.concat([tf.math.real(nodes), tf.math.imag(nodes)], axis=-1)
    matrix = tf.constant(np.vstack([cos * weights, sin * weights]))
    return tf.maximum(tf.tensordot(parts, matrix, 1), 0.0)


def _number(
    grid: _Grid, levels: list[tf.Tensor], noise: tf.Tensor, found: Tilt
) -> tf.Tensor:
    """How many items the whole subset has, `[R, 1]`."""
    size = found.size
    if size.fixed:
        return tf.broadcast_to(size.low, tf.shape(noise))
    mass = _pmf(grid, levels[-1], len(levels) - 1)[:, 0]
    number = tf.range(mass.shape[-1], dtype=tf.float64)
    low, high = (tf.cast(k, tf.float64) for k in (size.low, size.high))
    centre = tf.cast(found.centre, tf.float64)
    wanted = (low <= number) & (number <= high)
    if grid.period < mass.shape[-1]:
        # A number far from the mean is the alias of another.
        wanted &= tf.abs(number - centre) < 0.5 * grid.period
    exponent = tf.cast(found.amount, tf.float64) * (centre - number)
    exponent = tf.where(wanted, exponent, tf.zeros_like(exponent))
    mass = tf.where(wanted, tf.exp(exponent) * mass, tf.zeros_like(mass))
    index = _quantile(mass[:, None], noise)
    return tf.clip_by_value(index, size.low, size.high)


def _quantile(mass: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """The first index at which the mass, `[R, N, W]`, adds up to above u."""
    sums_of_mass = tf.cumsum(mass, axis=-1)
    below = sums_of_mass <= uniform[..., None] * sums_of_mass[..., -1:]
    return tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)


def _split(
    pmfs: list[tf.Tensor],
    noise: tf.Tensor,
    number: tf.Tensor,
    bounds: list[tuple[tf.Tensor, tf.Tensor]],
) -> tf.Tensor:
    """How many items each block has, `[R, m]`, of a number `[R, 1]` in all."""
    used = 0
    for level in reversed(range(len(bounds) - 1)):
        nodes = pmfs[level].shape[1] // 2
        uniform = noise[:, used : used + nodes]
        number = _split_nodes(pmfs[level], uniform, number, *bounds[level])
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


def _bounds(on: tf.Tensor, off: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """How many ones a node has at least and at most, level by level."""
    certain = tf.cast(off <= 0.0, tf.int32)
    possible = tf.cast(on > 0.0, tf.int32)
    bounds = [(tf.reduce_sum(certain, 1), tf.reduce_sum(possible, 1))]
    while bounds[-1][0].shape[-1] > 1:
        halves = [tf.split(bound, 2, axis=-1) for bound in bounds[-1]]
        least, most = (first + second for first, second in halves)
        bounds.append((least, most))
    return bounds


def _within_blocks(
    on: tf.Tensor,
    off: tf.Tensor,
    polynomials: list[tf.Tensor],
    noise: tf.Tensor,
    number: tf.Tensor,
) -> list[tf.Tensor]:
    """The items of blocks with these numbers of ones, one by one.

    P(b_j = 1 | r of j … s-1) ∝ p_j P(r - 1 of j+1 … s-1).
    """
    sample = []
    items = sums.items(on, off)
    for j, ((p, q), rest) in enumerate(
        zip(items[:-1], polynomials[1:-1], strict=True)
    ):
        chosen = tf.one_hot(number, rest.shape[1] + 1, axis=1, dtype=rest.dtype)
        zero = q[:, 0] * tf.reduce_sum(chosen[:, :-1] * rest, axis=1)
        one = p[:, 0] * tf.reduce_sum(chosen[:, 1:] * rest, axis=1)
        one, zero = tf.cast(one, tf.float64), tf.cast(zero, tf.float64)
        drawn = noise[:, j] * (one + zero) < one
        sample.append(tf.cast(drawn, rest.dtype))
        number -= tf.cast(drawn, tf.int32)
    return [*sample, tf.cast(number, on.dtype)]
