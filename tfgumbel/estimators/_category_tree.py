"""A categorical variable as a balanced binary tree of Bernoulli variables.

The leaves are the categories in their order; a node's variable says whether
the category is in the right half of the node's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel import random
from tfgumbel._precision import LOWEST
from tfgumbel.estimators.algebra import log_add_exp


class Pair(NamedTuple):
    """Two opposite samples of a tree, each exact.

    They share the path from the root until their antithetic noise sends them
    to the two children of one node; from there on their noise is independent.

    Attributes:
        first: z, int32 indices of categories.
        second: z', likewise.
        sides: The two children where they part, as numbers of the nodes of
            their depth; z and z' themselves where they never do.
        height: Levels below these children, int32.
    """

    first: tf.Tensor
    second: tf.Tensor
    sides: tuple[tf.Tensor, tf.Tensor]
    height: tf.Tensor


def antithetic_pair(logits: tf.Tensor, seed: Any) -> Pair:
    """Descends the tree of logits `[..., K]` with noise and its opposite."""
    levels = _log_masses(logits)
    shape = tf.shape(logits)[:-1]
    noises = random.logistic(tf.concat([[len(levels), 2], shape], 0), seed)
    first = second = tf.zeros(shape, tf.int32)
    sides, height = (first, second), tf.zeros(shape, tf.int32)
    for depth, masses in enumerate(levels):
        log_odds = masses[..., 1::2] - masses[..., ::2]
        noise, other = noises[depth, 0], noises[depth, 1]
        apart = tf.not_equal(first, second)
        # At a node that both stand on, u and 1 - u.
        opposite = tf.where(apart, other, -noise)
        first = _child(log_odds, first, noise)
        second = _child(log_odds, second, opposite)
        sides = (
            tf.where(apart, sides[0], first),
            tf.where(apart, sides[1], second),
        )
        below = tf.fill(shape, len(levels) - 1 - depth)
        height = tf.where(apart, height, below)
    return Pair(first, second, sides, height)


def direction(logits: tf.Tensor, pair: Pair) -> tf.Tensor:
    """What f(z) - f(z') is multiplied by, `[..., K]`.

    The node where they part has the log-odds φ and DisARM's factor
    ½ (-1)^{b'} σ(|φ|); a node below it, on the path of one of the two alone,
    has the score ½ (b - σ(φ)) of that one. By the chain rule the sum over the
    nodes is

        ½ [e_z - e_{z'} - σ(-|φ|) (π_A - π_{A'})]

    in the logits, with A and A' the categories below the two children, e_z a
    one-hot and π_A the softmax over A alone. It is zero where z = z'.
    """
    (own, own_mass), (other, other_mass) = (
        _restricted(logits, side, pair.height) for side in pair.sides
    )
    rarer = tf.sigmoid(-tf.abs(own_mass - other_mass))
    depth = tf.shape(logits)[-1]
    one_hots = [
        tf.one_hot(index, depth, dtype=logits.dtype)
        for index in (pair.first, pair.second)
    ]
    return 0.5 * (one_hots[0] - one_hots[1] - rarer * (own - other))


def _log_masses(logits: tf.Tensor) -> list[tf.Tensor]:
    """Log-mass of every node, `[..., 2^d]` at depth d, from d = 1 on."""
    categories = logits.shape[-1]
    if categories is None:
        raise ValueError(
            "A tree of categories needs their number. "
            f"Received: logits of shape {logits.shape}"
        )
    depth = (categories - 1).bit_length()
    padding = [[0, 0]] * (logits.shape.rank - 1)
    padding.append([0, 2**depth - categories])
    # Leaves without a category are below any, also one of probability 0.
    levels = [tf.pad(logits, padding, constant_values=2.0 * LOWEST)]
    while len(levels) < depth:
        left, right = levels[0][..., ::2], levels[0][..., 1::2]
        levels.insert(0, log_add_exp(left, right))
    return levels


def _child(log_odds: tf.Tensor, node: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    own = tf.gather(log_odds, node, batch_dims=node.shape.rank)
    return 2 * node + tf.cast(own + noise > 0, tf.int32)


def _restricted(
    logits: tf.Tensor, node: tf.Tensor, height: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The softmax over the categories below a node, and their log-mass."""
    categories = tf.range(tf.shape(logits)[-1])
    ancestors = tf.bitwise.right_shift(categories, height[..., None])
    below = tf.equal(ancestors, node[..., None])
    masked = tf.where(below, logits, tf.cast(LOWEST, logits.dtype))
    log_mass = tf.reduce_logsumexp(masked, axis=-1, keepdims=True)
    return tf.exp(masked - log_mass), log_mass
