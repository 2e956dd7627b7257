"""The number of ones among Bernoulli variables, and what it tells of each.

S = Σ b_i has the characteristic function φ(ω) = Π_i (q_i + p_i e^{iω}), and

    P(S = c) = 1/M Σ_l φ(ω_l) e^{-iω_l c},   ω_l = 2πl/M, l = 0 … M-1,

up to the aliases P(S = c ± M), c ± 2M, …: exactly, if M exceeds the number of
items. With the variance v of S,

    P(|S - E S| ≥ x) ≤ 2 exp(-x²/(2v + 2x/3)),   |φ(ω)| ≤ exp(-v(1 - cos ω)):

M a little above the first bound's x leaves no alias that float32 can tell, and
from the L-th frequency on φ is nothing either. L is the same whatever the items
and their number: where S spreads, the frequencies are dense and few matter,
and where it does not, M = 2L - 1 covers the circle. (Halves: ω and -ω have
conjugate values.)

The variables stand in blocks of s, `[R, s, m]`. In a block the probability of
each number of ones comes from products of non-negative numbers, which keep
their relative precision; from block to block go the L numbers, in complex128,
or in complex64 where a gradient needs no more.
Given S = k the items are a complex mixture, with the weights

    c_l ∝ φ(ω_l) e^{-iω_l k},   Σ_l c_l = 1,

of independent variables whose probability of a one is σ(λ_i + iω_l).

Reference:
    Chen, Dempster, Liu. Weighted finite population sampling to maximize
    entropy. Biometrika 1994. Fernández, Williams. Closed-form expression for
    the Poisson-binomial probability density function. IEEE TAES 2010.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel._precision import LOWEST
from tfgumbel.ops._tilt import Tilt

# As many items stand in a block at the most.
_BLOCK = 8
# L: aliases below 2e-8 and 1e-16 of the whole.
_FREQUENCIES = {tf.float32: 13, tf.float64: 26}


class Conditioned(NamedTuple):
    """Bernoulli variables, `[R, s, m]`, given how many of them are one."""

    on: tf.Tensor  # p
    off: tf.Tensor  # q = 1 - p
    circle: tf.Tensor  # e^{iω_l c}, [R, L, W]
    weights: tf.Tensor  # of the sum over frequencies, [R, L]
    selection: tf.Tensor  # Σ of e^{-iω_l c} over the numbers wanted, [R, L]


def conditioned(
    rows: tf.Tensor, tilt: Tilt, single: bool = False
) -> Conditioned:
    """Rows of logits, tilted, and the frequencies.

    With `single`, in the precision of the rows, which may be float32.
    """
    n = rows.shape[-1]
    on, off = blocks(rows, tilt)
    angles, period = _frequencies(tilt, rows.dtype, n)
    terms = angles.shape[-1]
    halves = tf.constant([1.0] + [2.0] * (terms - 1), tf.float64)
    low, high = _wanted(tilt, period, n)
    real = rows.dtype if single else tf.float64
    complex_ = tf.complex64 if real == tf.float32 else tf.complex128
    return Conditioned(
        on,
        off,
        tf.cast(_powers(angles, on.shape[1] + 1), complex_),
        tf.cast(halves / period, real),
        tf.cast(_selection(tilt, angles, low, high), complex_),
    )


def blocks(rows: tf.Tensor, tilt: Tilt) -> tuple[tf.Tensor, tf.Tensor]:
    """Probabilities of one and of zero, `[R, s, m]`, of tilted logits."""
    log_odds = fold(tilt.log_odds(rows), LOWEST)
    return tf.sigmoid(log_odds), tf.sigmoid(-log_odds)


def block_shape(items: int) -> tuple[int, int]:
    """Items in a block, and blocks: a power of two."""
    blocks = 1
    while -(-items // blocks) > _BLOCK:
        blocks *= 2
    return -(-items // blocks), blocks


def fold(rows: tf.Tensor, fill: float) -> tf.Tensor:
    """Rows `[R, n]` in blocks, `[R, s, m]`; item i is in block i mod m."""
    items = rows.shape[-1]
    size, blocks = block_shape(items)
    missing = size * blocks - items
    if missing:
        rows = tf.pad(rows, [[0, 0], [0, missing]], constant_values=fill)
    return tf.reshape(rows, [-1, size, blocks])


def unfold(items: list[tf.Tensor], count: int) -> tf.Tensor:
    """The inverse of `fold`, from s tensors `[R, m]`."""
    stacked = tf.stack(items, axis=1)
    size = stacked.shape[1] * stacked.shape[2]
    return tf.reshape(stacked, [-1, size])[:, :count]


def _frequencies(
    tilt: Tilt, dtype: tf.DType, n: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The angles ω_l, `[R, L]`, and the period M, `[R, 1]`, in float64."""
    terms = _FREQUENCIES[dtype]
    reach = _reach(tf.cast(tilt.variance, tf.float64), terms)
    if not tilt.size.fixed:
        # All numbers within reach, on either side.
        terms, reach = 2 * terms, 2.0 * reach
    if 2 * terms - 1 > n:
        # More than all numbers from 0 to n: nothing to be left out.
        terms, reach = (n + 1) // 2 + 1, tf.zeros_like(reach)
    period = tf.maximum(reach, tf.cast(2 * terms - 1, tf.float64))
    period = 2.0 * tf.math.ceil(0.5 * (period - 1.0)) + 1.0  # never ω = π
    return 2.0 * math.pi * tf.range(terms, dtype=tf.float64) / period, period


