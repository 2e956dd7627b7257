"""Relaxed permutation matrices of a matrix of scores."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    LOWEST,
    in_working_precision,
    nan_values,
    without_infinity,
)
from tfgumbel.ops._surrogate import with_value
from tfgumbel.ops.maximal_matching import maximal_matching, square_matrices
from tfgumbel.ops.sample_permutation import permutation_matrix


def sinkhorn(logits: Any, *, iterations: int = 100) -> tf.Tensor:
    """The doubly stochastic matrix diag(a) exp(logits) diag(b).

    Rows and columns are normalised in turn, in log space. Columns come last
    and sum to one; rows do in the limit, the sooner the closer together the
    logits are.

    Args:
        logits: Log-weights, `[..., n, n]`. -inf is a zero of the matrix, if
            the others leave a permutation.
        iterations: How many times rows and columns are normalised.

    Returns:
        The matrix, in the shape and dtype of the logits. Computed in float32
        or wider. A matrix with NaN is NaN.

    Raises:
        TypeError: If the logits are not floating or iterations no integer.
        ValueError: If the matrices are not square or iterations is less than
            1.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.sinkhorn([[0.0, 0.0], [0.0, 0.0]]).numpy()
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)

    Reference:
        Sinkhorn. A relationship between arbitrary positive matrices and doubly
        stochastic matrices. 1964.
    """
    logits = square_matrices(logits)
    iterations = _checks.positive_integer("iterations", iterations)
    matrix = _sinkhorn(in_working_precision(logits), iterations)
    return tf.cast(matrix, logits.dtype)


def _sinkhorn(logits: tf.Tensor, iterations: int) -> tf.Tensor:
    """With NaN of an entry in all of its matrix."""
    logits = without_infinity(logits) + _nan_matrices(logits)

    return tf.exp(_normalised(logits, iterations))


def _normalised(logits: tf.Tensor, iterations: int) -> tf.Tensor:
    """The logarithm of the matrix.

    For the gradient only the sums of rows and columns are kept, from which it
    finds its way back: a step's inputs are its outputs and what was taken off.
    """

    @tf.custom_gradient
    def run(logits: tf.Tensor) -> Any:
        def normalise(step: tf.Tensor, log_p: tf.Tensor, *kept: Any) -> Any:
            row = tf.reduce_logsumexp(log_p, axis=-1, keepdims=True)
            log_p -= row
            column = tf.reduce_logsumexp(log_p, axis=-2, keepdims=True)
            kept = tuple(
                sums.write(step, new)
                for sums, new in zip(kept, (row, column), strict=True)
            )
            return step + 1, log_p - column, *kept

        kept = (
            tf.TensorArray(logits.dtype, iterations),
            tf.TensorArray(logits.dtype, iterations),
        )
        _, log_p, *kept = tf.while_loop(
            lambda step, *_: step < iterations,
            normalise,
            (0, logits, *kept),
            maximum_iterations=iterations,
        )
        rows, columns = (sums.stack() for sums in kept)

        def back(step: tf.Tensor, log_p: tf.Tensor, upstream: tf.Tensor) -> Any:
            total = tf.reduce_sum(upstream, axis=-2, keepdims=True)
            upstream -= tf.exp(log_p) * total
            log_p += columns[step]
            total = tf.reduce_sum(upstream, axis=-1, keepdims=True)
            upstream -= tf.exp(log_p) * total
            return step - 1, log_p + rows[step], upstream

        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return tf.while_loop(
                lambda step, *_: step >= 0,
                back,
                (iterations - 1, log_p, upstream),
                maximum_iterations=iterations,
            )[-1]

        return log_p, grad

    return run(logits)


def _nan_matrices(values: tf.Tensor) -> tf.Tensor:
    return nan_values(tf.reduce_sum(values, axis=[-2, -1], keepdims=True))


def gumbel_sinkhorn(
    logits: Any,
    noise: Any,
    *,
    temperature: Any = 1.0,
    iterations: int = 100,
    hard: bool = False,
    backward_temperature: Any = None,
) -> tf.Tensor:
    """Relaxed permutation matrix S((logits + G) / τ), S of `sinkhorn`.

    As τ → 0 it tends to the permutation of largest total weight of
    logits + G, which has no probability in closed form. With `hard=True` the
    value is that permutation, found by `maximal_matching`, and the gradient
    that of the relaxed matrix, a biased one.

    At τ = 1 and logits and noise of order one, 100 iterations leave rows that
    sum to one to 1e-4, but for a rare matrix; a small τ takes many more, and
    then rows are what is amiss.

    Args:
        logits: Scores of row i at column j, `[..., n, n]`.
        noise: Noise of the same shape: standard Gumbel, or zeros.
        temperature: τ > 0, a number or a scalar tensor.
        iterations: How many times rows and columns are normalised.
        hard: Whether to return the permutation matrix.
        backward_temperature: Another τ for the gradient, as in
            `gumbel_softmax`.

    Returns:
        `[..., n, n]` in the dtype of the logits. Computed in float32 or wider.
        A matrix with NaN is NaN.

    Raises:
        TypeError: If the logits are not floating or iterations no integer.
        ValueError: If the temperature is not positive (a bad one inside a
            graph gives NaN), the matrices are not square, the noise is not of
            their shape, or iterations is less than 1.

    Example:

    >>> import tfgumbel as tg
    >>> logits, noise = [[3.0, 0.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]
    >>> tg.ops.gumbel_sinkhorn(logits, noise, hard=True).numpy()
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Reference:
        Mena, Belanger, Linderman, Snoek. Learning latent permutations with
        Gumbel-Sinkhorn networks. ICLR 2018.
    """
    logits = square_matrices(logits)
    iterations = _checks.positive_integer("iterations", iterations)
    scores = in_working_precision(logits)
    scores += _checks.noise(noise, scores)
    tau = _checks.guarded_temperature(temperature, scores.dtype)
    # Lest derivatives in τ are NaN; those of NaN stay.
    finite = tf.where(scores < LOWEST, tf.cast(LOWEST, scores.dtype), scores)
    matrix = _sinkhorn(finite / tau, iterations)
    if backward_temperature is not None:
        backward = _checks.guarded_temperature(
            backward_temperature, scores.dtype, "backward_temperature"
        )
        matrix = with_value(_sinkhorn(finite / backward, iterations), matrix)
    if hard:
        value = permutation_matrix(maximal_matching(scores), dtype=scores.dtype)
        value += _nan_matrices(scores) + nan_values(tau)
        matrix = with_value(matrix, value)
    return tf.cast(matrix, logits.dtype)
