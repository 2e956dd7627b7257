"""Joint samples of independent categories, drawn without replacement.

A joint value is a leaf of a tree with one level per variable. Leaves arrive
at random times, each at the rate of its probability; the first S to arrive
are a sample without replacement (Gumbel top-k, with time exp(-Gumbel)). The
first arrival below a node comes to one of its children, and the others' first
arrivals are independent of it and later: so the S first of a level have among
their children the S first of the next (stochastic beam search).
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel import random
from tfgumbel._precision import LOWEST
from tfgumbel.estimators.algebra import log_add_exp

# Log-probability of what is as good as impossible, masked above all.
_IMPOSSIBLE = -1e6
# Variables are drawn together while they have no more joint categories.
_BLOCK = 32


class Distinct(NamedTuple):
    """S different joint values for each example.

    Where fewer than S are possible, the first stands in the others' places,
    with the log-probability of nothing.

    Attributes:
        index: int32 categories, `[B, S, D]`.
        log_prob: Of the joint values, `[B, S]`, float64.
    """

    index: tf.Tensor
    log_prob: tf.Tensor


class _Beam(NamedTuple):
    """The first S nodes of a level, all `[B, S]`.

    Attributes:
        log_time: Log of the first arrival below the node.
        log_mass: Log-probability of the node.
        parent: Place of its parent among the beam above.
        category: Which child of it.
    """

    log_time: tf.Tensor
    log_mass: tf.Tensor
    parent: tf.Tensor
    category: tf.Tensor


def draw_distinct(
    logits: tf.Tensor, count: int, seed: Any, block: int = _BLOCK
) -> Distinct:
    """Draws S joint values of logits `[B, D, K]`, in the order of arrival."""
    log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float64))
    size = _block_size(logits.shape, block)
    levels = tf.transpose(_in_blocks(log_probs, size), [1, 0, 2])
    draw = _of_one if levels.shape[0] == 1 else _of_several
    code, log_time = draw(tf.cast(levels, tf.float32), count, seed)
    index = _digits(code, size, logits.shape[-1])
    index = index[..., : tf.shape(logits)[1]]
    log_prob = tf.reduce_sum(_chosen(log_probs, index), axis=-1)
    # NaN compares false, and is to be seen.
    possible = (log_time < -_IMPOSSIBLE) | tf.math.is_nan(log_prob)
    index = tf.where(possible[..., None], index, index[:, :1])
    lowest = tf.cast(_IMPOSSIBLE, tf.float64)
    return Distinct(index, tf.where(possible, log_prob, lowest))


def _block_size(shape: tf.TensorShape, block: int) -> int:
    """How many variables are drawn as one."""
    _, variables, categories = shape
    if variables is None:
        return 1
    size = 1
    while size < variables and categories ** (size + 1) <= block:
        size += 1
    return size


def _in_blocks(log_probs: tf.Tensor, size: int) -> tf.Tensor:
    """`[B, D, K]` as `[B, D / size, K^size]`, of the joint categories."""
    if size == 1:
        return log_probs
    _, variables, categories = log_probs.shape
    missing = -variables % size
    # Variables that are certain fill up the last block.
    sure = tf.one_hot(0, categories, 0.0, LOWEST, dtype=log_probs.dtype)
    rest = tf.zeros_like(log_probs[:, :1]) + sure
    filled = tf.concat([log_probs, tf.repeat(rest, missing, axis=1)], 1)
    blocks = (variables + missing) // size
    parts = tf.unstack(
        tf.reshape(filled, [-1, blocks, size, categories]), axis=2
    )
    joint = parts[0]
    for part in parts[1:]:
        sums = joint[..., None] + part[..., None, :]
        joint = tf.reshape(sums, [-1, blocks, joint.shape[-1] * categories])
    return joint


def _digits(code: tf.Tensor, size: int, categories: int) -> tf.Tensor:
    """Joint categories `[B, S, D / size]` as categories `[B, S, D]`."""
    if size == 1:
        return code
    powers = [categories**i for i in reversed(range(size))]
    digits = code[..., None] // powers % categories
    blocks = code.shape[-1]
    return tf.reshape(digits, [-1, code.shape[1], blocks * size])


def _of_one(
    levels: tf.Tensor, count: int, seed: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Categories of one variable, `[B, S, 1]`, and the log-times."""
    noise = random.gumbel(tf.shape(levels[0][:, None]), seed)
    beam = _next(_root(levels, 1), levels[0], noise, count)
    return beam.category[..., None], beam.log_time


