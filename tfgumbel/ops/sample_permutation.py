"""Permutations: samples by Gumbel noise, the mode, matrices, all of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_logits
from tfgumbel.ops.plackett_luce_log_prob import item_logits

_MOST = 10


def sample_permutation(logits: Any, noise: Any) -> tf.Tensor:
    """Exact Plackett-Luce sample: items in descending order of logits + G.

    With standard Gumbel noise G, the probability of the order is that of
    `plackett_luce_log_prob`. Carries no gradient.

    Args:
        logits: Unnormalised log-probabilities of the items, `[..., n]`.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.

    Returns:
        int32 indices of the items, first to last, `[..., n]`.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the logits have no axis, or the noise is not of their
            shape.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.sample_permutation([0.0, 1.0, 2.0], [2.5, 0.0, 0.0]).numpy()
    array([0, 2, 1], dtype=int32)

    Reference:
        Yellott. The relationship between Luce's choice axiom, Thurstone's
        theory of comparative judgment, and the double exponential
        distribution. 1977.
    """
    scores = finite_logits(item_logits(logits))
    return descending(scores + _checks.noise(noise, scores))


def permutation_mode(logits: Any) -> tf.Tensor:
    """The most probable order: items by descending logits.

    Of equal logits the first stands first. Carries no gradient.

    Args:
        logits: Unnormalised log-probabilities of the items, `[..., n]`.

    Returns:
        int32 indices of the items, first to last, `[..., n]`.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the logits have no axis.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.permutation_mode([0.0, 2.0, 1.0]).numpy()
    array([1, 2, 0], dtype=int32)
    """
    return descending(finite_logits(item_logits(logits)))


def descending(scores: tf.Tensor) -> tf.Tensor:
    """Indices of the scores in descending order, on the last axis."""
    return tf.argsort(scores, axis=-1, direction="DESCENDING", stable=True)


def permutation_matrix(order: Any, *, dtype: Any = "float32") -> tf.Tensor:
    """The matrix P with P s = s in this order: P[t, i] = 1 if π_t = i.

    Args:
        order: Indices of items, first to last, `[..., n]`.
        dtype: Dtype of the matrix.

    Returns:
        Zeros and ones, `[..., n, n]`.

    Raises:
        TypeError: If the order holds no integers.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.permutation_matrix([1, 0]).numpy()
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    order = _checks.integers("order", order)
    return tf.one_hot(order, tf.shape(order)[-1], dtype=dtype)


def enumerate_permutations(n: int) -> np.ndarray:
    """Every order of n items, in lexicographic order.

    Args:
        n: Number of items, at most 10.

    Returns:
        An int32 array of shape `[n!, n]`.

    Raises:
        TypeError: If n is not an integer.
        ValueError: If n is less than 1 or more than 10.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.enumerate_permutations(2)
    array([[0, 1],
           [1, 0]], dtype=int32)
    """
    n = _checks.positive_integer("n", n)
    if n > _MOST:
        raise ValueError(
            f"Argument `n` must be at most {_MOST}. Received: n={n}, which "
            f"has {math.factorial(n)} orders"
        )
    return np.array(list(itertools.permutations(range(n))), np.int32)
