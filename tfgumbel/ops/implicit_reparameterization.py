"""Reparameterisation gradients without an inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import _checks

Function = Callable[[tf.Tensor], tf.Tensor]


def implicit_reparameterization(
    sample: Any,
    *,
    cdf: Function | None = None,
    standardize: Function | None = None,
) -> tf.Tensor:
    """A sample with the gradient ∇_φ z = -(∂S/∂z)⁻¹ ∇_φ S(z; φ).

    S is a standardisation: a function for which S(z; φ) has a distribution
    that does not depend on φ, such as the cdf of z. The estimate of ∇E f(z)
    is unbiased; f must be differentiable. Nothing is inverted, so z may come
    from any exact sampler, a rejection sampler or a mixture among them.

    The gradient is differentiable once more. Where S is flat to rounding,
    as a cdf far in a tail, the quotient is lost: standardise by a function
    that is well conditioned there, such as the logarithm of the cdf.

    Args:
        sample: z, a float tensor; each element a sample of a scalar
            distribution. Receives no gradient.
        cdf: Maps z to F(z; φ), element by element, in differentiable
            TensorFlow ops. The gradient reaches every tensor and variable φ
            that it uses.
        standardize: Another standardisation S instead, such as (z - μ) / σ.

    Returns:
        `sample`, to the bit, with the gradient above.

    Raises:
        TypeError: If the sample is not floating, or `cdf` or `standardize`
            is not callable.
        ValueError: Unless exactly one of `cdf` and `standardize` is given,
            and returns one value per element, which depends on it.

    Example:

    The Lindley distribution, (1 - p) Exponential(θ) + p Gamma(2, θ) with
    p = 1 / (1 + θ). The mixture is drawn, its cdf gives the gradient:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> theta = tf.constant(1.5)
    >>> first, second = tg.random.exponential([2, 100_000], seed=[1, 0])
    >>> pick = tg.random.uniform([100_000], seed=[2, 0])
    >>> def cdf(z):
    ...     return 1 - tf.exp(-theta * z) * (1 + theta * z / (1 + theta))
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(theta)
    ...     two = tf.cast(pick * (1 + theta) < 1, tf.float32)
    ...     z = (first + two * second) / theta
    ...     z = tg.ops.implicit_reparameterization(z, cdf=cdf)
    ...     mean = tf.reduce_mean(z)  # (θ + 2) / (θ (θ + 1))
    >>> round(float(mean), 2)
    0.93
    >>> round(float(tape.gradient(mean, theta)), 2)  # its derivative: -0.73
    -0.73

    Reference:
        Figurnov, Mohamed, Mnih. Implicit reparameterization gradients.
        NeurIPS 2018.
    """
    sample = _checks.floating_tensor("sample", sample)
    name, function = _the_one(cdf=cdf, standardize=standardize)
    # A step of Newton's method makes z follow S(z; φ) = constant to first
    # order in φ. The second starts from such a z, and is right to second.
    z = tf.stop_gradient(sample)
    for _ in range(2):
        z = _newton_step(z, *_value_and_slope(name, function, z))
    return z


def _the_one(**functions: Function | None) -> tuple[str, Function]:
    given = {n: f for n, f in functions.items() if f is not None}
    if len(given) != 1:
        names = " and ".join(f"`{name}`" for name in functions)
        raise ValueError(
            f"Give exactly one of the arguments {names}. Received: {functions}"
        )
    ((name, function),) = given.items()
    if not callable(function):
        raise TypeError(
            f"Argument `{name}` must be callable. Received: {name}={function!r}"
        )
    return name, function


def _value_and_slope(
    name: str, function: Function, z: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.convert_to_tensor(function(z))
    if not value.shape.is_compatible_with(z.shape):
        raise ValueError(
            f"Argument `{name}` must return one value for each element of the "
            f"sample, of shape {z.shape}. Received: values of shape "
            f"{value.shape}"
        )
    slope = tape.gradient(value, z)
    if slope is None:
        raise ValueError(
            f"What argument `{name}` returns must depend on the sample, "
            f"through differentiable ops. Received: {name}={function!r}"
        )
    return value, slope


@tf.custom_gradient
def _newton_step(z: tf.Tensor, value: tf.Tensor, slope: tf.Tensor) -> Any:
    """z - (S - constant) / slope, where S equals the constant."""

    def grad(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return upstream, -upstream / slope, tf.zeros_like(slope)

    return z, grad
