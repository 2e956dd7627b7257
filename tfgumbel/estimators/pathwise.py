"""The reparameterisation trick as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.estimators import univariate
from tfgumbel.estimators.estimator import CostFn, Estimator, register, repeat


@register("pathwise")
class Pathwise(Estimator):
    """∇f(z(φ, ε)): the gradient through the sample.

    z is a differentiable function of the parameters φ and of noise ε. Unbiased;
    f must be differentiable in z, almost everywhere and without jumps. One
    evaluation of f per sample.

    Args:
        distribution: `"gaussian"` with parameters (μ, log σ²),
            `"exponential"` (log rate), `"gamma"` (concentration, log rate) or
            `"weibull"` (concentration, log scale); concentrations are
            constants.
        samples: S, samples per example; the estimate is their mean.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution has no such form, or at the call if
            the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> pathwise = tg.estimators.Pathwise("gaussian")
    >>> mean = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(mean)
    ...     parameters = mean, tf.zeros([1, 2])
    ...     cost = pathwise(lambda z: 3.0 * z[:, 0], parameters, [1, 2])
    >>> tape.gradient(cost, mean).numpy()
    array([[3., 0.]], dtype=float32)

    Reference:
        Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014. Rezende,
        Mohamed, Wierstra. Stochastic backpropagation. ICML 2014.
    """

    distributions: ClassVar[Sequence[str]] = univariate.PATHWISE
    needs_gradient: ClassVar[bool] = True

    def __init__(
        self,
        distribution: str = "gaussian",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self._checked = False

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns one sample per row, with its gradient."""
        return self.law.pathwise(logits, seed)

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
