"""REINFORCE with a learned, reparameterised control variate."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import _checks, _saving
from tfgumbel.distributions import Conditioned
from tfgumbel.estimators._coupled import Coupled, CoupledEstimator
from tfgumbel.estimators.algebra import NOTHING_BY_ITSELF, tile_context
from tfgumbel.estimators.control_variate import ControlVariate
from tfgumbel.estimators.estimator import CostFn, register


@register("relax")
class RELAX(CoupledEstimator):
    """RELAX: a network c as a control variate.

        [f(b) - c(z̃)] ∇log q(b) + ∇c(z) - ∇c(z̃)

    z = log π + G are perturbed logits, b their argmax (their sign, for
    Bernoulli variables)
    and z̃ perturbed logits drawn anew given b. Unbiased for every c, which is
    learned by descending the mean square of the estimate; c = 0 is REINFORCE.
    f may be anything: one evaluation per sample, next to the network's. With
    `relaxed_cost=True`, c is the network plus η f(σ_τ(·)); then f must be
    differentiable, as for `REBAR`, and is evaluated twice.

    The noise of z̃ is that with which z̃ = z, as in `REBAR`, so that c is
    evaluated once per sample; with `tied=False`, z̃ has noise of its own, and
    c is evaluated at both.

    Args:
        distribution: One with noise given its sample, as `"categorical"`.
        samples: S, samples per example; the estimate is their mean.
        network: Keras layer, called as `network([z, context])` with z of the
            shape of the logits, that gives one value per example, `[B]` or
            `[B, 1]`; `None` for `ControlVariate()`. It should be
            differentiable twice: tanh or softplus rather than ReLU.
        relaxed_cost: Whether c includes η f(σ_τ(z)).
        temperature: τ > 0 to begin with, of `relaxed_cost`; learned.
        tied: Whether z̃ is z in value, or drawn with noise of its own.
        **kwargs: As in `Estimator`.

    Raises:
        TypeError: If the network is no Keras layer.
        ValueError: At the call, if the cost has no gradient in z and
            `relaxed_cost` asks for one.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> relax = tg.estimators.RELAX("bernoulli")
    >>> cost = relax(lambda z: z[:, 0] ** 2, tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Grathwohl, Choi, Wu, Roeder, Duvenaud. Backpropagation through the
        void. ICLR 2018.
    """

    needs: ClassVar = (Conditioned,)

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        network: keras.layers.Layer | None = None,
        relaxed_cost: bool = False,
        temperature: float = 0.5,
        tied: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        if isinstance(network, dict):
            kinds = (keras.layers.Layer,)
            network = _saving.deserialize("network", network, kinds)
        if network is None:
            network = ControlVariate(self.distribution)
        if not isinstance(network, keras.layers.Layer):
            raise TypeError(
                "Argument `network` must be a Keras layer, called as "
                f"network([z, context]). Received: network={network!r}"
            )
        self.network = network
        self.relaxed_cost = relaxed_cost
        self.tied = tied
        self._temperature = _checks.positive_number("temperature", temperature)
        if relaxed_cost:
            self.eta = self.add_scalar("eta", 1.0, True)
            self.log_temperature = self.add_scalar(
                "log_temperature", math.log(temperature), True
            )

    @property
    def evaluations(self) -> int:
        """At b; with `relaxed_cost` at σ(z) and, if another one, σ(z̃) too."""
        relaxed = (1 if self.tied else 2) if self.relaxed_cost else 0
        return (1 + relaxed) * self.samples

    def build(self, parameters_shape: Any, context_shape: Any = None) -> None:
        """Builds the network for these shapes."""
        shape = tuple(parameters_shape)
        if context_shape is None:
            context_shape = shape
        if not self.network.built:
            _saving.build(self.network, [shape, tuple(context_shape)])
        self.built = True

    def _control(
        self, cost_fn: CostFn, draw: Coupled, context: tf.Tensor
    ) -> list[tf.Tensor]:
        """That of the network."""
        return draw.control(
            lambda z: self._value(cost_fn, draw, z, context),
            self.require_gradient,
        )

    def _value(
        self,
        cost_fn: CostFn,
        draw: Coupled,
        perturbed: tf.Tensor,
        context: tf.Tensor,
    ) -> tf.Tensor:
        context = tile_context(context, perturbed)
        value = tf.cast(self.network([perturbed, context]), tf.float32)
        if value.shape.rank == 2 and value.shape[-1] == 1:
            value = tf.squeeze(value, -1)
        if not value.shape.is_compatible_with([perturbed.shape[0]]):
            raise ValueError(
                "Argument `network` must give one value per example, [B] or "
                f"[B, 1]. Received: a value of shape {value.shape} for "
                f"perturbed logits of shape {perturbed.shape}"
            )
        if not self.relaxed_cost:
            return value
        tau = tf.exp(tf.convert_to_tensor(self.log_temperature))
        relaxed = draw.soften(perturbed, tau)
        # A network connects c to z whatever f does: ask f by itself.
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(relaxed)
            cost = self.evaluate(cost_fn, relaxed)
        self.require_gradient(tape.gradient(cost, relaxed))
        return value + tf.convert_to_tensor(self.eta) * cost

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "relaxed_cost": self.relaxed_cost,
            "temperature": self._temperature,
            "tied": self.tied,
        }
