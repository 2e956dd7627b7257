"""Reparameterised samples of continuous distributions."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.layers import _continuous
from tfgumbel.layers._stochastic import StochasticLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class ImplicitReparam(StochasticLayer):
    """Sample of a continuous distribution, with pathwise gradients.

    The gradient is that of the quantile function, by implicit differentiation
    where there is no explicit one: the estimate of ∇E f(z) is unbiased; what
    follows must be differentiable. Beta and Dirichlet samples are ratios of
    gamma samples, Student's t a ratio of a normal and a gamma sample, and
    have the gradients of these.

    | distribution | inputs (⁺ mapped by softplus) | inference | KL |
    |---|---|---|---|
    | `"gamma"` | concentration⁺, rate⁺ | mean, mode, sample | closed |
    | `"inverse_gaussian"` | mean⁺, shape⁺ | mean, mode, sample | closed |
    | `"beta"` | concentration1⁺, concentration0⁺ | mean, sample | closed |
    | `"dirichlet"` | concentration⁺ `[..., K]` | mean, sample | closed |
    | `"kumaraswamy"` | concentration1⁺, concentration0⁺ | mean, sample | MC |
    | `"logistic_normal"` | mean, stddev⁺ | median, sample | closed |
    | `"laplace"` | location, scale⁺ | mean, mode, sample | closed |
    | `"student_t"` | df⁺, location, scale⁺ | mode, sample | MC |
    | `"truncated_normal"` | location, scale⁺ | mean, mode, sample | MC |
    | `"von_mises"` | location, concentration⁺ | mean, mode, sample | closed |
    | `"mixture"` | logits, mean, stddev⁺, each `[..., K]` | mean, sample | MC |

    No input is invalid: ⁺ is softplus(min(x, e¹⁵)) + e⁻¹⁵, and the others are
    clipped to [-e²⁰, e²⁰], some 5·10⁸. `"logistic_normal"` is sigmoid(μ + σ ε)
    for each element, `"mixture"` one of K Gaussians, without the axis K,
    `"von_mises"` an angle in [-π, π]. MC: Monte Carlo, see `KLDivergence`.

    Samples lie strictly inside the support, in float32 or wider: those that
    underflow, as of a gamma variable of concentration 0.01, stop at the
    least normal number, where their gradient is zero. Half precision may
    round them to its bounds. A Student t sample ends 10^17 scales from its
    location. A truncated normal between finite bounds has its location
    within 1000 widths of them, and a scale of 100 widths at most.

    Gamma samples take the noise of 8 proposals and von Mises samples that of
    20, so that a draw is of fixed size: fewer than one in 10^9 finds all
    rejected. All works in graphs, under XLA and on GPUs. The gradient of a
    gamma sample, and what is made of it, cannot be differentiated again.

    Args:
        distribution: A name of the table.
        inference: What the layer returns when not training; the first of the
            table's is the default. All but `"sample"` draw nothing. The mode
            of a gamma variable of concentration below 1 is 0.
        bounds: Pair `(low, high)` of a truncated normal, one maybe infinite.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        parameters: Tuple of floating tensors of one shape, in the order of
            the table; or the tensor itself, for one parameter.
        training: Whether to draw a sample.

    Input shape:
        Tensors `[B, ...]`.

    Output shape:
        That of a parameter, without K for a mixture; in the layer's compute
        dtype, computed in float32 or wider whatever the policy.

    Raises:
        ValueError: If the distribution is unknown or discrete, or the
            parameters are not as many as the table says.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.ImplicitReparam("gamma", seed=1)
    >>> concentration, rate = np.ones((2, 3), "f"), np.ones((2, 3), "f")
    >>> layer((concentration, rate)).numpy()  # the mean
    array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)
    >>> z = layer((concentration, rate), training=True)
    >>> bool(np.all(z > 0))
    True

    Reference:
        Figurnov, Mohamed, Mnih. Implicit reparameterization gradients.
        NeurIPS 2018.
    """

    def __init__(
        self,
        distribution: str,
        inference: str | None = None,
        bounds: tuple[float, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self._distribution = _continuous.get(distribution, bounds)
        self.distribution = distribution
        modes = self._distribution.inference
        self.inference = _checks.choice(
            "inference", modes[0] if inference is None else inference, modes
        )
        self.bounds = getattr(self._distribution, "bounds", None)

    def call(self, parameters: Any, training: Any = None) -> tf.Tensor:
        """Returns a sample for each variable."""
        natural = self._distribution.constrain(parameters)
        mode = self._mode
        if training or mode == "sample":
            value = self._distribution.sample(natural, self.next_seed())
        else:
            value = getattr(self._distribution, mode)(natural)
        return tf.cast(value, self.compute_dtype)

    def log_prob(self, parameters: Any, value: Any) -> tf.Tensor:
        """Log-density of a value, in nats.

        Args:
            parameters: What the layer is called with.
            value: Tensor of the shape of a sample, in the support.

        Returns:
            One number per variable, in float32 or wider: of the shape of the
            value, without its last axis for a Dirichlet variable.
        """
        natural = self._distribution.constrain(parameters)
        value = tf.cast(tf.convert_to_tensor(value), natural[0].dtype)
        return self._distribution.log_prob(natural, value)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the first parameter."""
        if isinstance(previous_mask, (list, tuple)):
            return previous_mask[0]
        return previous_mask

    def compute_output_spec(
        self, parameters: Any, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of a sample, in the compute dtype."""
        first, *_ = self._distribution.check(parameters)
        shape = self._distribution.sample_shape(first.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, parameters_shape: Any) -> Any:
        """Returns the shape of a sample."""
        several = isinstance(parameters_shape[0], (list, tuple))
        first = parameters_shape[0] if several else parameters_shape
        return self._distribution.sample_shape(first)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": self.distribution,
            "inference": self.inference,
            "bounds": self.bounds,
        }
