"""What a continuous distribution has to tell a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.ops._precision import in_working_precision

# So that quotients of parameters, their squares and the gradients of these
# are finite.
_LARGEST_SCALE = math.exp(15.0)
_FARTHEST = math.exp(20.0)

Parameters = list[tf.Tensor]


class Continuous:
    """One distribution: parameters, sampler, log-density, divergence.

    Attributes:
        parameters: Names of the parameters, in the order of the inputs.
        positive: Those that the softplus makes positive.
        inference: What it can return without training, the default first.
        standard: The default prior, in natural parameters.
        analytic: Whether `kl` is in closed form.
        event_rank: 1 if the last axis of a sample is one variable.
        component_axis: Whether the last axis of the parameters is that of
            components, which a sample has not.
    """

    parameters: tuple[str, ...]
    positive: tuple[str, ...] = ()
    inference: tuple[str, ...] = ("mean", "mode", "sample")
    standard: tuple[Any, ...]
    analytic = True
    event_rank = 0
    component_axis = False

    def check(self, inputs: Any) -> list[Any]:
        """Returns the unconstrained parameters as a list, checked."""
        tensors = (
            list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        )
        if len(tensors) != len(self.parameters):
            raise ValueError(
                f"This distribution takes a tuple of {len(self.parameters)} "
                f"tensors, ({', '.join(self.parameters)}). "
                f"Received: {len(tensors)} tensor(s)"
            )
        first = tensors[0]
        for name, tensor in zip(self.parameters, tensors, strict=True):
            _checks.floating(name, tensor.dtype)
            shape = tf.TensorShape(tensor.shape)
            if not shape.is_compatible_with(first.shape):
                raise ValueError(
                    f"The parameters {', '.join(self.parameters)} must have "
                    f"one shape. Received: {name} of shape "
                    f"{tuple(tensor.shape)} and {self.parameters[0]} of shape "
                    f"{tuple(first.shape)}"
                )
        if self.event_rank or self.component_axis:
            _checks.categorical_shape(first.shape, -1, self.parameters[0])
        return tensors

    def constrain(self, inputs: Any) -> Parameters:
        """Maps the unconstrained inputs to natural parameters."""
        tensors = map(tf.convert_to_tensor, self.check(inputs))
        return [
            positive(tensor) if name in self.positive else finite(tensor)
            for name, tensor in zip(
                self.parameters, map(in_working_precision, tensors), strict=True
            )
        ]

    def sample_shape(self, shape: Any) -> Any:
        """Shape of a sample, from that of a parameter."""
        return tuple(shape[:-1] if self.component_axis else shape)

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        """Draws one sample for each variable."""
        raise NotImplementedError

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        """Log-density per variable."""
        return self.tfp(parameters).log_prob(value)

    def tfp(self, parameters: Parameters) -> Any:
        """The distribution in TensorFlow Probability."""
        raise NotImplementedError

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        """Closed-form KL divergence per variable."""
        return self.tfp(parameters).kl_divergence(self.tfp(prior))

    def log_ratio(
        self, q: Parameters, p: Parameters, seed: tf.Tensor
    ) -> tf.Tensor:
        """log q(z) - log p(z) at a sample z of q, per variable."""
        z = self.sample(q, seed)
        return self.log_prob(q, z) - self.log_prob(p, z)


def positive(tensor: tf.Tensor) -> tf.Tensor:
    """softplus(min(x, e¹⁵)) + e⁻¹⁵."""
    tensor = tf.clip_by_value(tensor, -_LARGEST_SCALE, _LARGEST_SCALE)
    smallest = tf.cast(1.0 / _LARGEST_SCALE, tensor.dtype)
    return tf.nn.softplus(tensor) + smallest


def finite(tensor: tf.Tensor) -> tf.Tensor:
    """Clipped to [-e²⁰, e²⁰]."""
    return tf.clip_by_value(tensor, -_FARTHEST, _FARTHEST)


def finite_exp(log_value: tf.Tensor) -> tf.Tensor:
    """The exponential, kept above 0 and finite; beyond, the gradient is 0."""
    limit = -math.log(np.finfo(log_value.dtype.as_numpy_dtype).tiny) - 1e-3
    return tf.exp(tf.clip_by_value(log_value, -limit, limit))


def inside_unit(value: tf.Tensor) -> tf.Tensor:
    """Clipped to (0, 1); where it is, the gradient is 0."""
    info = np.finfo(value.dtype.as_numpy_dtype)
    return tf.clip_by_value(value, info.tiny, 1.0 - info.epsneg)
