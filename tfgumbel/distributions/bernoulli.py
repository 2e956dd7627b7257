"""Independent Bernoulli variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel._precision import (
    finite_log_odds,
    in_working_precision,
    unless_nan,
)
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._slope import zero_with_slope
from tfgumbel.distributions._support import joint_values
from tfgumbel.distributions.capabilities import WeakDerivative
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("bernoulli")
class Bernoulli(Distribution):
    """Zeros and ones; 1 has the probability sigmoid(logits).

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> bernoulli = tg.distributions.Bernoulli()
    >>> bernoulli.mean(bernoulli.constrain(tf.zeros([1, 2]))).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    # Infinite log-odds stay: the ops bound them where it matters.
    parameters: ClassVar = {"logits": in_working_precision}
    inference: ClassVar = ("mode", "sample", "mean")
    standard: Sequence[Any] = (0.0,)

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        logits = parameters[0] + self.noise(parameters, seed)
        return tf.stop_gradient(self.harden(logits))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        return ops.bernoulli_log_prob(parameters[0], sample)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return tf.sigmoid(parameters[0])

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.stop_gradient(self.harden(parameters[0]))

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return (sample - self.mean(parameters),)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return ops.bernoulli_kl(parameters[0], prior[0])

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        return tuple(prior)

    def refuse_prior(self, name: str, value: np.ndarray) -> str | None:
        return None  # log-odds may be infinite

    def noise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        return noise(random.logistic, parameters[0], seed)

    def perturb(self, parameters: Parameters, noise: tf.Tensor) -> tf.Tensor:
        return parameters[0] + noise

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        ones = tf.cast(perturbed > 0, perturbed.dtype)
        return unless_nan(perturbed, ones)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        # A division's derivatives in τ take more operations than a product's.
        inverse = tf.math.reciprocal(tf.cast(temperature, perturbed.dtype))
        return tf.sigmoid(perturbed * inverse)

    def relax(
        self,
        parameters: Parameters,
        noise: tf.Tensor,
        *,
        temperature: Any,
        hard: bool = False,
        backward_temperature: Any = None,
    ) -> tf.Tensor:
        return ops.binary_concrete(
            parameters[0],
            noise,
            temperature=temperature,
            hard=hard,
            backward_temperature=backward_temperature,
        )

    def perturb_given(
        self, parameters: Parameters, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        return ops.conditional_logistic(parameters[0], sample, noise)

    def tied_difference(
        self, parameters: Parameters, noise: tf.Tensor
    ) -> tf.Tensor:
        # With F(z̃ | b) fixed, and s = ±1 the sign of z = φ + L:
        # ∂z̃/∂φ = 1 - σ(-sφ) / σ(sL), and σ(-sφ) = |b - σ(φ)|.
        logits = parameters[0]
        free = logits + noise
        sign = tf.cast(tf.where(free > 0, 1.0, -1.0), logits.dtype)
        unlikely = tf.abs(self.harden(free) - tf.sigmoid(logits))
        slope = unlikely / tf.sigmoid(sign * noise)
        return zero_with_slope(slope, logits)

    def antithetic(
        self, parameters: Parameters, seed: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # With u = σ(noise): u > σ(-logits) is logits + noise > 0.
        logits, noise = parameters[0], self.noise(parameters, seed)
        first, second = self.harden(logits + noise), self.harden(logits - noise)
        return first, second, tf.sigmoid(noise)

    def to_categories(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, int]:
        # One category out of two, with logits (θ, 0).
        logits = finite_log_odds(parameters[0])
        pair = tf.stack([logits, tf.zeros_like(logits)], axis=-1)
        return pair, tf.stack([sample, 1.0 - sample], axis=-1), -1

    def from_categories(self, one_hot: tf.Tensor) -> tf.Tensor:
        return one_hot[..., 0]

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        # θ (1 - θ) (f(1) - f(0)).
        mean = self.mean(parameters)
        one, zero = tf.ones_like(mean), tf.zeros_like(mean)
        return {"logits": WeakDerivative(mean * (1.0 - mean), one, zero)}

    def count(self, shape: tf.TensorShape) -> int:
        return 2 ** math.prod(shape[1:])

    def support(self, shape: tf.TensorShape) -> np.ndarray:
        return joint_values(np.array([0, 1], "float32"), shape[1:])