def _reach(variance: tf.Tensor, terms: int) -> tf.Tensor:
    """How far from its mean the number of ones may be, but for the tail.

    Bernstein's bound, with the tail that 2L - 1 numbers leave where exp(-2v)
    is as small: there the circle is just covered.
    """
    tail = (2 * terms - 1) / (1.0 / 3.0 + math.sqrt(10.0) / 3.0)
    return tail / 3.0 + tf.sqrt(tail**2 / 9.0 + 2.0 * tail * variance)


def _powers(angles: tf.Tensor, width: int) -> tf.Tensor:
    """e^{iωc} for c = 0 … width - 1, on a new last axis."""
    step = _wave(angles)[..., None]
    powers = tf.ones_like(step)
    while powers.shape[-1] < width:
        powers = tf.concat([powers, powers * step], axis=-1)
        step *= step
    return powers[..., :width]


def _wanted(
    tilt: Tilt, period: tf.Tensor, n: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The least and the largest number wanted, `[R, 1]`, in float64.

    Of a long range the numbers of one period, those about the mean.
    """
    low, high = (
        tf.cast(k, tf.float64) for k in (tilt.size.low, tilt.size.high)
    )
    if tilt.size.fixed:
        return low, high
    centre = tf.cast(tilt.centre, tf.float64)
    first = tf.clip_by_value(
        centre - 0.5 * (period - 1.0), 0.0, tf.maximum(n + 1.0 - period, 0.0)
    )
    return tf.maximum(low, first), tf.minimum(high, first + period - 1.0)


def _selection(
    tilt: Tilt, angles: tf.Tensor, low: tf.Tensor, high: tf.Tensor
) -> tf.Tensor:
    """Σ_c exp(-t (c - centre)) e^{-iωc} over the numbers c that are wanted.

    A geometric series, from the end that weighs most, which is the centre
    unless t = 0.
    """
    if tilt.size.fixed:
        return _wave(-angles * low)
    amount = tf.cast(tilt.amount, tf.float64)
    down = amount < 0.0
    angles = tf.where(down, -angles, angles)
    start = _wave(-angles * tf.where(down, -high, low))
    return start * _geometric(tf.abs(amount), angles, high - low + 1.0)


def _geometric(
    decay: tf.Tensor, angles: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    """Σ_{d<count} exp(-(decay + iω) d), with ω = 0 first."""
    flat = tf.where(
        decay > 1e-15,
        tf.math.expm1(-decay * count)
        / tf.math.expm1(-tf.maximum(decay, 1e-15)),
        count,
    )
    waves = angles[:, 1:]
    ratio = _wave(-waves, tf.exp(-decay))
    last = _wave(-waves * count, tf.exp(-decay * count))
    flat = tf.complex(flat, tf.zeros_like(flat))
    return tf.concat([flat, (1.0 - last) / (1.0 - ratio)], axis=-1)


def _wave(angles: tf.Tensor, size: Any = 1.0) -> tf.Tensor:
    return tf.complex(size * tf.cos(angles), size * tf.sin(angles))


def suffix_polynomials(on: tf.Tensor, off: tf.Tensor) -> list[tf.Tensor]:
    """P(c ones among the items j … s-1 of a block), `[R, s-j+1, m]` for each j.

    The coefficients of Π_i (q_i + p_i x). The first is that of whole blocks.
    """
    found = [tf.ones_like(on[:, :1])]
    for p, q in reversed(items(on, off)):
        found.append(shifted(q * found[-1], p * found[-1]))
    return found[::-1]


def suffix_moments(
    given: Conditioned, vector: tf.Tensor, polynomials: list[tf.Tensor]
) -> list[tf.Tensor]:
    """The same of E[Σ_i vector_i b_i; c ones], for a vector `[R, s, m]`."""
    found = [tf.zeros_like(given.on[:, :1])]
    triples = items(given.on, given.off, vector)
    for (on, off, g), rest in zip(
        reversed(triples), polynomials[:0:-1], strict=True
    ):
        found.append(shifted(off * found[-1], on * (found[-1] + g * rest)))
    return found[::-1]


def items(*tensors: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
    """The items of all blocks, one after the other, each `[R, 1, m]`."""
    size = tensors[0].shape[1]
    return list(zip(*(tf.split(x, size, axis=1) for x in tensors), strict=True))


def shifted(same: tf.Tensor, raised: tf.Tensor) -> tf.Tensor:
    """same(x) + x raised(x), for coefficients on axis 1."""
    return tf.pad(same, [[0, 0], [0, 1], [0, 0]]) + tf.pad(
        raised, [[0, 0], [1, 0], [0, 0]]
    )


def spectrum(given: Conditioned, coefficients: tf.Tensor) -> tf.Tensor:
    """Σ_c coefficients_c e^{iωc}: from `[R, C, m]` to `[R, L, m]`, complex."""
    circle = given.circle[..., : coefficients.shape[1]]
    terms = circle.shape[1]
    matrix = tf.concat([tf.math.real(circle), tf.math.imag(circle)], axis=1)
    product = tf.matmul(matrix, tf.cast(coefficients, matrix.dtype))
    return tf.complex(product[:, :terms], product[:, terms:])


def projection(
    given: Conditioned, amplitudes: tf.Tensor, count: int
) -> tf.Tensor:
    """Re Σ_l amplitudes_l e^{iω_l c}: from `[R, L, m]` to `[R, count, m]`."""
    circle = given.circle[..., :count]
    matrix = tf.concat([tf.math.real(circle), -tf.math.imag(circle)], axis=1)
    vector = tf.concat(
        [tf.math.real(amplitudes), tf.math.imag(amplitudes)], axis=1
    )
    return tf.matmul(matrix, vector, transpose_a=True)


# A function of the frequency, alone or with its derivative in some direction.
Spectra = tuple[tf.Tensor, ...]


def products(leaves: Spectra) -> tuple[Spectra, Spectra]:
    """The product over all blocks, `[R, L, 1]`, and that over all but each.

    In a tree, up and down: a division would fail where a block's is zero.
    """
    levels = [leaves]
    while levels[-1][0].shape[-1] > 1:
        levels.append(_times(*_halves(levels[-1])))
    root = levels.pop()
    one = (tf.ones_like(root[0]), tf.zeros_like(root[0]))
    others: Spectra = one[: len(root)]
    for level in reversed(levels):
        first, second = _halves(level)
        parts = zip(_times(others, second), _times(others, first), strict=True)
        others = tuple(tf.concat(pair, axis=-1) for pair in parts)
    return root, others


def _halves(spectra: Spectra) -> tuple[Spectra, Spectra]:
    halves = [tf.split(x, 2, axis=-1) for x in spectra]
    return tuple(x for x, _ in halves), tuple(x for _, x in halves)


def _times(first: Spectra, second: Spectra) -> Spectra:
    product = first[0] * second[0]
    if len(first) == 1:
        return (product,)
    return product, first[0] * second[1] + first[1] * second[0]


def selected(given: Conditioned) -> tf.Tensor:
    """What turns φ into the probability of the numbers wanted, `[R, L, 1]`."""
    weights = as_complex(given, given.weights) * given.selection
    return weights[..., None]


def total(amplitudes: tf.Tensor) -> tf.Tensor:
    """The sum over frequencies, `[R, 1, m]`, real."""
    return tf.reduce_sum(tf.math.real(amplitudes), axis=1, keepdims=True)


def as_complex(given: Conditioned, real: tf.Tensor) -> tf.Tensor:
    """The numbers as complex ones."""
    return tf.cast(real, given.circle.dtype)


def log_total(rows: tf.Tensor, tilt: Tilt) -> tf.Tensor:
    """log Σ_c exp(-t (c - centre)) P_t(c ones), c as wanted, `[R]`, float64."""
    given = conditioned(rows, tilt)
    leaves = spectrum(given, suffix_polynomials(given.on, given.off)[0])
    (root,), _ = products((leaves,))
    return tf.math.log(total(selected(given) * root)[:, 0, 0])
