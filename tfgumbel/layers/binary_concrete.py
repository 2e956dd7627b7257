"""The binary concrete layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.layers._bernoulli import BernoulliLayer
from tfgumbel.layers._temperature import refuse_hard


@keras.saving.register_keras_serializable(package="tfgumbel")
class BinaryConcrete(BernoulliLayer):
    """Relaxed Bernoulli sample y = sigmoid((logits + L) / τ), L logistic.

    The Gumbel-softmax for bits: one logit per bit instead of two. Gradients
    flow through y by y(1 - y)/τ: unbiased for the relaxed model, biased for
    the discrete one. What follows must be differentiable. `hard=True` gives
    exact zeros and ones in the forward pass with the gradient of y.

    Args:
        temperature: τ > 0: a number, or a schedule `step -> τ`, as in
            `GumbelSoftmax`. Maddison et al. recommend 2/3.
        hard: Whether training samples are zeros and ones.
        inference: What the layer returns when not training: `"mode"` (1 where
            the logit is above 0; draws nothing), `"sample"` (an exact sample),
            `"mean"` (the probability), or `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient, as in
            `GumbelSoftmax`.
        trainable_temperature: Whether τ is learned, as in `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Log-odds of independent bits, floating.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ...]`.

    Output shape:
        That of the logits, in the layer's compute dtype.

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
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        trainable_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse_hard(bool(hard), trainable_temperature)
        super().__init__(
            temperature,
            inference,
            backward_temperature,
            trainable_temperature,
            seed=seed,
            **kwargs,
        )
        self.hard = bool(hard)

    def _draw(
        self,
        logits: tf.Tensor,
        seed: tf.Tensor,
        temperature: tf.Tensor,
        backward: Any,
    ) -> tf.Tensor:
        noise = random.logistic(tf.shape(logits), seed)
        return ops.binary_concrete(
            logits, noise, temperature, self.hard, backward
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "hard": self.hard,
            "trainable_temperature": self.trainable_temperature,
        }
