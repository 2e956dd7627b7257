"""Control variates of perturbed parameters, drawn anew given their sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions import Conditioned, Distribution, Parameters
from tfgumbel.estimators.algebra import (
    NOTHING_BY_ITSELF,
    attach,
    attach_weights,
    column,
    fold,
    mean_of_samples,
    repeat,
    score,
    squared_norm,
)
from tfgumbel.estimators.estimator import CostFn, Estimator

Control = Callable[[tf.Tensor], tf.Tensor]


class Coupled:
    """z, its sample b, and z̃ drawn anew given b.

    All in terms of fixed noise, so that z and z̃ can be formed again as
    differentiable functions of the parameters. If they are tied, the noise of
    z̃ is that with which z̃ is z: the joint distribution of b and z̃ is the same
    as with noise of its own, and a control variate is evaluated once for both.
    """

    def __init__(
        self,
        distribution: Distribution,
        parameters: Parameters,
        seed: Any,
        tied: bool,
    ) -> None:
        assert isinstance(distribution, Conditioned)
        self._distribution: Conditioned = distribution
        self._parameters = parameters
        self._tied = tied
        self._noise = distribution.noise(parameters, seed)
        if not tied:
            again = random.split(seed, 1)[0]
            self._second_noise = distribution.noise(parameters, again)
        self._free = distribution.perturb(parameters, self._noise)
        self.sample = distribution.harden(self._free)
        self._scores = score(distribution, parameters, self.sample)

    def control(
        self, control: Control, require: Callable[[Any], Any]
    ) -> list[tf.Tensor]:
        """∇c(z) - ∇c(z̃) - c(z̃) ∇log q(b), whose expectation is zero.

        Args:
            control: c, maps perturbed parameters `[n, ...]` to `[n]`.
            require: Refuses gradients that are `None`, where c has none in z.

        Returns:
            One tensor per parameter, of its shape.
        """
        apply = self._together if self._tied else self._apart
        value, difference = apply(control)
        return [
            slope - column(value, score) * score
            for slope, score in zip(
                require(difference), self._scores, strict=True
            )
        ]

    def score_function(self, cost: tf.Tensor) -> list[tf.Tensor]:
        """f(b) ∇log q(b), for costs `[n]`."""
        cost = tf.stop_gradient(cost)
        return [column(cost, score) * score for score in self._scores]

    def _together(self, control: Control) -> tuple[tf.Tensor, Any]:
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(self._free)
            value = control(self._free)
        slope = tape.gradient(value, self._free)
        if slope is None:
            return value, [None] * len(self._parameters)
        # After `tf.py_function` it tells no shape.
        slope = tf.ensure_shape(slope, self._free.shape)
        parameters = self._parameters
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(parameters)
            difference = self._distribution.tied_difference(
                parameters, self._noise
            )
        return value, tape.gradient(difference, parameters, slope)

    def _apart(self, control: Control) -> tuple[tf.Tensor, Any]:
        q, parameters = self._distribution, self._parameters
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(parameters)
            free = q.perturb(parameters, self._noise)
            conditional = q.perturb_given(
                parameters, self.sample, self._second_noise
            )
            both = control(tf.concat([free, conditional], axis=0))
            at_free, at_conditional = tf.unstack(fold(both, 2))
            difference = at_free - at_conditional
        return at_conditional, tape.gradient(difference, parameters)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        """The relaxed sample of perturbed parameters."""
        return self._distribution.soften(perturbed, temperature)


class CoupledEstimator(Estimator):
    """REINFORCE plus a control variate, which learns by the mean square."""

    tied: bool

    def _control(
        self, cost_fn: CostFn, draw: Coupled, context: tf.Tensor
    ) -> list[tf.Tensor]:
        """What is added to f(b) ∇log q(b), of mean zero."""
        raise NotImplementedError

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean of f(b)."""
        detached = tuple(map(tf.stop_gradient, parameters))
        detached = repeat(detached, self.samples)
        draw = Coupled(self.distribution, detached, seed, self.tied)
        cost = self.evaluate(cost_fn, draw.sample)
        weights = self.trainable_weights
        with tf.GradientTape(persistent=True, **NOTHING_BY_ITSELF) as learning:
            learning.watch([weight.value for weight in weights])
            gradients = [
                mean_of_samples(plain + added, self.samples)
                for plain, added in zip(
                    draw.score_function(cost),
                    self._control(cost_fn, draw, context),
                    strict=True,
                )
            ]
            square = squared_norm(gradients)
        value = mean_of_samples(cost, self.samples)
        value = attach_weights(value, weights, learning, square)
        return attach(value, parameters, gradients)
