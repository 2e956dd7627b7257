"""The reparameterised Gaussian layer."""

from __future__ import annotations

from typing import Any

import keras

from tfgumbel import distributions
from tfgumbel.layers.implicit_reparam import ImplicitReparam


@keras.saving.register_keras_serializable(package="tfgumbel")
class ReparamGaussian(ImplicitReparam):
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
        softplus is e⁻³⁰ at least.

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
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        gaussian = distributions.Gaussian(parameterization=parameterization)
        super().__init__(gaussian, inference, seed=seed, **kwargs)
        self.parameterization = parameterization

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["distribution"]
        return {**config, "parameterization": self.parameterization}
