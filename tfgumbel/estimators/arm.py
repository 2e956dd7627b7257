"""The augment-REINFORCE-merge estimator for bits."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    attach,
    register,
    repeat,
)
from tfgumbel.estimators.rloo import weigh


@register("arm")
class Arm(Estimator):
    """ARM: [f(b) - f(b')] (u - ½) for bits, from one antithetic pair.

    b = 1[u > σ(-φ)] and b' = 1[u < σ(φ)] come from one uniform u per bit, and
    each is an exact sample. Unbiased, with nothing to learn; f may be
    anything. Two evaluations of f per pair, in one batch. `disarm` has lower
    variance at the same price.

    Args:
        distribution: `"bernoulli"`; there is no other.
        samples: S, number of pairs.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution is categorical.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> arm = tg.estimators.Arm()
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = arm(lambda z: 0.0 * z[:, 0] + 3.0, logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[0., 0.]], dtype=float32)

    Reference:
        Yin, Zhou. ARM: Augment-REINFORCE-merge gradient for stochastic binary
        networks. ICLR 2019.
    """

    distributions: ClassVar = ("bernoulli",)

    def __init__(
        self,
        distribution: str = "bernoulli",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)

    @property
    def evaluations(self) -> int:
        """Two per pair."""
        return 2 * self.samples

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean cost of all samples."""
        repeated = tf.stop_gradient(repeat(logits, self.samples))
        noise = self.law.noise(repeated, seed)
        # With u = σ(noise): u > σ(-φ) is φ + noise > 0.
        first = self.law.harden(repeated + noise)
        second = self.law.harden(repeated - noise)
        cost = self.evaluate(cost_fn, tf.concat([first, second], 0))
        cost_first, cost_second = tf.unstack(self.fold(cost, 2))
        difference = self.fold(cost_first - cost_second, self.samples)
        direction = self.direction(repeated, noise, first, second)
        gradient = weigh(difference, self.fold(direction, self.samples))
        value = tf.reduce_mean(self.fold(cost, 2 * self.samples), axis=0)
        return attach(value, logits, gradient / self.samples)

    def direction(
        self,
        logits: tf.Tensor,
        noise: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tf.Tensor:
        """What f(b) - f(b') is multiplied by: u - ½."""
        return tf.sigmoid(noise) - 0.5
