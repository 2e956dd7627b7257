"""Laws of independent real or integer variables, for the estimators.

| distribution | parameters | sample |
|---|---|---|
| `"gaussian"` | (μ, log σ²) | real |
| `"exponential"` | log rate λ | ≥ 0 |
| `"gamma"` | (concentration α, log rate λ) | ≥ 0 |
| `"weibull"` | (concentration k, log scale λ) | ≥ 0 |
| `"poisson"` | log rate λ | 0, 1, 2, ... |
| `"binomial"` | (total count n, logits) | 0, 1, ..., n |

Each parameter is a tensor `[B, ...]`; α, k and n are constants, given as they
are and without a gradient. Inside the estimators the parameters of a law are
one tensor: packed on a last axis of their own, or the tensor itself where
there is one.

`weak_derivative` decomposes the derivative of the density: for each learned
parameter φ, a constant c and samples x⁺, x⁻ such that

    d/dφ E f(x) = E[c (f(x⁺) - f(x⁻))],

the two coupled by common noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.estimators.noise import log_gamma

NAMES = ("gaussian", "exponential", "gamma", "weibull", "poisson", "binomial")
PATHWISE = ("gaussian", "exponential", "gamma", "weibull")

# exp(±30): far beyond any use, and its square is finite.
_LOG_LIMIT = 30.0


class WeakDerivative(NamedTuple):
    """c, x⁺ and x⁻, each of the shape of the sample."""

    constant: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


class Univariate:
    """What the laws have in common: how parameters become one tensor.

    Attributes:
        parameters: Their names.
        held: How many of them, the first ones, are constants.
    """

    parameters: ClassVar[tuple[str, ...]]
    held: ClassVar[int] = 0

    def prepare(self, parameters: Any) -> tf.Tensor:
        """Returns the parameters as one float32 tensor."""
        count = len(self.parameters)
        if not isinstance(parameters, (tuple, list)):
            packed = tf.convert_to_tensor(parameters)
            if count > 1 and (
                not packed.shape.rank or packed.shape[-1] != count
            ):
                raise ValueError(self._expected(f"shape {packed.shape}"))
            _checks.floating(self.parameters[-1], packed.dtype)
            _checks.variables(self.parameters[-1], self._sample_shape(packed))
            return tf.cast(packed, tf.float32)
        if len(parameters) != count:
            raise ValueError(self._expected(f"{len(parameters)} tensors"))
        parts = [tf.convert_to_tensor(part) for part in parameters]
        shape = functools.reduce(_joined, [part.shape for part in parts])
        for name, part in zip(self.parameters, parts, strict=True):
            _checks.floating(name, part.dtype)
            _checks.broadcastable(name, part.shape, shape)
        _checks.variables(self.parameters[-1], shape)
        return self.pack([tf.cast(part, tf.float32) for part in parts])

    def _sample_shape(self, packed: tf.Tensor) -> tf.TensorShape:
        return packed.shape if len(self.parameters) == 1 else packed.shape[:-1]

    def pack(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """One tensor from one per parameter, constants held."""
        parts = [
            tf.stop_gradient(part) if index < self.held else part
            for index, part in enumerate(parts)
        ]
        if len(parts) == 1:
            return parts[0]
        like = tf.zeros_like(parts[0]) + tf.zeros_like(parts[-1])
        return tf.stack([part + like for part in parts], axis=-1)

    def unpack(self, packed: tf.Tensor) -> list[tf.Tensor]:
        """The parameters, one tensor each."""
        if len(self.parameters) == 1:
            return [packed]
        parts = tf.unstack(packed, num=len(self.parameters), axis=-1)
        return [tf.stop_gradient(p) for p in parts[: self.held]] + parts[
            self.held :
        ]

    def gradient(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Packs gradients of the learned parameters; constants get zero."""
        return self.pack([tf.zeros_like(parts[0])] * self.held + list(parts))

    def variables(self, shape: Any) -> int | None:
        """Number of variables of an example, from the packed shape."""
        inner = tf.TensorShape(shape)[1:]
        if len(self.parameters) > 1:
            inner = inner[:-1]
        return inner.num_elements()

    def _expected(self, received: str) -> str:
        names = ", ".join(self.parameters)
        return (
            f"The parameters of this distribution are ({names}), a tuple of "
            f"tensors [B, ...]. Received: {received}"
        )


