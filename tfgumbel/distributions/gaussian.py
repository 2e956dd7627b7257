"""Gaussian variables, independent or of full covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import in_working_precision
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.capabilities import (
    Scored,
    WeakDerivative,
    WeaklyDifferentiable,
)
from tfgumbel.distributions.distribution import Distribution, Parameters

# Of a prior, so that squares of quotients are finite.
_FAR = 1e15
PARAMETERIZATIONS = (*ops.GAUSSIAN_PARAMETERIZATIONS, "tril")


@register("gaussian")
class Gaussian(Distribution):
    """N(μ, σ²) of each coordinate, or N(μ, L Lᵀ) of the last axis.

    Args:
        parameterization: What the second tensor is: `"log_variance"`,
            `"log_stddev"`, `"softplus"` (σ = softplus of it), `"stddev"`, or
            `"tril"`, the lower triangle L row by row as in `ops.gaussian_tril`.
            log σ is clipped to [-30, 30].
        fixed: As in `Distribution`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> gaussian = tg.distributions.Gaussian()
    >>> mean, stddev = gaussian.constrain((tf.ones([1, 2]), tf.zeros([1, 2])))
    >>> stddev.numpy()
    array([[1., 1.]], dtype=float32)
    """

    parameters: ClassVar = {
        "mean": in_working_precision,
        "scale": in_working_precision,
    }
    standard: Sequence[Any] = (0.0, 1.0)
    options: ClassVar = ("parameterization", "fixed")

    def __init__(
        self, *, parameterization: str = "log_variance", fixed: Any = ()
    ) -> None:
        super().__init__(fixed=fixed)
        self.parameterization = _checks.choice(
            "parameterization", parameterization, PARAMETERIZATIONS
        )
        self.full = parameterization == "tril"
        self.event_rank = int(self.full)

    def check(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            raise ValueError(
                "A Gaussian takes a pair (mean, scale) of tensors. "
                f"Received: {inputs!r}"
            )
        return super().check(inputs)

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        mean, scale = map(tf.TensorShape, shapes)
        expected, form = scale, "one shape"
        if self.full:
            form = "shapes [..., D] and [..., D (D + 1) / 2]"
            size = ops.gaussian_tril_size(scale)
            expected = tf.TensorShape([*scale[:-1], size])
        if not mean.is_compatible_with(expected):
            raise ValueError(
                f"Arguments `mean` and `scale` must have {form}. Received: "
                f"mean of shape {tuple(mean)} and scale of shape "
                f"{tuple(scale)}"
            )

    def constrain(self, inputs: Any) -> Parameters:
        """Returns μ, and σ or L."""
        mean, scale = super().constrain(inputs)
        if self.full:
            scale = ops.gaussian_tril(scale)
        else:
            scale = ops.gaussian_stddev(scale, self.parameterization)
        return mean, scale

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        mean, scale = parameters
        normal = noise(random.normal, mean, seed)
        if self.full:
            return ops.reparameterize_gaussian_tril(mean, scale, normal)
        return ops.reparameterize_gaussian(mean, scale, normal)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        mean, scale = parameters
        if self.full:
            return ops.gaussian_tril_log_prob(mean, scale, sample)
        log_scale = tf.math.log(scale) + 0.5 * math.log(2.0 * math.pi)
        return -0.5 * tf.square((sample - mean) / scale) - log_scale

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return parameters[0]

    mode = mean

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        """With a prior (μ₀, σ₀); of full covariance, (μ₀, L₀) too."""
        mean, scale = parameters
        if not self.full:
            return ops.gaussian_kl(mean, scale, *prior)
        if prior[1].shape.rank == scale.shape.rank:
            return ops.gaussian_tril_kl(
                mean, scale, prior[0], prior_scale_tril=prior[1]
            )
        return ops.gaussian_tril_kl(mean, scale, *prior)

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        """Broadcasts μ₀ and σ₀ to μ, for a full covariance."""
        if not self.full:
            return tuple(prior)
        shape = tf.shape(parameters[0])
        return tuple(tf.broadcast_to(part, shape) for part in prior)

    def check_prior(
        self, prior: Sequence[Any], shapes: Sequence[Any], argument: str
    ) -> None:
        for part in prior:
            _checks.broadcastable(argument, part, shapes[0])

    def refuse_prior(self, name: str, value: np.ndarray) -> str | None:
        if not np.all(np.abs(value) < _FAR):
            return f"below {_FAR:g} in size"
        if name == "scale" and np.any(value <= 1.0 / _FAR):
            return f"positive, above {1.0 / _FAR:g}"
        return None

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        mean, stddev = parameters
        scaled = (sample - mean) / stddev
        return scaled / stddev, (tf.square(scaled) - 1.0) / stddev

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        mean, stddev = parameters
        first, second, third = random.split(seed, 3)
        rayleigh = stddev * tf.sqrt(
            2.0 * noise(random.exponential, mean, first)
        )
        normals = noise(random.normal, mean, second, 3)
        # A double-sided Maxwell variable, and U times it: a standard normal.
        double = stddev * tf.sign(normals[0]) * tf.norm(normals, axis=0)
        single = double * noise(random.uniform, mean, third)
        found = {
            "mean": WeakDerivative(
                1.0 / (stddev * math.sqrt(2.0 * math.pi)),
                mean + rayleigh,
                mean - rayleigh,
            ),
            "scale": WeakDerivative(1.0 / stddev, mean + double, mean + single),
        }
        return {name: found[name] for name in self.learned()}

    def lacks(self, capability: type) -> str | None:
        if self.full and capability in (Scored, WeaklyDifferentiable):
            return "there is none with parameterization='tril'"
        return super().lacks(capability)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.parameterization == "log_variance":
            return config
        return {"parameterization": self.parameterization, **config}
