"""REINFORCE with a relaxed, reparameterised control variate."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.distributions import Conditioned
from tfgumbel.estimators._coupled import Coupled, CoupledEstimator
from tfgumbel.estimators.estimator import CostFn, register


@register("rebar")
class REBAR(CoupledEstimator):
    """REBAR: the Concrete relaxation of f as a control variate.

        [f(b) - η f(σ_τ(z̃))] ∇log q(b) + η ∇f(σ_τ(z)) - η ∇f(σ_τ(z̃))

    z = log π + G are perturbed logits, b their argmax (for Bernoulli variables
    their sign), z̃ perturbed logits drawn anew given b, σ_τ the softmax or
    sigmoid at temperature τ. Unbiased for every η and τ, which are learned by
    descending the mean square of the estimate; η = 0 is REINFORCE. f must be
    differentiable between the corners, without jumps, and may not stop its
    gradient in part or replace it: that is a bias.

    The noise of z̃ is tied to that of z: of all noise that gives b, it is the
    one with which z̃ = z. The expectation is that of independent noise, and
    f(σ_τ(z)) and its gradient are needed once: two evaluations of f per
    sample, one of them with its gradient. With `tied=False`, z̃ has noise of
    its own, and there are three, two of them with their gradient. Learning τ
    adds a second derivative of f, which `tf.py_function` does not have.

    Args:
        distribution: One with noise given its sample, as `"categorical"`.
        samples: S, samples per example; the estimate is their mean.
        eta: η, scale of the control variate, to begin with.
        temperature: τ > 0 to begin with.
        learn_eta: Whether η is learned.
        learn_temperature: Whether τ is learned.
        tied: Whether z̃ is z in value, or drawn with noise of its own.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> rebar = tg.estimators.REBAR("bernoulli")
    >>> cost = rebar(lambda z: z[:, 0] ** 2, tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein. REBAR: low-variance,
        unbiased gradient estimates for discrete latent variable models. NIPS
        2017.
    """

    needs: ClassVar = (Conditioned,)
    needs_gradient: ClassVar[bool] = True

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        eta: float = 1.0,
        temperature: float = 0.5,
        learn_eta: bool = True,
        learn_temperature: bool = True,
        tied: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        _checks.positive_number("temperature", temperature)
        self._arguments = {
            "eta": _checks.finite_number("eta", eta),
            "temperature": float(temperature),
            "learn_eta": learn_eta,
            "learn_temperature": learn_temperature,
            "tied": tied,
        }
        self.tied = tied
        self.eta = self.add_scalar("eta", eta, learn_eta)
        self.log_temperature = self.add_scalar(
            "log_temperature", math.log(temperature), learn_temperature
        )

    @property
    def evaluations(self) -> int:
        """At b, at σ(z) and, if it is another one, at σ(z̃)."""
        return (2 if self.tied else 3) * self.samples

    def _control(
        self, cost_fn: CostFn, draw: Coupled, context: tf.Tensor
    ) -> list[tf.Tensor]:
        """η times that of the relaxed cost."""
        tau = tf.exp(tf.convert_to_tensor(self.log_temperature))
        control = draw.control(
            lambda z: self.evaluate(cost_fn, draw.soften(z, tau)),
            self.require_gradient,
        )
        eta = tf.convert_to_tensor(self.eta)
        return [eta * zero_mean for zero_mean in control]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self._arguments}