def _of_several(
    levels: tf.Tensor, count: int, seed: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Joint values of several variables, `[B, S, D]`, and the log-times."""
    shape = tf.shape(levels)
    noise = random.gumbel(tf.stack([shape[0], shape[1], count, shape[2]]), seed)
    beams = tf.scan(
        lambda beam, level: _next(beam, level[0], level[1], count),
        (levels, noise),
        _root(levels, count),
    )

    def trace(below: Any, level: Any) -> Any:
        place, _ = below
        return tuple(tf.gather(v, place, batch_dims=1) for v in level)

    places = tf.zeros_like(beams.parent[0]) + tf.range(count)
    _, index = tf.scan(
        trace, (beams.parent, beams.category), (places, places), reverse=True
    )
    return tf.transpose(index, [1, 2, 0]), beams.log_time[-1]


def _root(levels: tf.Tensor, size: int) -> _Beam:
    """The root, and nodes below which nothing ever arrives, `[B, size]`."""
    nothing = tf.zeros_like(levels[0][:, :1])
    never = tf.fill([tf.shape(nothing)[0], size - 1], float("inf"))
    log_time = tf.concat([nothing, never], axis=1)
    zeros = tf.zeros_like(log_time)
    index = tf.zeros_like(log_time, tf.int32)
    return _Beam(log_time, zeros, index, index)


def _next(
    beam: _Beam, log_probs: tf.Tensor, noise: tf.Tensor, count: int
) -> _Beam:
    """The first of the children of a beam, of `[B, S, K]` of them.

    Children whose first arrivals were independent would have the times E / p;
    given that the first of all comes at the parent's time t, it comes then,
    and by exponentials' lack of memory the others come at t plus what they
    are later than the first.
    """
    log_mass = beam.log_mass[..., None] + log_probs[:, None]
    free = -(log_mass + noise)  # log E = -Gumbel
    earliest = tf.reduce_min(free, axis=-1, keepdims=True)
    later = free + tf.math.log(-tf.math.expm1(earliest - free))
    log_time = log_add_exp(beam.log_time[..., None], later)
    categories = tf.shape(log_probs)[-1]
    beams = beam.log_time.shape[-1] * log_probs.shape[-1]
    flat = tf.reshape(log_time, [-1, beams])
    negative, place = tf.math.top_k(-flat, count)
    chosen = tf.gather(tf.reshape(log_mass, [-1, beams]), place, batch_dims=1)
    return _Beam(-negative, chosen, place // categories, place % categories)


def _chosen(log_probs: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Entries `[B, S, D]` of `[B, D, K]`."""
    by_variable = tf.transpose(index, [0, 2, 1])
    chosen = tf.gather(log_probs, by_variable, batch_dims=2)
    return tf.transpose(chosen, [0, 2, 1])


def leave_one_out(log_prob: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """p(s) R(S, s), and p(t) R^{D∖s}(S, t), from log p `[..., S]`.

    The first, `[..., S]`, are the weights of an unbiased estimate of E f from
    an unordered sample; the second, `[..., S, S]` with s before t and zero at
    s = t, those of the estimate without s, times 1 - p(s).

    The chance that those left of the sample, r, are drawn from all that is
    left is, by the first of them drawn,

        P(r) = Σ_{s∈r} p(s) P(r∖s) / (p(r) + p(D∖S)),

    and R(S, s) = P(S∖s) / P(S), R^{D∖s}(S, t) = P(S∖{s, t}) / P(S∖s). All
    terms are positive: nothing is lost by subtraction.
    """
    count = log_prob.shape[-1]
    total = tf.reduce_logsumexp(log_prob, axis=-1, keepdims=True)
    outside = tf.math.log(tf.nn.relu(-tf.math.expm1(total)))
    levels = [tf.zeros_like(log_prob[..., :1])]
    for size in range(1, count + 1):
        members, left = _subsets(count, size)
        own = tf.gather(log_prob, members, axis=-1)
        terms = own + tf.gather(levels[-1], left, axis=-1)
        mass = tf.reduce_logsumexp(own, axis=-1)
        mass = tf.reduce_logsumexp(
            tf.stack([mass, outside + tf.zeros_like(mass)]), axis=0
        )
        levels.append(tf.reduce_logsumexp(terms, axis=-1) - mass)
    without_one = tf.reverse(levels[-2], [-1])
    weight = tf.exp(log_prob + without_one - levels[-1])
    pairs = tf.gather(levels[-3], _without_pairs(count), axis=-1)
    others = log_prob[..., None, :] + pairs - without_one[..., None]
    apart = ~tf.eye(count, dtype=tf.bool)
    return weight, tf.where(apart, tf.exp(others), tf.zeros_like(others))


def _subsets(count: int, size: int) -> tuple[list, list]:
    """Subsets of a size, and where each is found without each member."""
    subsets = list(itertools.combinations(range(count), size))
    smaller = itertools.combinations(range(count), size - 1)
    place = {subset: i for i, subset in enumerate(smaller)}
    left = [
        [place[subset[:i] + subset[i + 1 :]] for i in range(size)]
        for subset in subsets
    ]
    return [list(subset) for subset in subsets], left


def _without_pairs(count: int) -> list[list[int]]:
    """Where S∖{s, t} is found among the subsets; anywhere for s = t."""
    subsets = itertools.combinations(range(count), count - 2)
    place = {subset: i for i, subset in enumerate(subsets)}

    def without(s: int, t: int) -> int:
        left = tuple(i for i in range(count) if i not in (s, t))
        return place.get(left, 0)

    return [[without(s, t) for t in range(count)] for s in range(count)]
