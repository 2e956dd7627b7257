"""Permutations of n items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel._precision import finite_logits, nan_rows
from tfgumbel.distributions._noise import noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import joint_values
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("permutation")
class Permutation(Distribution):
    """An order of n items, as a matrix: the Plackett-Luce distribution.

    Items are drawn one after the other, each from the softmax of the logits
    of those that are left. A sample P is a permutation matrix, `[..., n, n]`:
    row t says which item stands at place t, so that P x are the items x in
    order. With Gumbel noise, it is the descending order of logits + G.

    Its divergence from another one has no closed form.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> permutation = tg.distributions.Permutation()
    >>> q = permutation.constrain(tf.constant([[0.0, 2.0]]))
    >>> permutation.mode(q).numpy()
    array([[[0., 1.],
            [1., 0.]]], dtype=float32)

    Reference:
        Plackett. The analysis of permutations. Applied Statistics 1975.
        Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov. Low-variance
        black-box gradient estimates for the Plackett-Luce distribution. AAAI
        2020.
    """

    parameters: ClassVar = {"logits": finite_logits}
    inference: ClassVar = ("mode", "sample")
    event_rank = 1

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Draws by sorting, with one Gumbel variable per item."""
        perturbed = self.perturb(parameters, self.noise(parameters, seed))
        return tf.stop_gradient(self.harden(perturbed))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        return ops.plackett_luce_log_prob(parameters[0], _order(sample))

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return tf.stop_gradient(self.harden(parameters[0]))

    def sample_shape(self, shapes: Sequence[Any]) -> tuple:
        (shape,) = shapes
        return (*shape, shape[-1])

    def noise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        return noise(random.gumbel, parameters[0], seed)

    def perturb(self, parameters: Parameters, noise: tf.Tensor) -> tf.Tensor:
        return parameters[0] + noise

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        order = ops.permutation_mode(perturbed)
        matrix = ops.permutation_matrix(order, dtype=perturbed.dtype)
        return matrix + nan_rows(perturbed, -1)[..., None]

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        zeros = tf.zeros_like(perturbed)
        return ops.soft_sort(perturbed, zeros, temperature=temperature)

    def relax(
        self,
        parameters: Parameters,
        noise: tf.Tensor,
        *,
        temperature: Any,
        hard: bool = False,
        backward_temperature: Any = None,
    ) -> tf.Tensor:
        return ops.soft_sort(
            parameters[0],
            noise,
            temperature=temperature,
            hard=hard,
            backward_temperature=backward_temperature,
        )

    def perturb_given(
        self, parameters: Parameters, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        # The first is the largest of all, Gumbel at L_1 = log Σ exp(logits);
        # each next is Gumbel at L_t, of those left, below the one before:
        # z_t = -log(exp(-(G_t + L_t)) + exp(-z_{t-1})), section 3 of [2].
        left = _left(parameters, sample)
        places = -_log_cumulative(-(noise + left))
        # No product of matrices, which a GPU rounds to 11 bits.
        return tf.reduce_sum(sample * places[..., None], axis=-2)

    def tied_difference(
        self, parameters: Parameters, noise: tf.Tensor
    ) -> tf.Tensor:
        # The noise that gives z: exp(-(G_t + L_t)) = exp(-z_t) - exp(-z_{t-1}),
        # with z_0 = ∞.
        free = self.perturb(parameters, noise)
        sample = self.harden(tf.stop_gradient(free))
        places = tf.reduce_sum(sample * free[..., None, :], axis=-1)
        gap = tf.maximum(places[..., :-1] - places[..., 1:], 1e-6)
        below = tf.math.log(-tf.math.expm1(-gap))
        first = tf.zeros_like(places[..., :1])
        below = tf.concat([first, below], axis=-1)
        given = tf.stop_gradient(places - below - _left(parameters, sample))
        again = self.perturb_given(parameters, sample, given)
        return free - again - tf.stop_gradient(free - again)

    def count(self, shape: tf.TensorShape) -> int:
        return math.factorial(shape[-1]) ** math.prod(shape[1:-1])

    def support(self, shape: tf.TensorShape) -> np.ndarray:
        *sizes, n = shape[1:]
        matrices = np.eye(n, dtype="float32")[ops.enumerate_permutations(n)]
        return joint_values(matrices, sizes)


def _left(parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
    """L_t = log Σ exp(logits), over place t and those that follow."""
    (logits,) = parameters
    order = _order(sample)
    ordered = tf.gather(logits, order, batch_dims=logits.shape.rank - 1)
    return _log_cumulative(ordered, reverse=True)


def _log_cumulative(values: tf.Tensor, reverse: bool = False) -> tf.Tensor:
    """Log of the cumulative sums of exp(values), or of those from the end.

    The gradient that TensorFlow 2.20 and 2.21 have takes the logarithm of what
    comes in, and its derivative is NaN where that is zero.
    """

    @tf.custom_gradient
    def cumulative(values: tf.Tensor) -> Any:
        def total() -> tf.Tensor:
            return tf.math.cumulative_logsumexp(values, -1, reverse=reverse)

        def grad(upstream: tf.Tensor) -> tf.Tensor:
            shares = values[..., None, :] - total()[..., None]
            shares = tf.linalg.band_part(
                tf.exp(tf.minimum(shares, 1.0)),  # where they count, below
                *((0, -1) if reverse else (-1, 0)),
            )
            return tf.reduce_sum(shares * upstream[..., None], axis=-2)

        return total(), grad

    return cumulative(values)


def _order(sample: tf.Tensor) -> tf.Tensor:
    """The items first to last, of permutation matrices."""
    return tf.argmax(tf.stop_gradient(sample), axis=-1, output_type=tf.int32)
