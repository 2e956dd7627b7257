"""Gradients by a weak derivative of the law: two evaluations a parameter."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.estimators import univariate
from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    attach,
    register,
    repeat,
)


@register("measure_valued")
class MeasureValued(Estimator):
    """c (f(z⁺) - f(z⁻)) for each variable and parameter.

    The derivative of a density in a parameter is a difference of two
    densities, scaled: ∂q/∂φ = c (q⁺ - q⁻). For one variable at a time, z⁺ and
    z⁻ replace the sample by draws from q⁺ and q⁻ that share their noise.
    Unbiased, of small variance; f may be anything, and z may be whole numbers.

    | distribution | parameter | c | z⁺ | z⁻ |
    |---|---|---|---|---|
    | `"gaussian"` | μ | 1 / (σ √(2π)) | μ + σ R | μ - σ R |
    | | log σ² | ½ | μ + σ M | μ + σ U M |
    | `"bernoulli"` | logits | θ (1 - θ) | 1 | 0 |
    | `"poisson"` | log rate | λ | z + 1 | z |
    | `"binomial"` | logits | n θ (1 - θ) | z' + 1 | z' |
    | `"exponential"` | log rate | 1 | E / λ | (E + E') / λ |
    | `"gamma"` | log rate | α | G / λ | (G + E) / λ |
    | `"weibull"` | log scale | k | λ (E + E')^(1/k) | λ E^(1/k) |

    with R Rayleigh, M double-sided Maxwell, U uniform, E and E' exponential,
    G gamma of concentration α, z' binomial of n - 1 trials. Evaluations per
    sample: 1 + 2 · variables · parameters, in two batches.

    Args:
        distribution: One of the table's. α, k and n are constants.
        samples: S, samples per example; the estimate is their mean.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution is categorical, or at the call if the
            number of variables is unknown.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.MeasureValued("poisson")
    >>> log_rate = tf.zeros([1, 1])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(log_rate)
    ...     cost = estimator(lambda z: 2.0 * z[:, 0], log_rate, [1, 2])
    >>> tape.gradient(cost, log_rate).numpy()
    array([[2.]], dtype=float32)

    Reference:
        Pflug. Optimization of stochastic models. 1996. Mohamed, Rosca,
        Figurnov, Mnih. Monte Carlo gradient estimation in machine learning.
        JMLR 2020.
    """

    distributions: ClassVar = ("bernoulli", *univariate.NAMES)

    def __init__(
        self,
        distribution: str = "gaussian",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self._variables = 0

    @property
    def evaluations(self) -> int:
        """1 + 2 · variables · parameters per sample; 0 before it is built."""
        law = self.law
        learned = 1
        if isinstance(law, univariate.Univariate):
            learned = len(law.parameters) - law.held
        if not self.built:
            return 0
        return self.samples * (1 + 2 * self._variables * learned)

    def build(self, logits_shape: Any, context_shape: Any = None) -> None:
        """Counts the variables."""
        variables = self.law.variables(logits_shape)
        if variables is None:
            raise ValueError(
                "The measure-valued estimator needs the number of variables. "
                f"Received: parameters of shape {logits_shape}"
            )
        self._variables = variables
        self.built = True

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        first, second = random.split(seed, 2)
        repeated = repeat(tf.stop_gradient(logits), self.samples)
        sample = self.draw(repeated, first)
        cost = self.evaluate(cost_fn, sample)
        derivatives = self.law.weak_derivative(repeated, second)
        sides = [d.positive for d in derivatives]
        sides += [d.negative for d in derivatives]
        rows = [self._replaced(sample, side) for side in sides]
        costs = self._costs(cost_fn, tf.concat(rows, axis=0), sample, sides)
        positive, negative = tf.split(costs, 2)
        gradient = self.law.gradient(
            [
                derivative.constant * difference
                for derivative, difference in zip(
                    derivatives,
                    tf.unstack(positive - negative, num=len(derivatives)),
                    strict=True,
                )
            ]
        )
        gradient = tf.reduce_mean(self.fold(gradient, self.samples), axis=0)
        value = tf.reduce_mean(self.fold(cost, self.samples), axis=0)
        return attach(value, logits, gradient)

    def _replaced(self, sample: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
        """Row d·N + n: sample n with its variable d taken from the side."""
        count = self._variables
        flat = [-1, count]
        sample, side = tf.reshape(sample, flat), tf.reshape(side, flat)
        own = tf.eye(count, dtype=tf.bool)[:, None]
        return tf.reshape(tf.where(own, side[None], sample[None]), flat)

    def _costs(
        self,
        cost_fn: CostFn,
        rows: tf.Tensor,
        sample: tf.Tensor,
        sides: list[tf.Tensor],
    ) -> tf.Tensor:
        """Costs `[sides, *sample.shape]`, of no use for a gradient."""
        count = len(sides) * self._variables
        shape = tf.concat([[-1], tf.shape(sample)[1:]], 0)
        batch = sample.shape[0]
        rows = tf.ensure_shape(
            tf.reshape(rows, shape),
            [None if batch is None else batch * count, *sample.shape[1:]],
        )
        cost = self.evaluate(cost_fn, tf.stop_gradient(rows))
        cost = tf.reshape(cost, [len(sides), self._variables, -1])
        cost = tf.stop_gradient(tf.transpose(cost, [0, 2, 1]))
        return tf.reshape(cost, tf.concat([[len(sides)], tf.shape(sample)], 0))
