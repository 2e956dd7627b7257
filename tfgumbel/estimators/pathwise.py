"""The reparameterisation trick as an estimator."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters, Reparameterized
from tfgumbel.estimators.algebra import mean_of_samples, repeat
from tfgumbel.estimators.estimator import CostFn, Estimator, register


class ThroughTheSample(Estimator):
    """Base of the estimators whose samples carry a gradient of their own.

    A subclass writes `pathwise(parameters, seed)`, samples with a gradient.
    f must be differentiable.
    """

    needs_gradient: ClassVar[bool] = True
    _checked: Any = None

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns one sample per row, with its gradient."""
        raise NotImplementedError

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        sample = self.pathwise(repeat(parameters, self.samples), seed)
        cost = self._cost(cost_fn, sample)
        return mean_of_samples(cost, self.samples)

    def _cost(self, cost_fn: CostFn, sample: tf.Tensor) -> tf.Tensor:
        code = _code(cost_fn)
        if tf.executing_eagerly() and self._checked == code:
            return self.evaluate(cost_fn, sample)
        with tf.GradientTape() as tape:
            tape.watch(sample)
            cost = self.evaluate(cost_fn, sample)
        self._look(tape, cost, sample)
        self._checked = code
        return cost

    def _look(
        self, tape: tf.GradientTape, cost: tf.Tensor, sample: tf.Tensor
    ) -> None:
        """Raises if the cost has no gradient, which is not computed."""
        found = []

        # Traced and dropped: that of `tf.py_function` can be run only once.
        @tf.function(autograph=False)
        def gradient() -> None:
            found.append(tape.gradient(cost, sample))

        try:
            gradient.get_concrete_function()
        except Exception:  # of a gradient function, so that there is one
            return
        self.require_gradient(found)


def _code(function: Any, inside: bool = True) -> Any:
    """What tells a cost from others, and is the same for it at each step."""
    if isinstance(function, functools.partial):
        return _code(function.func, inside)
    owner = getattr(function, "__self__", function)
    if not hasattr(function, "__code__"):
        return type(owner), id(owner)
    code = function.__code__, type(owner)
    if not inside:
        return code
    closed = inspect.getclosurevars(function).nonlocals.values()
    return *code, *(_code(each, False) for each in closed if callable(each))


@register("pathwise")
class Pathwise(ThroughTheSample):
    """∇f(z(φ, ε)): the gradient through the sample.

    z is a differentiable function of the parameters φ and of noise ε. Unbiased;
    f must be differentiable in z, almost everywhere and without jumps. One
    evaluation of f per sample.

    Args:
        distribution: A continuous one, such as `"gaussian"` or `"gamma"`.
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

    needs: ClassVar = (Reparameterized,)

    def __init__(
        self,
        distribution: Any = "gaussian",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns one sample per row, with its gradient."""
        distribution = self.distribution
        assert isinstance(distribution, Reparameterized)
        return distribution.reparameterize(parameters, seed)
