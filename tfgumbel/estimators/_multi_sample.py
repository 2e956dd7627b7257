"""The base of the estimators whose objective is a multi-sample bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters
from tfgumbel.estimators.algebra import fold, log_mean_exp, repeat
from tfgumbel.estimators.estimator import CostFn, Estimator


class MultiSampleBound(Estimator):
    """Base of the estimators of ∇E[-log 1/S Σ_s w_s].

    Args:
        distribution: A name or a `Distribution`, that of q.
        samples: S.
        add_log_prob: Whether w(z) = exp(-f(z)) / q(z), so that f is
            -log p(x, z), or w(z) = exp(-f(z)).
        **kwargs: As in `Estimator`.

    Attributes:
        drops_score: Whether the gradient leaves the score of log q out, which
            it can only if log q is added here.
    """

    drops_score: ClassVar[bool] = False

    def __init__(
        self,
        distribution: Any = "gaussian",
        samples: int = 2,
        *,
        add_log_prob: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self.add_log_prob = bool(add_log_prob)
        if self.drops_score and not self.add_log_prob:
            raise ValueError(
                f"{type(self).__name__} leaves out the score of log q, so it "
                "adds log q by itself: make the cost -log p(x, z). IWAE and "
                "VIMCO take a cost that is -log w. "
                f"Received: add_log_prob={add_log_prob!r}"
            )
        self.objective = (
            "importance-weighted bound"
            if self.add_log_prob
            else "multi-sample bound"
        )

    def log_weight(
        self, cost: tf.Tensor, parameters: Parameters, sample: tf.Tensor
    ) -> tf.Tensor:
        """log w of rows `[S·B]`, as `[S, B]`.

        Args:
            cost: f of the sample, `[S·B]`.
            parameters: Of q, repeated: rows of `[S·B, ...]`.
            sample: `[S·B, ...]`.
        """
        if self.add_log_prob:
            cost += self.distribution.log_prob(parameters, sample)
        return fold(-cost, self.samples)

    def infer(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        mode: str,
        next_seed: Callable[[], tf.Tensor],
    ) -> tf.Tensor:
        """Returns the negative bound of S samples; of one mode or mean."""
        fixed = tuple(map(tf.stop_gradient, parameters))
        # S equal points say what one does.
        fixed = repeat(fixed, self.samples)
        sample = self.distribution.infer(fixed, mode, next_seed)
        cost = self.evaluate(cost_fn, sample)
        return -log_mean_exp(self.log_weight(cost, fixed, sample))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "add_log_prob": self.add_log_prob}
