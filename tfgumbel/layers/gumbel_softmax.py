"""The Gumbel-softmax layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.layers._relaxed import RelaxedLayer
from tfgumbel.layers._stochastic import CategoricalLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class GumbelSoftmax(RelaxedLayer, CategoricalLayer):
    """Relaxed categorical sample y = softmax((logits + G) / τ).

    Gradients flow through y by the pathwise derivative J(y)/τ. They are
    unbiased for the relaxed model; for the discrete one they are biased, less
    so as τ falls, at the cost of variance. What follows the layer must be
    differentiable.

    `hard=True` gives exact one-hot samples in the forward pass with the
    gradient of y in the backward pass (straight-through Gumbel-softmax): the
    gradient flows, and it is biased.

    Args:
        temperature: τ > 0: a number, or a schedule `step -> τ` that is then
            followed inside the graph, one step per training call. The
            current value is the variable `layer.temperature`; a
            `TemperatureScheduler` sets it.
            `tg.recommended_temperature(K)` gives values that worked.
        hard: Whether training samples are one-hot.
        axis: Axis of the categories.
        inference: What the layer returns when not training: `"mode"` (one-hot
            of the most likely category; draws nothing), `"sample"` (an exact
            one-hot sample), `"mean"` (the probabilities), `"tempered_mean"`
            (softmax(logits / τ)), or `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ > 0 for the gradient, a number or a
            schedule: y has the temperature τ and the gradient J(y_b) g / τ_b
            (decoupled; see `ops.gumbel_softmax`). The current value is the
            variable `layer.backward_temperature`. `None` for the same.
        trainable_temperature: Whether τ is learned, by its pathwise gradient,
            from `temperature` on. The weight is log τ, so that τ stays
            positive; `layer.temperature` is its current value. Relaxed
            samples only, without schedule or `backward_temperature`.
        return_relaxed: Whether to return a pair: the value, and the relaxed
            sample y of the same noise. Where nothing is drawn, y is that of
            no noise, softmax(logits / τ).
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Unnormalised log-probabilities, floating.
        category_mask: Optional boolean tensor that broadcasts to `logits`,
            `True` for legal categories. A masked category is never drawn and
            receives no gradient. A row with no legal category is an error in
            eager mode; in a graph it gives zeros and no gradient.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., K]` with K ≥ 2 categories on `axis`.

    Output shape:
        That of the logits, in the layer's compute dtype; two of them with
        `return_relaxed`. Noise and softmax are computed in float32 whatever
        the policy.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.GumbelSoftmax(temperature=0.5, seed=1)
    >>> y = layer(np.zeros((2, 3), "float32"), training=True)
    >>> np.allclose(np.sum(y, -1), 1.0)
    True

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017. Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
        Shah, Yan, Mozer, Liu. Improving discrete optimisation via decoupled
        straight-through Gumbel-softmax. 2024.
    """

    def __init__(
        self,
        temperature: Any = 1.0,
        hard: bool = False,
        *,
        axis: int = -1,
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        trainable_temperature: bool = False,
        return_relaxed: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, inference=inference, seed=seed, **kwargs)
        self.add_relaxation(
            temperature,
            hard,
            backward_temperature,
            trainable=trainable_temperature,
            return_relaxed=return_relaxed,
        )

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> Any:
        """Returns a sample of the shape of the logits."""
        logits = self.masked(logits, category_mask)
        return self.sampled(logits, training, category_mask)

    def relax(
        self, logits: tf.Tensor, noise: tf.Tensor, hard: bool, **temperatures
    ) -> tf.Tensor:
        """The sample that belongs to the noise."""
        return ops.gumbel_softmax(
            logits, noise, hard=hard, axis=self.axis, **temperatures
        )

    def noise(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Standard Gumbel noise."""
        return random.gumbel(shape, seed)
