"""The normal distribution between two bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import random
from tfgumbel.estimators.noise import noise
from tfgumbel.layers._continuous.distribution import (
    Continuous,
    Parameters,
)
from tfgumbel.ops._pathwise import (
    truncated_normal_log_prob,
    truncated_normal_sample,
)

# In widths of the interval. Beyond, float32 would not resolve it.
_LARGEST_SCALE = 100.0
_FARTHEST = 1000.0
# Of a finite bound: far widths of the interval remain finite.
_LARGEST = 1e30


class TruncatedNormal(Continuous):
    """N(μ, σ²) given that it lies between the bounds.

    Args:
        bounds: Pair `(low, high)`, low < high; one may be infinite.
    """

    parameters = ("location", "scale")
    positive = ("scale",)
    analytic = False

    def __init__(self, bounds: Any) -> None:
        self.bounds = _checked(bounds)
        finite = [bound for bound in self.bounds if math.isfinite(bound)]
        width = self.bounds[1] - self.bounds[0]
        self.standard = (
            sum(finite) / max(len(finite), 1),
            width if math.isfinite(width) else 1.0,
        )

    def constrain(self, inputs: Any) -> Parameters:
        location, scale = super().constrain(inputs)
        low, high = self.bounds
        width = high - low
        if math.isinf(width):
            return [location, scale]
        location = tf.clip_by_value(
            location, low - _FARTHEST * width, high + _FARTHEST * width
        )
        return [location, tf.minimum(scale, _LARGEST_SCALE * width)]

    def _standardized(self, parameters: Parameters) -> list[tf.Tensor]:
        """The bounds, in units of σ from μ."""
        location, scale = parameters
        return [
            (tf.cast(b, scale.dtype) - location) / scale
            if math.isfinite(b)
            else tf.fill(tf.shape(scale), tf.cast(b, scale.dtype))
            for b in self.bounds
        ]

    def sample(self, parameters: Parameters, seed: tf.Tensor) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        normal = noise(random.normal, location, seed)
        x = truncated_normal_sample(low, high, normal)
        return tf.clip_by_value(location + scale * x, *self.bounds)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        # E x is the density at the lower bound less that at the upper.
        density = [
            tf.exp(truncated_normal_log_prob(bound, low, high))
            for bound in (low, high)
        ]
        mean = location + scale * (density[0] - density[1])
        return tf.clip_by_value(mean, *self.bounds)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.clip_by_value(parameters[0], *self.bounds)

    def log_prob(self, parameters: Parameters, value: tf.Tensor) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        x = (value - location) / scale
        density = truncated_normal_log_prob(x, low, high) - tf.math.log(scale)
        outside = (value < self.bounds[0]) | (value > self.bounds[1])
        return tf.where(outside, tf.cast(-math.inf, x.dtype), density)


def _checked(bounds: Any) -> tuple[float, float]:
    """The pair of bounds, if float32 tells them apart."""
    try:
        low, high = (float(bound) for bound in bounds)
        apart = bool(np.float32(low) < np.float32(high))
        near = all(abs(b) < _LARGEST for b in (low, high) if math.isfinite(b))
    except (TypeError, ValueError, OverflowError):
        apart = near = False
    if not (apart and near):
        raise ValueError(
            "Argument `bounds` must be a pair (low, high) of numbers with "
            f"low < high, infinite or below {_LARGEST:g} in size. "
            f"Received: bounds={bounds!r}"
        )
    return low, high
