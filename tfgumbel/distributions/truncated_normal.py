"""The normal distribution between two bounds."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import inside
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.distribution import Distribution, Parameters

# In widths of the interval. Beyond, float32 would not resolve it.
_LARGEST_SCALE = 100.0
_FARTHEST = 1000.0
# Of a finite bound: far widths of the interval remain finite.
_LARGEST = 1e30


@register("truncated_normal")
class TruncatedNormal(Distribution):
    """N(μ, σ²) given that it lies between the bounds.

    Between finite bounds μ is within 1000 widths of them, and σ at most 100
    widths.

    Args:
        bounds: Pair `(low, high)`, low < high; one may be infinite.
        fixed: As in `Distribution`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> truncated = tg.distributions.TruncatedNormal(bounds=(-1.0, 1.0))
    >>> q = truncated.constrain((tf.zeros([1, 1]), tf.zeros([1, 1])))
    >>> bool(abs(truncated.sample(q, [1, 2])) < 1.0)
    True
    """

    parameters: ClassVar = {"location": real, "scale": positive}
    options: ClassVar = ("bounds", "fixed")

    def __init__(self, *, bounds: Any = None, fixed: Any = ()) -> None:
        super().__init__(fixed=fixed)
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
            return location, scale
        location = tf.clip_by_value(
            location, low - _FARTHEST * width, high + _FARTHEST * width
        )
        return location, tf.minimum(scale, _LARGEST_SCALE * width)

    def _standardized(
        self, parameters: Parameters, origin: Any = None
    ) -> list[tf.Tensor]:
        """The bounds, in units of σ from the origin, by default μ."""
        location, scale = parameters
        origin = location if origin is None else origin
        return [
            (tf.cast(b, scale.dtype) - origin) / scale
            if math.isfinite(b)
            else tf.fill(tf.shape(scale), tf.cast(b, scale.dtype))
            for b in self.bounds
        ]

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        normal = noise(random.normal, location, seed)
        x = ops.truncated_normal_sample(low, high, normal)
        return inside(location + scale * x, *self.bounds)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        # E x is the density at the lower bound less that at the upper, their
        # ratio exp(-w m) of the width w and the middle m: m >= 0 here.
        right = low + high > 0.0
        near = tf.where(right, low, high)
        log_density = ops.truncated_normal_log_prob(
            near, low, high, near - low, high - near
        )
        shift = scale * tf.exp(log_density)
        width = self.bounds[1] - self.bounds[0]
        if math.isfinite(width):
            middle = 0.5 * tf.where(right, low + high, -low - high)
            shift *= -tf.math.expm1(-width / scale * middle)
        mean = location + tf.where(right, shift, -shift)
        return tf.clip_by_value(mean, *self.bounds)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.clip_by_value(parameters[0], *self.bounds)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        location, scale = parameters
        low, high = self._standardized(parameters)
        x = (sample - location) / scale
        to_low, to_high = self._standardized(parameters, sample)
        density = ops.truncated_normal_log_prob(x, low, high, -to_low, to_high)
        density -= tf.math.log(scale)
        outside = (sample < self.bounds[0]) | (sample > self.bounds[1])
        nothing = tf.math.log(tf.cast(~outside, x.dtype))
        return tf.where(outside, nothing, density)

    def get_config(self) -> dict[str, Any]:
        return {"bounds": self.bounds, **super().get_config()}


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
