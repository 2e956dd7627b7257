"""Bernoulli samples with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.layers._stochastic import SamplingLayer
from tfgumbel.layers._straight_through import StraightThroughLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughBernoulli(StraightThroughLayer, SamplingLayer):
    """Exact Bernoulli samples, with a surrogate gradient.

    The value is always a true sample of Bernoulli(sigmoid(logits));
    `estimator` names the gradient, for an incoming g:

    | estimator | gradient with respect to the logits |
    |---|---|
    | `"st_gumbel"` | g · y (1 - y) / τ, y the binary concrete sample |
    | `"st"` | g · p (1 - p) / τ, p = sigmoid(logits / τ) |

    and `"reinmax"`, `"gumbel_rao"`, `"zgr"`, `"gapped"` and `"mve"` are those
    of `StraightThroughCategorical` for the two categories with logits
    (θ, 0). All are biased; what follows must be differentiable. The default
    is that of `StraightThroughCategorical`.

    Args:
        estimator: One of the names above.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It never changes the value.
        inference: As in `BinaryConcrete`, but for `"tempered_mean"`;
            `"relaxed"` draws as in training.
        seed: An integer makes the layer's noise reproducible.
        noise_samples: Noises that `"gumbel_rao"` averages over. Others do not
            use it.
        backward_temperature: For `"st_gumbel"`, the τ of the gradient in place
            of `temperature`, as in `StraightThroughCategorical`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Log-odds of independent variables, floating.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ...]`.

    Output shape:
        That of the logits, in the layer's compute dtype.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.StraightThroughBernoulli("st", seed=1)
    >>> layer(np.array([[100.0, -100.0]], "float32"), training=True).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """

    training_modes = ("relaxed",)

    def __init__(
        self,
        estimator: str = "reinmax",
        temperature: Any = 1.0,
        *,
        inference: str = "mode",
        seed: int | None = None,
        noise_samples: int = 10,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        bernoulli = distributions.Bernoulli()
        super().__init__(bernoulli, inference, seed=seed, **kwargs)
        self.add_estimator(
            estimator, temperature, backward_temperature, noise_samples
        )

    def call(self, logits: Any, training: Any = None) -> tf.Tensor:
        """Returns a sample of the shape of the logits."""
        if self.trains(training, logits):
            sample = self.drawn(logits, training)
        else:
            sample = self.infer(self.distribution.constrain(logits))
        return tf.cast(sample, self.compute_dtype)
