"""Entropy of a subset of exactly k of n, and divergence of two such."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel._precision import in_working_precision
from tfgumbel.ops._bernoulli_sum import log_total
from tfgumbel.ops._subset_entropies import cross_entropy
from tfgumbel.ops._subset_size import (
    SubsetSize,
    per_row,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import finite, tilt
from tfgumbel.ops.subset_marginals import (
    row_covariance_product,
    row_expectations,
    row_marginals,
)


def subset_entropy(logits: Any, *, k: Any, axis: int = -1) -> tf.Tensor:
    """H(q) = log Z - μ · logits of the conditional Bernoulli distribution.

    Args:
        logits: Log-odds of the items, with n items on `axis`.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        Entropy in nats, of the shape of the logits without `axis`, in float32
        or wider. Its gradient is -Cov(z) logits.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            or n is not known.

    Example:

    >>> import tfgumbel as tg
    >>> entropy = tg.ops.subset_entropy([0.0, 0.0, 0.0, 0.0], k=2)
    >>> round(float(entropy), 4)  # log 6
    1.7918
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    entropy = _entropy(rows(in_working_precision(logits), axis), size)
    return per_row(entropy, logits, axis)


def _entropy(logits: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    found = tilt(logits, size)

    @tf.custom_gradient
    def entropy(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            # A common shift of the logits does not count if the size is fixed.
            vector = found.log_odds(logits) if size.fixed else finite(logits)
            product = row_covariance_product(logits, vector, found)
            return -upstream[:, None] * product

        means, total = row_expectations(logits, found)
        return cross_entropy(logits, found, total, means), grad

    return entropy(logits)


def subset_kl(
    logits: Any, prior_logits: Any = None, *, k: Any, axis: int = -1
) -> tf.Tensor:
    """KL(q ‖ p) = μ · (logits - prior_logits) - log Z + log Z_prior.

    Of two conditional Bernoulli distributions over subsets of the same size.

    Args:
        logits: Log-odds of q, with n items on `axis`.
        prior_logits: Log-odds of p, broadcastable to `logits`; `None` for the
            same probability for every subset.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        Divergence in nats, of the shape of the logits without `axis`, in
        float32 or wider. Never below zero beyond rounding.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            or n is not known.

    Example:

    >>> import tfgumbel as tg
    >>> abs(round(float(tg.ops.subset_kl([1.0, 1.0, 1.0], k=2)), 4))
    0.0
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    q = in_working_precision(logits)
    p = tf.cast(0.0 if prior_logits is None else prior_logits, q.dtype)
    if _is_one_row(p, axis - q.shape.rank if axis >= 0 else axis, size):
        prior = tf.broadcast_to(tf.reshape(p, [1, -1]), [1, q.shape[axis]])
    else:
        prior = rows(tf.broadcast_to(p, tf.shape(q)), axis)
    return per_row(_kl(rows(q, axis), prior, size), logits, axis)


def _is_one_row(prior: tf.Tensor, axis: int, size: SubsetSize) -> bool:
    """Whether all rows share prior and size; the axis counts from the end."""
    others = prior.shape.as_list()
    if -axis <= len(others):
        others.pop(axis)
    return all(n == 1 for n in (*others, size.low.shape[0], size.high.shape[0]))


def _kl(logits: tf.Tensor, prior: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    """Of `[R, n]` logits, and a prior of as many rows or of one."""
    found, found_prior = tilt(logits, size), tilt(prior, size)

    @tf.custom_gradient
    def divergence(logits: tf.Tensor, prior: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = upstream[:, None]
            vector = finite(logits) - finite(prior)
            if size.fixed:
                vector += found.shift - found.top
                vector -= found_prior.shift - found_prior.top
            product = row_covariance_product(logits, vector, found)
            difference = row_marginals(prior, size)
            difference -= row_marginals(logits, size)
            for_prior = upstream * difference
            if prior.shape[0] == 1:
                for_prior = tf.reduce_sum(for_prior, axis=0, keepdims=True)
            return upstream * product, for_prior

        means, total = row_expectations(logits, found)
        total_prior = log_total(prior, found_prior)
        value = cross_entropy(prior, found_prior, total_prior, means)
        return value - cross_entropy(logits, found, total, means), grad

    return divergence(logits, prior)
