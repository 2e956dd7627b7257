"""The reparameterised Gaussian layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.layers._stochastic import StochasticLayer
from tfgumbel.ops.gaussian_tril import tril_size

INFERENCE = ("mean", "sample", "mode")
PARAMETERIZATIONS = (*ops.GAUSSIAN_PARAMETERIZATIONS, "tril")


@keras.saving.register_keras_serializable(package="tfgumbel")
class ReparamGaussian(StochasticLayer):
    """Gaussian sample z = μ + σ ε with pathwise gradients.

    The estimate of ∇E f(z) is unbiased; what follows must be differentiable.

    Args:
        parameterization: What the second input is: `"log_variance"`,
            `"log_stddev"`, `"softplus"` (σ = softplus of it), `"stddev"`, or
            `"tril"`: a full covariance over the last axis, z = μ + L ε, with
            L row by row as in `ops.gaussian_tril`.
        inference: What the layer returns when not training: `"mean"` or
            `"mode"` (both μ; draws nothing) or `"sample"`.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        parameters: Pair `(mean, scale)` of floating tensors of one shape;
            for `"tril"`, `[..., D]` and `[..., D (D + 1) / 2]`.
        training: Whether to draw a sample.

    Input shape:
        Two tensors `[B, ...]`.

    Output shape:
        That of the mean, in the layer's compute dtype. Computed in float32
        whatever the policy; log σ is clipped to [-30, 30], and σ from a
        softplus is e⁻³⁰ at least, so that no scale overflows.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> mean, log_variance = np.ones((2, 3), "float32"), np.zeros((2, 3), "f")
    >>> tg.ReparamGaussian()((mean, log_variance)).numpy()
    array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)

    Reference:
        Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
    """

    def __init__(
        self,
        parameterization: str = "log_variance",
        inference: str = "mean",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.parameterization = _checks.choice(
            "parameterization", parameterization, PARAMETERIZATIONS
        )
        self.inference = _checks.choice("inference", inference, INFERENCE)

    def call(self, parameters: Any, training: Any = None) -> tf.Tensor:
        """Returns a sample of the shape of the mean."""
        tril = self.parameterization == "tril"
        mean, scale = gaussian_parameters(parameters, tril)
        if not training and self._mode != "sample":
            return tf.cast(mean, self.compute_dtype)
        noise = random.normal(tf.shape(mean), self.next_seed())
        if tril:
            factor = ops.gaussian_tril(scale)
            z = ops.reparameterize_gaussian_tril(
                tf.cast(mean, factor.dtype), factor, noise
            )
        else:
            stddev = ops.gaussian_stddev(scale, self.parameterization)
            z = ops.reparameterize_gaussian(
                tf.cast(mean, stddev.dtype), stddev, noise
            )
        return tf.cast(z, self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the mean."""
        return previous_mask[0] if previous_mask is not None else None

    def compute_output_spec(
        self, parameters: Any, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of the mean, in the compute dtype."""
        tril = self.parameterization == "tril"
        mean, _ = gaussian_parameters(parameters, tril)
        return keras.KerasTensor(mean.shape, dtype=self.compute_dtype)

    def compute_output_shape(self, parameters_shape: Any) -> Any:
        """Returns the shape of the mean."""
        return parameters_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "parameterization": self.parameterization,
            "inference": self.inference,
        }


def gaussian_parameters(parameters: Any, tril: bool = False) -> tuple[Any, Any]:
    """Returns the pair (mean, scale), checked."""
    if not isinstance(parameters, (list, tuple)) or len(parameters) != 2:
        raise ValueError(
            "A Gaussian layer takes a pair (mean, scale) of tensors. "
            f"Received: {parameters!r}"
        )
    for name, tensor in zip(("mean", "scale"), parameters, strict=True):
        _checks.floating(name, tensor.dtype)
    mean, scale = parameters
    if tril:
        size = tril_size(scale.shape)
        expected = tf.TensorShape([*scale.shape[:-1], size])
        if not tf.TensorShape(mean.shape).is_compatible_with(expected):
            raise ValueError(
                "Arguments `mean` and `scale` must have shapes [..., D] and "
                "[..., D (D + 1) / 2]. Received: mean of shape "
                f"{tuple(mean.shape)} and scale of shape {tuple(scale.shape)}"
            )
        return mean, scale
    if not tf.TensorShape(mean.shape).is_compatible_with(scale.shape):
        raise ValueError(
            "Arguments `mean` and `scale` must have one shape. Received: "
            f"mean of shape {tuple(mean.shape)} and scale of shape "
            f"{tuple(scale.shape)}"
        )
    return mean, scale
