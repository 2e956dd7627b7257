"""The relaxation of a subset drawn without replacement."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    nan_rows,
    nan_values,
    one_hot_argmax,
    without_infinity,
)
from tfgumbel.ops._surrogate import with_value
from tfgumbel.ops.gumbel_top_k import k_hot_top


def relaxed_top_k(
    logits: Any,
    noise: Any,
    *,
    k: int,
    temperature: Any = 1.0,
    hard: bool = False,
    axis: int = -1,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Relaxed k-hot sample of k out of K categories without replacement.

    The sum y = y¹ + … + y^k of k softmaxes, each over the keys that the ones
    before it have lowered:

        r¹ = logits + G,  y^j = softmax(r^j / τ),  r^{j+1} = r^j + log(1 - y^j)

    y sums to k and tends to the k-hot of the k largest keys, an exact sample,
    as τ → 0. At τ near 1 or above, an entry may exceed 1: a category that
    leads by far is chosen twice. With k = 1 this is `gumbel_softmax`.

    With `hard=True` the value is the k-hot itself, an exact sample (that of
    `gumbel_top_k`), and the gradient is that of y. Pathwise gradients of
    E f(y) are unbiased for the relaxed problem; for the discrete one they are
    biased, less so as τ falls, at the cost of variance. f must be
    differentiable. The backward pass holds k tensors of the logits' size.

    Args:
        logits: Unnormalised log-probabilities, with K categories on `axis`.
            -inf is allowed, while at least k logits are finite.
        noise: Standard Gumbel noise of the same shape, as from
            `tfgumbel.random.gumbel`.
        k: Size of the subset, 1 ≤ k < K.
        temperature: τ > 0, a number or a scalar tensor.
        hard: Whether to return k-hot values.
        axis: Axis of the categories.
        backward_temperature: Another τ for the gradient, as in
            `gumbel_softmax`; `None` for the same.

    Returns:
        A tensor of the shape and dtype of `logits`. Computed in float32 or
        wider. A row with NaN logits is NaN; no other row is.

    Raises:
        TypeError: If the logits are not floating or k is not an integer.
        ValueError: If the temperature is not positive (a bad temperature
            inside a graph gives NaN), the axis or k is out of range, or
            K < 2.

    Example:

    >>> import tfgumbel as tg
    >>> logits, noise = [0.0, 1.0, 2.0], [0.5, 0.0, 0.1]
    >>> tg.ops.relaxed_top_k(logits, noise, k=2, hard=True).numpy()
    array([0., 1., 1.], dtype=float32)

    Reference:
        Xie, Ermon. Reparameterizable subset sampling via continuous
        relaxations. IJCAI 2019.
    """
    logits = _checks.categorical_logits(logits, axis)
    k = _checks.subset_size(k, logits.shape, axis)
    working = in_working_precision(logits)
    noise = _checks.noise(noise, working)
    keys = without_infinity(working) + noise
    tau, backward = _checks.guarded_temperatures(
        temperature, backward_temperature, working.dtype
    )
    # NaN of a row, which the gradient has to bring back to all of the row.
    nan = nan_rows(working + noise, axis)
    sample = _relaxed(keys, k, backward + nan, axis)
    if hard:
        # A bad temperature must show in the value too.
        k_hot = k_hot_top(tf.stop_gradient(keys), k, axis) + nan_values(tau)
        sample = with_value(sample, k_hot)
    elif backward is not tau:
        value = _relaxed(tf.stop_gradient(keys), k, tau + nan, axis)
        sample = with_value(sample, value)
    return tf.cast(sample, logits.dtype)


def _relaxed(
    keys: tf.Tensor, k: int, temperature: tf.Tensor, axis: int
) -> tf.Tensor:
    scaled = keys / temperature
    total = softmax = tf.nn.softmax(scaled, axis=axis)
    for _ in range(k - 1):
        keys += _log_complement(scaled, softmax, axis)
        scaled = keys / temperature
        softmax = tf.nn.softmax(scaled, axis=axis)
        total += softmax
    return total


def _log_complement(
    scaled: tf.Tensor, softmax: tf.Tensor, axis: int
) -> tf.Tensor:
    """log(1 - softmax(scaled)), also where the softmax rounds to 1.

    There 1 - softmax is the share of all others, whose logarithm is a
    difference of logarithms.
    """
    largest = one_hot_argmax(scaled, axis) > 0
    others = tf.where(largest, scaled.dtype.min, scaled)
    rest = tf.reduce_logsumexp(others, axis=axis, keepdims=True)
    return tf.where(
        largest,
        tf.math.log_sigmoid(rest - scaled),
        tf.math.log1p(-tf.where(largest, tf.zeros_like(softmax), softmax)),
    )
