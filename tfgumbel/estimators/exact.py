"""The exact expectation, by enumeration."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.distributions import Enumerable, Parameters
from tfgumbel.estimators.algebra import column, fold, repeat
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("exact")
class Exact(Estimator):
    """E f(z) = Σ_z q(z) f(z), over all joint states z.

    No noise, no bias, no variance; f need not be differentiable. K^D
    evaluations of f per example (2^D for Bernoulli variables), so for tests,
    diagnostics and very small latents. f is not asked for its value at a state
    of no probability, as that of a masked category.

    Args:
        distribution: One with a finite support, such as `"categorical"`.
        limit: Most joint states that are accepted.
        chunk_size: States per call of `cost_fn`; `None` for all in one batch.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if there are more states than `limit` or the
            number of variables is unknown.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> exact = tg.estimators.Exact("bernoulli")
    >>> exact(lambda z: z[:, 0], tf.zeros([1, 2]), seed=[0, 0]).numpy()
    array([0.5], dtype=float32)
    """

    needs: ClassVar = (Enumerable,)
    exact: ClassVar[bool] = True

    def __init__(
        self,
        distribution: Any = "categorical",
        limit: int = 4096,
        *,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, **kwargs)
        self.limit = _checks.positive_integer("limit", limit)
        if chunk_size is not None:
            _checks.positive_integer("chunk_size", chunk_size)
        self.chunk_size = chunk_size
        self._states = 0

    @property
    def evaluations(self) -> int:
        """Joint states of one example, K^D; 0 before the estimator is built."""
        return self._states

    def build(self, parameters_shape: Any, context_shape: Any = None) -> None:
        """Counts the joint states; raises if there are too many."""
        names = self.distribution.parameters
        shapes = parameters_shape if len(names) > 1 else [parameters_shape]
        *_, shape = [
            shape
            for name, shape in zip(names, shapes, strict=True)
            if name not in self.distribution.constants
        ]
        self._states = self._count(tf.TensorShape(shape))
        self.built = True

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns Σ_z q(z) f(z)."""
        shape = parameters[-1].shape
        count = self._count(shape)
        states = np.asarray(self._finite().support(shape), np.float32)
        step = self.chunk_size or count
        parts = [
            self._part(cost_fn, parameters, states[start : start + step])
            for start in range(0, count, step)
        ]
        return tf.add_n(parts)

    def _count(self, shape: tf.TensorShape) -> int:
        if None in shape[1:]:
            raise ValueError(
                "Exact enumeration needs the number of variables and "
                f"categories. Received: logits of shape {shape}"
            )
        count = self._finite().count(shape)
        if count > self.limit:
            raise ValueError(
                f"Exact enumeration of logits of shape {shape} means {count} "
                f"joint states, above limit={self.limit}. Raise `limit`, or "
                "use another estimator"
            )
        return count

    def _part(
        self, cost_fn: CostFn, parameters: Parameters, states: np.ndarray
    ) -> tf.Tensor:
        count, batch = len(states), parameters[-1].shape[0]
        rows = None if batch is None else batch * count
        sample = tf.repeat(states, tf.shape(parameters[-1])[0], axis=0)
        sample.set_shape([rows, *states.shape[1:]])
        repeated = repeat(parameters, count)
        probability = tf.exp(self.distribution.log_prob(repeated, sample))
        # Something possible stands in for what is not, with weight zero.
        possible = repeat(self.draw(parameters, [0, 0]), count)
        sample = tf.where(column(probability, sample) > 0, sample, possible)
        weighted = probability * self.evaluate(cost_fn, sample)
        return tf.reduce_sum(fold(weighted, count), axis=0)

    def _finite(self) -> Enumerable:
        return self.distribution  # type: ignore[return-value]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["samples"]
        return {**config, "limit": self.limit, "chunk_size": self.chunk_size}
