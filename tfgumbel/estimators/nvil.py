"""The score-function estimator with a learned, input-dependent baseline."""

from __future__ import annotations

from typing import Any

from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.reinforce import Reinforce


@register("nvil")
class NVIL(Reinforce):
    """(f(z) - b(x) - c) ∇log q(z): REINFORCE with the baseline of NVIL.

    b is a network of one hidden layer of 100 tanh units on the context, c a
    running mean of what b leaves (decay 0.8), taken from past batches. Both
    are learned from the same costs. Unbiased; f may be anything. The division
    by a running standard deviation, which the paper adds, rescales the
    gradient and is left to the optimizer.

    Args:
        distribution: As in `Reinforce`.
        samples: S, samples per example; the estimate is their mean.
        baseline: As in `Reinforce`.
        **kwargs: As in `Estimator`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> nvil = tg.estimators.NVIL("bernoulli")
    >>> nvil(lambda z: 0.0 * z[:, 0] + 2.0, tf.zeros([1, 3]), [1, 2]).numpy()
    array([2.], dtype=float32)

    Reference:
        Mnih, Gregor. Neural variational inference and learning in belief
        networks. ICML 2014.
    """

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        baseline: Any = "nvil",
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, baseline=baseline, **kwargs)
