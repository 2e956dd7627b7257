"""REINFORCE with the other samples as the baseline."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.estimators import distribution as distributions
from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    attach,
    register,
    repeat,
)


@register("rloo")
class Rloo(Estimator):
    """Leave-one-out REINFORCE.

    1/S Σ_s (f(z_s) - mean_{t≠s} f(z_t)) ∇log q(z_s).

    Unbiased, with nothing to learn; f may be anything. S evaluations of f, in
    one batch.

    Args:
        distribution: `"categorical"`, `"bernoulli"`, or any of the laws in
            `MeasureValued`, with the parameters given there.
        samples: S, at least 2.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> rloo = tg.estimators.Rloo("bernoulli", samples=4)
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

    distributions: ClassVar = distributions.NAMES

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        require_two("Rloo", samples)

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        repeated = repeat(logits, self.samples)
        sample = self.draw(repeated, seed)
        cost = self.fold(self.evaluate(cost_fn, sample), self.samples)
        value = tf.reduce_mean(cost, axis=0)
        # f_s - mean of the others = (f_s - mean of all) · S / (S - 1).
        advantage = (cost - value) / (self.samples - 1)
        score = self.fold(self.score(repeated, sample), self.samples)
        return attach(value, logits, weigh(advantage, score))


def weigh(advantage: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """Σ_s advantage[s] · score[s], for `[S, B]` and `[S, B, ...]`."""
    ones = [1] * (score.shape.rank - 2)
    shape = tf.concat([tf.shape(advantage), ones], 0)
    return tf.reduce_sum(tf.reshape(advantage, shape) * score, axis=0)


def require_two(name: str, samples: int) -> None:
    """Raises for an estimator that compares samples and has one."""
    if samples < 2:
        raise ValueError(
            f"{name} compares samples with each other, so argument `samples` "
            f"must be at least 2. Received: samples={samples}"
        )
