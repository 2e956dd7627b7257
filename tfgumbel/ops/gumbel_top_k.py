"""The Gumbel top-k trick: categories drawn without replacement."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_logits, nan_rows
from tfgumbel.ops._surrogate import swap_last


def gumbel_top_k(
    logits: Any, noise: Any, *, k: int, axis: int = -1
) -> tf.Tensor:
    """Exact sample of k categories without replacement: top-k of log π + G.

    With standard Gumbel noise, the ordered sample (i₁, …, i_k) follows the
    Plackett-Luce distribution

        p(i₁, …, i_k) = ∏_j π_{i_j} / (1 - Σ_{l<j} π_{i_l}),

    π = softmax(logits): each category is drawn from those that are left. With
    k = 1 this is `gumbel_max`. Carries no gradient.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
            -inf is never drawn, if at least k logits are finite.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.
        k: Number of categories to draw, 1 ≤ k < K.
        axis: Axis of the categories.

    Returns:
        int32 indices in the order drawn, of the shape of the logits with k
        entries on `axis`.

    Raises:
        TypeError: If the logits are not floating or k is not an integer.
        ValueError: If the axis or k is out of range, or K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> noise = [0.0, 0.0, 1.5]
    >>> tg.ops.gumbel_top_k([0.0, 1.0, 0.0], noise, k=2).numpy()
    array([2, 1], dtype=int32)

    Reference:
        Vieira. Gumbel-max trick and weighted reservoir sampling. 2014. Kool,
        van Hoof, Welling. Stochastic beams and where to find them. ICML 2019.
    """
    logits = finite_logits(_checks.categorical_logits(logits, axis))
    k = _checks.subset_size(k, logits.shape, axis)
    perturbed = logits + _checks.noise(noise, logits)
    return swap_last(_top_indices(perturbed, k, axis), axis)


def k_hot_top(values: tf.Tensor, k: int, axis: int) -> tf.Tensor:
    """k-hot of the k largest values; a row that holds NaN gives NaN."""
    one_hots = tf.one_hot(
        _top_indices(values, k, axis),
        tf.shape(values)[axis],
        dtype=values.dtype,
    )
    k_hot = swap_last(tf.reduce_sum(one_hots, axis=-2), axis)
    k_hot.set_shape(values.shape)
    return k_hot + nan_rows(values, axis)


def _top_indices(values: tf.Tensor, k: int, axis: int) -> tf.Tensor:
    """Indices of the k largest values, on the last axis."""
    return tf.math.top_k(swap_last(values, axis), k).indices
