"""What the estimators that pass gradients through the sample share."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.estimators.estimator import CostFn, Estimator, repeat


class Relaxation(Estimator):
    """Base of the estimators whose samples carry a gradient of their own.

    A subclass writes `pathwise(logits, seed)`, samples with a gradient. Biased
    for the discrete problem; f must be differentiable.

    Args:
        distribution: `"categorical"` or `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0. Kept as a weight that is not trained, so that
            it can be annealed.
        **kwargs: As in `Estimator`.
    """

    needs_gradient: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 1,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self._initial = temperature
        self.temperature = self.add_temperature("temperature", temperature)
        self._checked = False

    def add_temperature(self, name: str, value: float) -> keras.Variable:
        """Returns a weight that holds a temperature and is not trained."""
        value = _checks.positive_number(name, value)
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            autocast=False,
            dtype="float32",
            name=name,
        )

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns one sample per row, with its gradient."""
        raise NotImplementedError

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        sample = self.pathwise(repeat(logits, self.samples), seed)
        cost = self._cost(cost_fn, sample)
        return tf.reduce_mean(self.fold(cost, self.samples), axis=0)

    def _cost(self, cost_fn: CostFn, sample: tf.Tensor) -> tf.Tensor:
        # In a graph the gradient taken here only to be looked at is pruned;
        # eagerly it costs a backward pass, so there one look is enough.
        if tf.executing_eagerly() and self._checked:
            return self.evaluate(cost_fn, sample)
        with tf.GradientTape() as tape:
            tape.watch(sample)
            cost = self.evaluate(cost_fn, sample)
        self.require_gradient(tape.gradient(cost, sample))
        self._checked = True
        return cost

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "temperature": self._initial}
