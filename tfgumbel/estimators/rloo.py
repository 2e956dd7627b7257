"""REINFORCE with the other samples as the baseline."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters
from tfgumbel.estimators.algebra import attach, fold, repeat, score, weigh
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("rloo")
class RLOO(Estimator):
    """Leave-one-out REINFORCE.

    1/S Σ_s (f(z_s) - mean_{t≠s} f(z_t)) ∇log q(z_s).

    Unbiased, with nothing to learn; f may be anything. S evaluations of f, in
    one batch.

    Args:
        distribution: Any distribution.
        samples: S, at least 2.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> rloo = tg.estimators.RLOO("bernoulli", samples=4)
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = rloo(lambda z: 0.0 * z[:, 0] + 3.0, logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[0., 0.]], dtype=float32)

    Reference:
        Kool, van Hoof, Welling. Buy 4 REINFORCE samples, get a baseline for
        free! 2019.
    """

    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        repeated = repeat(parameters, self.samples)
        sample = self.draw(repeated, seed)
        cost = fold(self.evaluate(cost_fn, sample), self.samples)
        value = tf.reduce_mean(cost, axis=0)
        # f_s - mean of the others = (f_s - mean of all) · S / (S - 1).
        advantage = (cost - value) / (self.samples - 1)
        scores = score(self.distribution, repeated, sample)
        return attach(value, parameters, weigh(advantage, scores))
