"""Relaxed permutation matrices of scores: SoftSort and NeuralSort."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    finite_logits,
    in_working_precision,
    nan_rows,
    nan_values,
)
from tfgumbel.ops._surrogate import with_value
from tfgumbel.ops.plackett_luce_log_prob import item_logits
from tfgumbel.ops.sample_permutation import descending, permutation_matrix


def soft_sort(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    hard: bool = False,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Relaxed permutation matrix of scores s = logits + G: SoftSort.

        P̂[t, j] = softmax_j(-|s_(t) - s_j| / τ),  s_(t) the t-th largest.

    Rows sum to one, and their largest entries stand where those of the
    permutation do. As τ → 0, P̂ tends to the matrix of the descending order
    of s: with standard Gumbel noise, to an exact sample of the Plackett-Luce
    distribution; without (zeros), to the mode. With `hard=True` the value is
    that matrix itself and the gradient that of P̂, a biased one.

    Args:
        logits: Scores of the items, `[..., n]`. -inf stands last.
        noise: Noise of the same shape: standard Gumbel, or zeros.
        temperature: τ > 0, a number or a scalar tensor.
        hard: Whether to return the permutation matrix.
        backward_temperature: Another τ for the gradient, as in
            `gumbel_softmax`.

    Returns:
        `[..., n, n]`, in the dtype of the logits: row t says which item stands
        at place t. Computed in float32 or wider. An example with NaN is NaN.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad one inside a
            graph gives NaN), the logits have no axis, or the noise is not of
            their shape.

    Example:

    >>> import tfgumbel as tg
    >>> scores, noise = [1.0, 9.0], [0.0, 0.0]
    >>> tg.ops.soft_sort(scores, noise, temperature=0.5).numpy().round(2)
    array([[0., 1.],
           [1., 0.]], dtype=float32)

    Reference:
        Prillo, Eisenschlos. SoftSort: a continuous relaxation for the argsort
        operator. ICML 2020.
    """
    logits = item_logits(logits)
    working = in_working_precision(logits)
    noise = _checks.noise(noise, working)
    scores = finite_logits(working) + noise
    # NaN of an item, which the gradient has to bring back to all of them.
    nan = nan_rows(working + noise, -1)[..., None]
    taus = _temperatures(temperature, backward_temperature, nan)
    matrix = _sorting_matrix(scores)
    # No product of matrices, which a GPU rounds to 11 bits.
    ordered = tf.reduce_sum(matrix * scores[..., None, :], axis=-1)
    distance = tf.abs(ordered[..., :, None] - scores[..., None, :])
    return tf.cast(_finished(-distance, matrix, taus, hard), logits.dtype)


def neural_sort(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    hard: bool = False,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Relaxed permutation matrix of scores s = logits + G: NeuralSort.

        P̂[t, j] = softmax_j(((n + 1 - 2t) s_j - Σ_l |s_j - s_l|) / τ),

    t = 1 … n. Otherwise as `soft_sort`, except that a -inf gives NaN.

    Args:
        logits: Scores of the items, `[..., n]`, finite.
        noise: Noise of the same shape: standard Gumbel, or zeros.
        temperature: τ > 0, a number or a scalar tensor.
        hard: Whether to return the permutation matrix.
        backward_temperature: Another τ for the gradient, as in
            `gumbel_softmax`.

    Returns:
        `[..., n, n]`, in the dtype of the logits: row t says which item stands
        at place t. Computed in float32 or wider. An example with NaN is NaN.

    Raises:
        TypeError: If the logits are not floating.
        ValueError: If the temperature is not positive (a bad one inside a
            graph gives NaN), the logits have no axis, or the noise is not of
            their shape.

    Example:

    >>> import tfgumbel as tg
    >>> scores, noise = [1.0, 9.0], [0.0, 0.0]
    >>> tg.ops.neural_sort(scores, noise, temperature=0.5).numpy().round(2)
    array([[0., 1.],
           [1., 0.]], dtype=float32)

    Reference:
        Grover, Wang, Zweig, Ermon. Stochastic optimization of sorting networks
        via continuous relaxations. ICLR 2019.
    """
    logits = item_logits(logits)
    scores = in_working_precision(logits)
    scores += _checks.noise(noise, scores)
    # NaN of an item, and of inf - inf, in all of them.
    nan = nan_rows(scores - scores, -1)[..., None]
    taus = _temperatures(temperature, backward_temperature, nan)
    n = logits.shape[-1]
    distance = tf.abs(scores[..., :, None] - scores[..., None, :])
    spread = tf.reduce_sum(distance, axis=-1)
    place = tf.range(n - 1, -n, -2, dtype=scores.dtype)
    keys = place[:, None] * scores[..., None, :] - spread[..., None, :]
    matrix = _sorting_matrix(scores)
    return tf.cast(_finished(keys, matrix, taus, hard), logits.dtype)


def _sorting_matrix(scores: tf.Tensor) -> tf.Tensor:
    """The permutation matrix that sorts the scores, a constant."""
    order = descending(tf.stop_gradient(scores))
    return permutation_matrix(order, dtype=scores.dtype)


def _temperatures(
    temperature: Any, backward_temperature: Any, nan: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """τ and that of the gradient; NaN in bad examples."""
    tau, backward = _checks.guarded_temperatures(
        temperature, backward_temperature, nan.dtype
    )
    shown = tau + nan
    return shown, shown if backward is tau else backward + nan


def _finished(
    keys: tf.Tensor,
    matrix: tf.Tensor,
    taus: tuple[tf.Tensor, tf.Tensor],
    hard: bool,
) -> tf.Tensor:
    """The soft or the hard matrix; what is amiss with τ shows."""
    tau, backward = taus
    soft = tf.nn.softmax(keys / backward)
    if hard:
        return with_value(soft, matrix + nan_values(tau))
    if backward is tau:
        return soft
    return with_value(soft, tf.nn.softmax(keys / tau))
