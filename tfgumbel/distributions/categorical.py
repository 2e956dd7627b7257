"""Independent categorical variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import (
    finite_logits,
    one_hot_argmax,
    one_hot_index,
)
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._slope import zero_with_slope
from tfgumbel.distributions._support import joint_values, split
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("categorical")
class Categorical(Distribution):
    """One of K categories with probabilities softmax(logits), as a one-hot.

    Args:
        axis: Axis of the categories.
        fixed: As in `Distribution`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> categorical = tg.distributions.Categorical()
    >>> q = categorical.constrain(tf.constant([[0.0, 100.0]]))
    >>> categorical.sample(q, [1, 2]).numpy()
    array([[0., 1.]], dtype=float32)
    """

    parameters: ClassVar = {"logits": finite_logits}
    inference: ClassVar = ("mode", "sample", "mean")
    standard: Sequence[Any] = (0.0,)
    event_rank = 1
    options: ClassVar = ("axis", "fixed")

    def __init__(self, *, axis: int = -1, fixed: Any = ()) -> None:
        super().__init__(fixed=fixed)
        self.axis = self._axis = _checks.axis(axis, None)

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Draws by inversion, from one uniform per variable."""
        (logits,) = parameters
        index = random.categorical(logits, seed, axis=self.axis)
        return tf.stop_gradient(one_hot_index(index, logits, self.axis))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        (logits,) = parameters
        return ops.categorical_log_prob(logits, sample, axis=self.axis)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        return tf.nn.softmax(parameters[0], axis=self.axis)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.stop_gradient(one_hot_argmax(parameters[0], self.axis))

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return (sample - self.mean(parameters),)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return ops.categorical_kl(*parameters, *prior, axis=self.axis)

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        """Gives the prior an axis of the categories; `kl` does the rest."""
        (part,), (logits,) = prior, parameters
        axis = self._axis % logits.shape.rank - logits.shape.rank
        missing = max(0, -axis - part.shape.rank)
        shape = [*([1] * missing), *part.shape]
        shape[axis] = logits.shape[axis]
        if shape[axis] is None:
            return super().prior_like(prior, parameters)
        return (tf.broadcast_to(part, shape),)

    def refuse_prior(self, name: str, value: np.ndarray) -> str | None:
        if value.ndim == 0 and value != 0.0:
            return "logits of the categories (the factor is `weight`)"
        return "finite, or -inf" if np.any(np.isposinf(value)) else None

    def mask(self, inputs: Any, category_mask: Any) -> Any:
        (logits,) = self.check(inputs)
        return ops.mask_logits(logits, category_mask, axis=self.axis)

    def noise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        return noise(random.gumbel, parameters[0], seed)

    def perturb(self, parameters: Parameters, noise: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(parameters[0], axis=self.axis) + noise

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        return one_hot_argmax(perturbed, self.axis)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.nn.softmax(perturbed / temperature, axis=self.axis)

    def relax(
        self,
        parameters: Parameters,
        noise: tf.Tensor,
        *,
        temperature: Any,
        hard: bool = False,
        backward_temperature: Any = None,
    ) -> tf.Tensor:
        return ops.gumbel_softmax(
            parameters[0],
            noise,
            temperature=temperature,
            hard=hard,
            axis=self.axis,
            backward_temperature=backward_temperature,
        )

    def perturb_given(
        self, parameters: Parameters, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        logits = tf.nn.log_softmax(parameters[0], axis=self.axis)
        return ops.conditional_gumbel(logits, sample, noise, axis=self.axis)

    def tied_difference(
        self, parameters: Parameters, noise: tf.Tensor
    ) -> tf.Tensor:
        # With z̃_b and E_i = π_i (exp(-z̃_i) - exp(-z̃_b)) fixed:
        # ∂z̃_i/∂log π_i = 1 - exp(z_i - z_b), which is 0 at b itself.
        log_probs = tf.nn.log_softmax(parameters[0], axis=self.axis)
        perturbed = log_probs + noise
        top = tf.reduce_max(perturbed, axis=self.axis, keepdims=True)
        return zero_with_slope(tf.exp(perturbed - top), log_probs)

    def to_categories(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, int]:
        return parameters[0], sample, self.axis

    def from_categories(self, one_hot: tf.Tensor) -> tf.Tensor:
        return one_hot

    def count(self, shape: tf.TensorShape) -> int:
        categories, sizes = split(shape, self.axis)
        return categories ** math.prod(sizes)

    def support(self, shape: tf.TensorShape) -> np.ndarray:
        categories, sizes = split(shape, self.axis)
        states = joint_values(np.eye(categories, dtype="float32"), sizes)
        return np.moveaxis(states, -1, self.axis)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if self.axis == -1 else {"axis": self.axis, **config}
