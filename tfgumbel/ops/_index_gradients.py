"""Straight-through gradients of a sample that is given by its index.

Each equals that of the op of its name, for a block of rows, without the one-hot
of the sample and with few passes over the categories. The incoming gradient of
a one-hot sample, g = E u, is a product with the table; its means are not summed
over it, but come from the means of the table: pᵀg = u · Eᵀp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfgumbel._precision import is_compiled, softmax_at, without_infinity


class Block(NamedTuple):
    """Rows of a backward pass.

    Attributes:
        logits: `[R, K]`.
        index: The samples, `[R]`.
        upstream: u, the gradient that comes in for rows of the table,
            `[R, dim]`.
        table: `[K, dim + 1]`: E, and a column of ones.
        first: Number of the first row.
    """

    logits: tf.Tensor
    index: tf.Tensor
    upstream: tf.Tensor
    table: tf.Tensor
    first: tf.Tensor

    def incoming(self, subtract: tf.Tensor | None = None) -> tf.Tensor:
        """g = E u, `[R, K]`, less a number for each row."""
        u, last = self.upstream, subtract
        last = tf.zeros_like(u[:, 0]) if last is None else -last
        u = tf.concat([u, last[:, None]], axis=-1)
        return tf.matmul(u, self.table, transpose_b=True)

    def chosen(self) -> tf.Tensor:
        """g_D, `[R]`."""
        rows = tf.gather(self.table, self.index)
        return self._dot(rows)

    def mean(self, p: tf.Tensor) -> tf.Tensor:
        """pᵀg, `[R]`."""
        return self._dot(tf.matmul(p, self.table))

    def _dot(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self.upstream * rows[:, :-1], axis=-1)

    def scaled(self, factor: tf.Tensor | float) -> Block:
        """The same block for a multiple of u."""
        return self._replace(upstream=factor * self.upstream)

    def softmax(self, tau: tf.Tensor | None = None) -> tf.Tensor:
        """The probabilities at temperature τ, 1 by default."""
        logits = without_infinity(self.logits)
        if tau is None:
            return tf.nn.softmax(logits)
        return softmax_at(tau, logits, -1)


Gradient = Callable[[Block], tf.Tensor]


def at_once(rows: tf.Tensor, size: int) -> bool:
    """Whether one block holds all: few rows, or XLA, where loops crawl."""
    count = rows.shape[0]
    return is_compiled() or (count is not None and count <= size)


def straight_through(block: Block, tau: tf.Tensor) -> tf.Tensor:
    """J(π) g / τ."""
    return _jacobian(block.softmax(tau), block.scaled(1.0 / tau))


def straight_through_at_one(block: Block) -> tf.Tensor:
    """J(π) g."""
    return straight_through(block, tf.ones([], block.logits.dtype))


def reinmax(block: Block, tau: tf.Tensor) -> tf.Tensor:
    """2 J(π_D) g - ½ J(π) g, for p = softmax(logits / τ) and ḡ = π_Dᵀ g.

    That is p (g - ḡ) - ½ J(π) g, and g_D - ḡ besides at D. Where τ = 1, p is π
    and the two products are one, ½ p (g - 2 ḡ + pᵀg).
    """
    p, half, chosen = block.softmax(tau), block.scaled(0.5), block.chosen()
    mean = block.mean(p)
    both = 0.5 * (mean + chosen)

    def together() -> tf.Tensor:
        return p * half.incoming(both - 0.5 * mean)

    def apart() -> tf.Tensor:
        return p * block.incoming(both) - _jacobian(block.softmax(), half)

    result = tf.cond(tf.equal(tau, 1.0), together, apart)
    return _add_at(result, block.index, chosen - both)


def zgr(block: Block, tau: tf.Tensor) -> tf.Tensor:
    """½ π (g - g_D), and ½ (g_D - πᵀ g) besides at D; without τ."""
    p, block = block.softmax(), block.scaled(0.5)
    chosen = block.chosen()
    result = p * block.incoming(chosen)
    return _add_at(result, block.index, chosen - block.mean(p))


def gapped(block: Block, tau: tf.Tensor) -> tf.Tensor:
    """J(y) g / τ, where D leads by a gap of 1."""
    logits = without_infinity(block.logits)
    top = tf.reduce_max(logits, axis=-1, keepdims=True)
    moved = tf.minimum(logits, top - 1.0)
    change = top[:, 0] - tf.gather(moved, block.index, batch_dims=1)
    moved = _add_at(moved, block.index, change)
    return _jacobian(softmax_at(tau, moved, -1), block.scaled(1.0 / tau))


def _jacobian(p: tf.Tensor, block: Block) -> tf.Tensor:
    """J(p) g = p (g - pᵀg)."""
    return p * block.incoming(block.mean(p))


def _add_at(values: tf.Tensor, index: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    rows = tf.range(tf.shape(values)[0], dtype=index.dtype)
    where = tf.stack([rows, index], axis=-1)
    return tf.tensor_scatter_nd_add(values, where, terms)
