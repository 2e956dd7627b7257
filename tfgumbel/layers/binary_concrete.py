"""The binary concrete layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, distributions, ops, random
from tfgumbel.layers._relaxed import RelaxedLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class BinaryConcrete(RelaxedLayer):
    """Relaxed Bernoulli sample y = sigmoid((logits + L) / τ), L logistic.

    The Gumbel-softmax for Bernoulli variables, with one logit each instead of
    two. Gradients flow through y by y(1 - y)/τ: unbiased for the relaxed
    model, biased for the discrete one. What follows must be differentiable.
    `hard=True` gives exact zeros and ones in the forward pass with the
    gradient of y.

    Args:
        temperature: τ > 0: a number, or a schedule `step -> τ`, as in
            `GumbelSoftmax`. Maddison et al. recommend 2/3.
        hard: Whether training samples are zeros and ones.
        inference: What the layer returns when not training: `"mode"` (1 where
            the logit is above 0; draws nothing), `"sample"` (an exact sample),
            `"mean"` (the probability), `"tempered_mean"` (sigmoid(logits /
            τ)), or `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient, as in
            `GumbelSoftmax`.
        trainable_temperature: Whether τ is learned, as in `GumbelSoftmax`.
        return_relaxed: Whether to return a pair, as in `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Log-odds of independent variables, floating.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ...]`.

    Output shape:
        That of the logits, in the layer's compute dtype; two of them with
        `return_relaxed`.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.BinaryConcrete(hard=True, seed=1)
    >>> layer(np.array([[100.0, -100.0]], "float32"), training=True).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """

    def __init__(
        self,
        temperature: Any = 1.0,
        hard: bool = False,
        *,
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        trainable_temperature: bool = False,
        return_relaxed: bool = False,
        **kwargs: Any,
    ) -> None:
        bernoulli = distributions.Bernoulli()
        super().__init__(bernoulli, inference, seed=seed, **kwargs)
        self.add_relaxation(
            temperature,
            hard,
            backward_temperature,
            trainable=trainable_temperature,
            return_relaxed=return_relaxed,
        )

    def call(self, logits: Any, training: Any = None) -> Any:
        """Returns a sample of the shape of the logits."""
        return self.sampled(_checks.bernoulli_logits(logits), training)

    def relax(
        self, logits: tf.Tensor, noise: tf.Tensor, hard: bool, **temperatures
    ) -> tf.Tensor:
        """The sample that belongs to the noise."""
        return ops.binary_concrete(logits, noise, hard=hard, **temperatures)

    def noise(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Standard logistic noise."""
        return random.logistic(shape, seed)
