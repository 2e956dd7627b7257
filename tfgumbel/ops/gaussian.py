"""The Gaussian reparameterisation."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import (
    in_working_precision,
    of_one_shape,
    working_dtype,
)

GAUSSIAN_PARAMETERIZATIONS = (
    "log_variance",
    "log_stddev",
    "softplus",
    "stddev",
)

# exp(±30): far beyond any use, and its square and its inverse are finite.
_LOG_STDDEV_LIMIT = 30.0


def gaussian_stddev(
    scale: Any, parameterization: str = "log_variance"
) -> tf.Tensor:
    """Standard deviation from the tensor that parameterises it.

    Args:
        scale: log σ² (`"log_variance"`), log σ (`"log_stddev"`), the inverse
            softplus of σ (`"softplus"`), or σ > 0 itself (`"stddev"`).
        parameterization: Which of these `scale` is.

    Returns:
        σ, in float32 or wider. log σ is clipped to [-30, 30], so that
        neither σ² nor 1/σ² overflows; beyond, the gradient is zero. A σ from a
        softplus is e⁻³⁰ at least, without an upper bound, and `"stddev"` is
        taken as it is.

    Raises:
        ValueError: If the parameterization is unknown.

    Example:

    >>> import tfgumbel as tg
    >>> float(tg.ops.gaussian_stddev(0.0))
    1.0
    """
    _checks.choice(
        "parameterization", parameterization, GAUSSIAN_PARAMETERIZATIONS
    )
    scale = in_working_precision(_checks.floating_tensor("scale", scale))
    if parameterization == "stddev":
        return scale
    if parameterization == "softplus":
        return tf.nn.softplus(scale) + tf.exp(
            tf.cast(-_LOG_STDDEV_LIMIT, scale.dtype)
        )
    log_stddev = 0.5 * scale if parameterization == "log_variance" else scale
    return tf.exp(
        tf.clip_by_value(log_stddev, -_LOG_STDDEV_LIMIT, _LOG_STDDEV_LIMIT)
    )


def reparameterize_gaussian(mean: Any, stddev: Any, noise: Any) -> tf.Tensor:
    """Gaussian sample z = μ + σ ε, with pathwise gradients.

    ∂z/∂μ = 1 and ∂z/∂σ = ε: the estimate of ∇E f(z) is unbiased; f must be
    differentiable. Only the noise is kept for the backward pass.

    Args:
        mean: μ, float tensor of any shape.
        stddev: σ, as from `gaussian_stddev`.
        noise: Standard normal noise ε, as from `tfgumbel.random.normal`. The
            shapes of the three broadcast.

    Returns:
        z, in the dtype of `mean`. Computed in float32 or wider.

    Raises:
        TypeError: If the mean is not floating.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.reparameterize_gaussian([1.0], [2.0], noise=[-0.5]).numpy()
    array([0.], dtype=float32)

    Reference:
        Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
    """
    mean = _checks.floating_tensor("mean", mean)
    dtype = working_dtype(mean.dtype)

    @tf.custom_gradient
    def sample(mean, stddev, noise):
        def grad(upstream):
            return upstream, upstream * noise, upstream * stddev

        return mean + stddev * noise, grad

    tensors = (tf.cast(tensor, dtype) for tensor in (mean, stddev, noise))
    return tf.cast(sample(*of_one_shape(*tensors)), mean.dtype)