def _joined(shape: tf.TensorShape, other: tf.TensorShape) -> tf.TensorShape:
    """The shape to which both broadcast, or the first."""
    try:
        return tf.broadcast_static_shape(shape, other)
    except ValueError:
        return shape


def _shape(packed: tf.Tensor) -> tf.Tensor:
    return tf.shape(packed)[:-1]


def _exp(log: tf.Tensor) -> tf.Tensor:
    return tf.exp(tf.clip_by_value(log, -_LOG_LIMIT, _LOG_LIMIT))


def _sum(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


class Gaussian(Univariate):
    """N(μ, σ²); log σ is clipped to [-30, 30]."""

    parameters = ("mean", "log_variance")

    def _split(self, packed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_variance = self.unpack(packed)
        return mean, ops.gaussian_stddev(log_variance)

    def pathwise(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        mean, stddev = self._split(packed)
        return mean + stddev * random.normal(_shape(packed), seed)

    sample = pathwise

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return _sum(ops.gaussian_log_prob(*self._split(packed), sample))

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        mean, stddev = self._split(packed)
        scaled = (sample - mean) / stddev
        return self.gradient([scaled / stddev, 0.5 * (scaled**2 - 1.0)])

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        mean, stddev = self._split(packed)
        first, second, third = random.split(seed, 3)
        shape = _shape(packed)
        rayleigh = stddev * tf.sqrt(2.0 * random.exponential(shape, first))
        size = tf.concat([[3], shape], axis=0)
        normals = random.normal(size, second)
        # A double-sided Maxwell variable, and U times it: a standard normal.
        maxwell = tf.sign(normals[0]) * tf.norm(normals, axis=0)
        double = stddev * maxwell
        single = double * random.uniform(shape, third)
        return [
            WeakDerivative(
                1.0 / (stddev * math.sqrt(2.0 * math.pi)),
                mean + rayleigh,
                mean - rayleigh,
            ),
            WeakDerivative(tf.fill(shape, 0.5), mean + double, mean + single),
        ]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        return self.unpack(packed)[0]

    harden = mean


class Exponential(Univariate):
    """Density λ exp(-λ z)."""

    parameters = ("log_rate",)

    def pathwise(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        return random.exponential(tf.shape(packed), seed) * _exp(-packed)

    sample = pathwise

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return _sum(packed - _exp(packed) * sample)

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return 1.0 - _exp(packed) * sample

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        # ∂/∂log λ: Exp(λ) against the sum of two, with the first in common.
        first, second = random.split(seed, 2)
        one = self.sample(packed, first)
        two = one + self.sample(packed, second)
        return [WeakDerivative(tf.ones_like(packed), one, two)]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        return _exp(-packed)

    def harden(self, packed: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(packed)


class Gamma(Univariate):
    """Density λ^α z^(α-1) exp(-λ z) / Γ(α)."""

    parameters = ("concentration", "log_rate")
    held = 1

    def pathwise(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        concentration, log_rate = self.unpack(packed)
        log_rate = tf.clip_by_value(log_rate, -_LOG_LIMIT, _LOG_LIMIT)
        return tf.exp(log_gamma(concentration, seed) - log_rate)

    sample = pathwise

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        alpha, log_rate = self.unpack(packed)
        log_sample = tf.math.log(tf.maximum(sample, 1e-37))
        kernel = alpha * log_rate + (alpha - 1.0) * log_sample
        return _sum(kernel - _exp(log_rate) * sample - tf.math.lgamma(alpha))

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        alpha, log_rate = self.unpack(packed)
        return self.gradient([alpha - _exp(log_rate) * sample])

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        # Gamma(α) against Gamma(α + 1), its sum with an exponential.
        first, second = random.split(seed, 2)
        alpha, log_rate = self.unpack(packed)
        lower = self.sample(packed, first)
        more = random.exponential(_shape(packed), second) * _exp(-log_rate)
        return [WeakDerivative(alpha, lower, lower + more)]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        alpha, log_rate = self.unpack(packed)
        return alpha * _exp(-log_rate)

    def harden(self, packed: tf.Tensor) -> tf.Tensor:
        alpha, log_rate = self.unpack(packed)
        return tf.maximum(alpha - 1.0, 0.0) * _exp(-log_rate)


class Weibull(Univariate):
    """P(z > x) = exp(-(x / λ)^k)."""

    parameters = ("concentration", "log_scale")
    held = 1

    def _power(self, packed: tf.Tensor, standard: tf.Tensor) -> tf.Tensor:
        concentration, log_scale = self.unpack(packed)
        return _exp(log_scale) * tf.pow(standard, 1.0 / concentration)

    def pathwise(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        noise = random.exponential(_shape(packed), seed)
        return self._power(packed, noise)

    sample = pathwise

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        k, log_scale = self.unpack(packed)
        log_ratio = tf.math.log(tf.maximum(sample, 1e-37)) - log_scale
        density = tf.math.log(k) - log_scale + (k - 1.0) * log_ratio
        return _sum(density - tf.exp(k * log_ratio))

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        k, log_scale = self.unpack(packed)
        return self.gradient([k * (tf.pow(sample * _exp(-log_scale), k) - 1.0)])

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        # (z/λ)^k is exponential: the sum of two against the first of them.
        first, second = random.split(seed, 2)
        shape = _shape(packed)
        one = random.exponential(shape, first)
        two = one + random.exponential(shape, second)
        return [
            WeakDerivative(
                self.unpack(packed)[0],
                self._power(packed, two),
                self._power(packed, one),
            )
        ]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        k, log_scale = self.unpack(packed)
        return _exp(log_scale + tf.math.lgamma(1.0 + 1.0 / k))

    def harden(self, packed: tf.Tensor) -> tf.Tensor:
        k = self.unpack(packed)[0]
        return self._power(packed, tf.maximum(1.0 - 1.0 / k, 0.0))


class Poisson(Univariate):
    """P(z) = λ^z exp(-λ) / z!."""

    parameters = ("log_rate",)

    def sample(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        return random.poisson(_exp(packed), seed)

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        kernel = sample * packed - _exp(packed)
        return _sum(kernel - tf.math.lgamma(sample + 1.0))

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return sample - _exp(packed)

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        count = self.sample(packed, seed)
        return [WeakDerivative(_exp(packed), count + 1.0, count)]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        return _exp(packed)

    def harden(self, packed: tf.Tensor) -> tf.Tensor:
        return tf.floor(_exp(packed))


class Binomial(Univariate):
    """Number of successes in n trials of probability sigmoid(logits)."""

    parameters = ("total_count", "logits")
    held = 1

    def sample(self, packed: tf.Tensor, seed: Any) -> tf.Tensor:
        total, logits = self.unpack(packed)
        return random.binomial(total, tf.sigmoid(logits), seed)

    def log_prob(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        total, logits = self.unpack(packed)
        ways = tf.math.lgamma(total + 1.0) - tf.math.lgamma(sample + 1.0)
        ways -= tf.math.lgamma(total - sample + 1.0)
        return _sum(ways + sample * logits - total * tf.nn.softplus(logits))

    def score(self, packed: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return self.gradient([sample - self.mean(packed)])

    def weak_derivative(
        self, packed: tf.Tensor, seed: Any
    ) -> list[WeakDerivative]:
        # One trial set to success or to failure, the others drawn.
        total, logits = self.unpack(packed)
        p = tf.sigmoid(logits)
        others = random.binomial(total - 1.0, p, seed)
        return [WeakDerivative(total * p * (1.0 - p), others + 1.0, others)]

    def mean(self, packed: tf.Tensor) -> tf.Tensor:
        total, logits = self.unpack(packed)
        return total * tf.sigmoid(logits)

    def harden(self, packed: tf.Tensor) -> tf.Tensor:
        total, logits = self.unpack(packed)
        return tf.minimum(tf.floor((total + 1.0) * tf.sigmoid(logits)), total)


LAWS: dict[str, type[Univariate]] = {
    "gaussian": Gaussian,
    "exponential": Exponential,
    "gamma": Gamma,
    "weibull": Weibull,
    "poisson": Poisson,
    "binomial": Binomial,
}
