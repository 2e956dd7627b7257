"""The augment-REINFORCE-merge estimator of Bernoulli variables."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Antithetic, Parameters
from tfgumbel.estimators.algebra import (
    attach,
    fold,
    mean_of_samples,
    repeat,
    weigh,
)
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("arm")
class ARM(Estimator):
    """ARM: [f(b) - f(b')] (u - ½), from one antithetic pair.

    b = 1[u > σ(-φ)] and b' = 1[u < σ(φ)] come from one uniform u per variable,
    and each is an exact sample. Unbiased, with nothing to learn; f may be
    anything. Two evaluations of f per pair, in one batch. `disarm` has lower
    variance at the same cost.

    Args:
        distribution: `"bernoulli"`, or another one with antithetic samples.
        samples: S, number of pairs.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution has no antithetic samples.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> arm = tg.estimators.ARM()
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

    needs: ClassVar[tuple[type, ...]] = (Antithetic,)

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
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of all samples."""
        repeated = repeat(parameters, self.samples)
        repeated = tuple(map(tf.stop_gradient, repeated))
        distribution = self.distribution
        assert isinstance(distribution, Antithetic)
        first, second, uniform = distribution.antithetic(repeated, seed)
        direction = self.direction(repeated[0], uniform, first, second)
        return self._of_pairs(cost_fn, (first, second), direction, parameters)

    def _of_pairs(
        self,
        cost_fn: CostFn,
        pair: tuple[tf.Tensor, tf.Tensor],
        direction: tf.Tensor,
        parameters: Parameters,
    ) -> tf.Tensor:
        """The mean cost, whose gradient is [f(b) - f(b')] direction."""
        cost = self.evaluate(cost_fn, tf.concat(pair, 0))
        cost_first, cost_second = tf.unstack(fold(cost, 2))
        difference = fold(cost_first - cost_second, self.samples)
        gradients = weigh(difference / self.samples, [direction])
        value = mean_of_samples(cost, 2 * self.samples)
        return attach(value, parameters, gradients)

    def direction(
        self,
        logits: tf.Tensor,
        uniform: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tf.Tensor:
        """What f(b) - f(b') is multiplied by: u - ½."""
        return uniform - 0.5
