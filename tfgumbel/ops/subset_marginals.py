"""The marginals of exactly k of n, and the gradient of a sample by them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel._precision import in_working_precision
from tfgumbel.ops import _bernoulli_sum as sums
from tfgumbel.ops._subset_size import (
    SubsetSize,
    like,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import Tilt, tilt


def subset_marginals(logits: Any, *, k: Any, axis: int = -1) -> tf.Tensor:
    """Probability of each item to be in a subset of exactly k of n.

    Under the conditional Bernoulli distribution, q(z) ∝ exp(z · logits) on
    the k-hot vectors z,

        μ_i = E z_i = ∂ log Z / ∂ logits_i,   Σ_i μ_i = k.

    The gradient is the covariance of z times the incoming one, ∂μ/∂logits =
    E z zᵀ - μ μᵀ, and may be differentiated again. The time is that of n
    items, whatever k is, and no table of items by counts is made.

    Args:
        logits: Log-odds of the items, with n items on `axis`. Only their
            differences count. -inf is never in a subset, if at least k
            logits are finite.
        k: Size of the subset: an integer from 1 to n, an integer tensor with
            one size per example (of the shape of the logits without `axis`,
            or broadcastable to it), or a pair (low, high) of these for any
            size from low to high; then logits are log-odds indeed.
        axis: Axis of the items.

    Returns:
        μ, of the shape and dtype of the logits. Computed in float32 or wider.
        An example with NaN logits is NaN; no other is.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is (a bad k inside a graph
            gives NaN), or is of a wrong shape, or n is not known.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.subset_marginals([0.0, 0.0, 9.0], k=2).numpy().round(2)
    array([0.5, 0.5, 1. ], dtype=float32)

    Reference:
        Chen, Liu. Statistical applications of the Poisson-binomial and
        conditional Bernoulli distributions. Statistica Sinica 1997.
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    marginals = row_marginals(rows(in_working_precision(logits), axis), size)
    return like(tf.cast(marginals, logits.dtype), logits, axis)


def row_marginals(logits: tf.Tensor, size: SubsetSize) -> tf.Tensor:
    """μ of each row of logits, `[R, n]`, with its gradient."""
    # Those of this graph: where μ is a gradient, its own is taken in another
    # one, from where the first is out of reach.
    logits, low, high = map(tf.identity, (logits, size.low, size.high))
    found = tilt(logits, size._replace(low=low, high=high))

    @tf.custom_gradient
    def marginals(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return row_covariance_product(logits, upstream, found)

        return row_expectations(logits, found)[0], grad

    return marginals(logits)


def row_expectations(
    logits: tf.Tensor, found: Tilt
) -> tuple[tf.Tensor, tf.Tensor]:
    """μ of each row, `[R, n]`, and log P(the size is right), `[R]`, float64."""
    given = sums.conditioned(logits, found)
    polynomials = sums.suffix_polynomials(given.on, given.off)
    leaves = sums.spectrum(given, polynomials[0])
    (root,), (others,) = sums.products((leaves,))
    selected = sums.selected(given)
    total = sums.total(selected * root)
    # P(what the other blocks need, given c ones in this one), c = 0, 1, …
    outside = sums.projection(given, selected * others, polynomials[0].shape[1])
    outside /= total
    outside = tf.cast(outside, logits.dtype)
    means = []
    for (on, off), rest in zip(
        sums.items(given.on, given.off), polynomials[1:], strict=True
    ):
        raised = outside[:, 1:]
        means.append(on[:, 0] * tf.reduce_sum(raised * rest, axis=1))
        outside = off * outside[:, :-1] + on * raised
    log_total = tf.math.log(total[:, 0, 0])
    return sums.unfold(means, logits.shape[-1]), log_total


def row_covariance_product(
    logits: tf.Tensor, vector: tf.Tensor, found: Tilt
) -> tf.Tensor:
    """Cov(z) g = E[z (g·z)] - μ E[g·z] of each row, for g `[R, n]`.

    With the complex mixture of `_bernoulli_sum`, a = σ(λ + iω_l) and
    G_l = Σ_j g_j a_jl,

        Cov(z) g = Σ_l c_l [a_l (G_l - Ḡ) + g a_l (1 - a_l)],  Ḡ = Σ_l c_l G_l.
    """
    given = sums.conditioned(logits, found, single=True)
    g = sums.fold(tf.cast(vector, logits.dtype), 0.0)
    polynomials = sums.suffix_polynomials(given.on, given.off)
    moments = sums.suffix_moments(given, g, polynomials)
    leaves = sums.spectrum(given, polynomials[0])
    (root, moment), (others, moment_of_others) = sums.products(
        (leaves, sums.spectrum(given, moments[0]))
    )
    selected = sums.selected(given)
    total = sums.total(selected * root)
    mean = sums.as_complex(given, sums.total(selected * moment) / total)
    # What the other blocks need and, of E[g·z] less its mean, what they give.
    both = tf.concat([others, moment_of_others - mean * others], axis=-1)
    outside = sums.projection(given, selected * both, polynomials[0].shape[1])
    outside /= total
    first, second = tf.split(tf.cast(outside, logits.dtype), 2, axis=-1)
    products = []
    for (on, off, g_item), rest, rest_moment in zip(
        sums.items(given.on, given.off, g),
        polynomials[1:],
        moments[1:],
        strict=True,
    ):
        raised = first[:, 1:]
        both = second[:, 1:] + g_item * raised
        sum_over = raised * rest_moment + both * rest
        products.append(on[:, 0] * tf.reduce_sum(sum_over, axis=1))
        first = off * first[:, :-1] + on * raised
        second = off * second[:, :-1] + on * both
    return sums.unfold(products, logits.shape[-1])
