"""REINFORCE with a relaxed, reparameterised control variate."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import _checks, random
from tfgumbel.estimators.distribution import per_example
from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    attach,
    attach_weights,
    register,
    repeat,
)
from tfgumbel.estimators.rloo import weigh


@register("rebar")
class Rebar(Estimator):
    """REBAR: the Concrete relaxation of f as a control variate.

        [f(b) - η f(σ_τ(z̃))] ∇log q(b) + η ∇f(σ_τ(z)) - η ∇f(σ_τ(z̃))

    z = log π + G are perturbed logits, b their argmax (their sign, for bits),
    z̃ perturbed logits drawn anew given b, σ_τ the softmax or sigmoid at
    temperature τ. Unbiased for every η and τ, which are learned by descending
    the mean square of the estimate; η = 0 is REINFORCE. f must be
    differentiable between the corners. Three evaluations of f per sample, two
    of them with their gradient; learning τ adds a second derivative of f.

    Args:
        distribution: `"categorical"` or `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        eta: η, scale of the control variate, to begin with.
        temperature: τ > 0 to begin with.
        learn_eta: Whether η is learned.
        learn_temperature: Whether τ is learned.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> rebar = tg.estimators.Rebar("bernoulli")
    >>> cost = rebar(lambda z: z[:, 0] ** 2, tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein. REBAR: low-variance,
        unbiased gradient estimates for discrete latent variable models. NIPS
        2017.
    """

    needs_gradient: ClassVar[bool] = True

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 1,
        eta: float = 1.0,
        temperature: float = 0.5,
        learn_eta: bool = True,
        learn_temperature: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        _checks.positive_number("temperature", temperature)
        self._arguments = {
            "eta": _checks.finite_number("eta", eta),
            "temperature": float(temperature),
            "learn_eta": learn_eta,
            "learn_temperature": learn_temperature,
        }
        self.eta = scalar(self, "eta", eta, learn_eta)
        self.log_temperature = scalar(
            self, "log_temperature", math.log(temperature), learn_temperature
        )

    @property
    def evaluations(self) -> int:
        """At b, at σ(z) and at σ(z̃)."""
        return 3 * self.samples

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns the mean of f(b)."""
        detached = repeat(tf.stop_gradient(logits), self.samples)
        draw = Coupled(self.law, detached, seed)
        cost = self.evaluate(cost_fn, draw.sample)
        weights = self.trainable_weights
        with tf.GradientTape(persistent=True, **WEIGHTS_ONLY) as learning:
            learning.watch([weight.value for weight in weights])
            tau = tf.exp(tf.convert_to_tensor(self.log_temperature))
            with tf.GradientTape(**WEIGHTS_ONLY) as tape:
                tape.watch(detached)
                relaxed = self.law.soften(draw.perturbed(detached), tau)
                values = self.evaluate(cost_fn, relaxed)
                free, conditional = tf.unstack(self.fold(values, 2))
                difference = free - conditional
            path = self.require_gradient(tape.gradient(difference, detached))
            eta = tf.convert_to_tensor(self.eta)
            residual = tf.stop_gradient(cost) - eta * conditional
            estimate = weigh(residual[None], draw.score[None]) + eta * path
            gradient = self.mean_gradient(estimate)
            square = per_example(tf.square(gradient))
        value = tf.reduce_mean(self.fold(cost, self.samples), axis=0)
        value = attach_weights(value, weights, learning, square)
        return attach(value, logits, gradient)

    def mean_gradient(self, estimate: tf.Tensor) -> tf.Tensor:
        """The mean over samples of the estimates of single rows."""
        return tf.reduce_mean(self.fold(estimate, self.samples), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self._arguments}


# A tape for the control variate must not see the variables of the model.
WEIGHTS_ONLY = {"watch_accessed_variables": False}


class Coupled:
    """Perturbed logits z, their sample b, and z̃ drawn anew given b.

    All in terms of fixed noise, so that z and z̃ can be formed again as
    differentiable functions of the logits.
    """

    def __init__(self, law: Any, logits: tf.Tensor, seed: Any) -> None:
        self.law = law
        self.noise = law.noise(logits, seed)
        self.second_noise = law.noise(logits, random.split(seed, 1)[0])
        self.sample = law.harden(logits + self.noise)
        self.score = self.sample - law.mean(logits)

    def perturbed(self, logits: tf.Tensor) -> tf.Tensor:
        """z and z̃ in one batch, `[2n, ...]` for n rows."""
        logits = self.law.normalize(logits)
        conditional = self.law.conditional(
            logits, self.sample, self.second_noise
        )
        return tf.concat([logits + self.noise, conditional], axis=0)


def scalar(
    layer: keras.layers.Layer, name: str, value: float, trainable: bool
) -> keras.Variable:
    """A scalar float32 weight of the layer."""
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(float(value)),
        trainable=trainable,
        autocast=False,
        dtype="float32",
        name=name,
    )
