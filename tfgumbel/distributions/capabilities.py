"""Capabilities: what some distributions can do beyond the contract.

Each is a protocol: a distribution has the capability if it has the methods,
whatever it inherits from. Estimators and layers ask for the ones they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tfgumbel.distributions.distribution import Parameters


@runtime_checkable
class Reparameterized(Protocol):
    """Has a reparameterised sample: a differentiable function of noise."""

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns a sample with pathwise gradients in the parameters."""


@runtime_checkable
class Relaxed(Protocol):
    """Has a relaxation at a temperature, by perturbed parameters.

    With noise G a sample is `harden(perturb(parameters, G))`, and the relaxed
    sample is `soften` of the same perturbed parameters.
    """

    def noise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns noise of the shape of the parameters."""

    def perturb(self, parameters: Parameters, noise: tf.Tensor) -> tf.Tensor:
        """Returns perturbed parameters z, differentiable."""

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        """Returns the exact sample that z stands for."""

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        """Returns the relaxed sample at this temperature, differentiable."""

    def relax(
        self,
        parameters: Parameters,
        noise: tf.Tensor,
        *,
        temperature: Any,
        hard: bool = False,
        backward_temperature: Any = None,
    ) -> tf.Tensor:
        """Returns the sample, relaxed or hard, with the relaxed gradient."""


@runtime_checkable
class Conditioned(Relaxed, Protocol):
    """Has noise conditioned on the sample, as REBAR and RELAX need."""

    def perturb_given(
        self, parameters: Parameters, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        """Returns z drawn anew, given that `harden(z)` is the sample."""

    def tied_difference(
        self, parameters: Parameters, noise: tf.Tensor
    ) -> tf.Tensor:
        """Returns z - z̃, where z̃ has the noise with which it is z.

        z is `perturb(parameters, noise)` and z̃ is `perturb_given` at the
        sample of z. The value is zero; the gradients in the parameters are
        those of z less those of z̃.
        """


@runtime_checkable
class Antithetic(Protocol):
    """Has pairs of opposite samples, both exact, from one noise."""

    def antithetic(
        self, parameters: Parameters, seed: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the pair, and the uniform noise that the first came of."""


@runtime_checkable
class Categories(Protocol):
    """Has variables that are one of K categories, as straight-through needs."""

    def to_categories(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, int]:
        """Returns logits, the sample as one-hots, and their axis."""

    def from_categories(self, one_hot: tf.Tensor) -> tf.Tensor:
        """Returns the sample that the one-hots stand for."""


class WeakDerivative(NamedTuple):
    """d/dφ E f(x) = E[c (f(x⁺) - f(x⁻))], for each variable by itself.

    Attributes:
        constant: c, of the shape of the sample.
        positive: x⁺, of the same shape.
        negative: x⁻, of the same shape, coupled with x⁺ by common noise.
    """

    constant: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


@runtime_checkable
class WeaklyDifferentiable(Protocol):
    """Has weak derivatives: differences of two distributions, scaled."""

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        """Returns the weak derivative in each learned parameter, by name."""


@runtime_checkable
class Enumerable(Protocol):
    """Has a finite support to enumerate, the same for all parameters."""

    def count(self, shape: tf.TensorShape) -> int:
        """Returns how many joint values parameters `[B, ...]` have."""

    def support(self, shape: tf.TensorShape) -> np.ndarray:
        """Returns all joint values, `[count, ...]`."""


@runtime_checkable
class ClosedFormKL(Protocol):
    """Has a KL divergence in closed form to a prior of the family."""

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        """Returns KL(q ‖ prior) in nats, one number per variable."""


@runtime_checkable
class Scored(Protocol):
    """Has a score that is cheaper than autodiff of its log-probability."""

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Returns ∇ log q(sample) in each parameter."""


@runtime_checkable
class Maskable(Protocol):
    """Has categories that a mask may forbid."""

    def mask(self, inputs: Any, category_mask: Any) -> Any:
        """Returns the unconstrained parameters, with `False` impossible."""


@runtime_checkable
class Mean(Protocol):
    """Has a mean in closed form, differentiable in the parameters."""

    def mean(self, parameters: Parameters) -> tf.Tensor:
        """Returns E z."""


CAPABILITIES: Sequence[type] = (
    Reparameterized,
    Relaxed,
    Conditioned,
    Antithetic,
    Categories,
    WeaklyDifferentiable,
    Enumerable,
    ClosedFormKL,
    Scored,
    Maskable,
    Mean,
)
