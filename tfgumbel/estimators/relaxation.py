"""What the estimators that pass gradients through the sample share."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.estimators import distribution as distributions
from tfgumbel.estimators.pathwise import Pathwise


class Relaxation(Pathwise):
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

    distributions: ClassVar = distributions.DISCRETE
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

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "temperature": self._initial}
