"""One-hot samples with a gradient that is not that of any relaxation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    nan_rows,
    transposed,
    without_infinity,
)

Gradient = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A member of the straight-through family: how a sample gets a gradient.

    Attributes:
        op: Maps logits and a one-hot sample of theirs (and, with `noise`,
            Gumbel noise `[M, *logits.shape]`) to the sample with the gradient;
            takes `axis`, and `temperature` if it has one.
        temperature: Whether the gradient has a temperature.
        noise: Whether it is an average over noise.
        bernoulli: The same for Bernoulli log-odds, where it is cheaper than
            by two categories; `None` otherwise.
        index_gradient: The gradient for a sample given by its index, for
            `straight_through_embedding`: maps a block of rows and the
            temperature to the gradient in the logits; `None` if it is made
            of `op`.
    """

    op: Callable[..., tf.Tensor]
    temperature: bool = True
    noise: bool = False
    bernoulli: Callable[..., tf.Tensor] | None = None
    index_gradient: Callable[..., tf.Tensor] | None = None


SURROGATES: dict[str, Surrogate] = {}
"""The straight-through family by name."""


def surrogate(
    name: str, **options: Any
) -> Callable[[Callable[..., tf.Tensor]], Callable[..., tf.Tensor]]:
    """Decorator that declares an op a member of the family, by this name.

    With the options of `Surrogate`. The one declaration of a member: layers
    and estimators take it from `SURROGATES`.
    """

    def declare(op: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        SURROGATES[name] = Surrogate(op, **options)
        return op

    return declare


def with_gradient(
    logits: tf.Tensor, sample: Any, axis: int, gradient: Gradient
) -> tf.Tensor:
    """The sample, with `gradient` as its gradient in the logits.

    Args:
        logits: Logits, checked, with the categories on `axis`.
        sample: One-hot sample of the same shape.
        axis: Axis of the categories.
        gradient: Maps finite logits, the sample and the incoming gradient,
            with the categories on the last axis, to the gradient.

    Returns:
        `sample` in the dtype of the logits. A row with NaN logits is NaN.
    """
    working = in_working_precision(logits)
    sample = _checks.of_logits("sample", sample, working)

    @tf.custom_gradient
    def pass_through(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            # After `tf.py_function` it tells no shape.
            upstream = _checks.of_logits("upstream", upstream, logits)
            tensors = (without_infinity(logits), sample, upstream)
            moved = [swap_last(tensor, axis) for tensor in tensors]
            return swap_last(gradient(*moved), axis)

        # A derivative inside would be taken for that of the whole, forwards.
        return tf.stop_gradient(sample + nan_rows(logits, axis)), grad

    return tf.cast(pass_through(working), logits.dtype)


def with_value(surrogate: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The value, exactly, with the gradient of the surrogate."""

    @tf.custom_gradient
    def pass_through(surrogate: tf.Tensor) -> Any:
        return tf.stop_gradient(value), lambda upstream: upstream

    return pass_through(surrogate)


def softmax_jacobian(p: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """J(p) g = p (g - pᵀg), along the last axis."""
    mean = tf.reduce_sum(p * upstream, axis=-1, keepdims=True)
    return p * (upstream - mean)


def swap_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Exchanges `axis` and the last axis."""
    order = list(range(tensor.shape.rank))
    order[axis], order[-1] = order[-1], order[axis]
    return transposed(tensor, order)
