"""Bits with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.estimators.draws import NAMES, Draw, draw_bernoulli
from tfgumbel.layers._bernoulli import BernoulliLayer
from tfgumbel.layers._temperature import require_gumbel


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughBernoulli(BernoulliLayer):
    """Exact Bernoulli samples, with a surrogate gradient.

    The value is always a true sample of Bernoulli(sigmoid(logits));
    `estimator` names the gradient, for an incoming g:

    | estimator | gradient with respect to the logits |
    |---|---|
    | `"gumbel"` | g · y (1 - y) / τ, y the binary concrete sample it rounds |
    | `"st"` | g · p (1 - p) / τ, p = sigmoid(logits / τ) |

    and `"reinmax"`, `"gumbel_rao"`, `"zgr"`, `"gapped"` and `"mve"` are those
    of `StraightThroughCategorical` for the two categories with logits
    (θ, 0). All are biased; what follows must be differentiable. The default
    is that of `StraightThroughCategorical`, where its measurements are.

    Args:
        estimator: One of the names above.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It never changes the value.
        inference: As in `BinaryConcrete`; `"relaxed"` draws as in training.
        seed: An integer makes the layer's noise reproducible.
        samples: Noise samples of `"gumbel_rao"`. Others do not use it.
        backward_temperature: For `"gumbel"`, the τ of the gradient in place
            of `temperature`, as in `StraightThroughCategorical`.
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
    >>> layer = tg.StraightThroughBernoulli("st", seed=1)
    >>> layer(np.array([[100.0, -100.0]], "float32"), training=True).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013.
    """

    def __init__(
        self,
        estimator: str = "reinmax",
        temperature: Any = 1.0,
        inference: str = "mode",
        seed: int | None = None,
        samples: int = 10,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        require_gumbel(estimator, backward_temperature)
        super().__init__(
            temperature, inference, backward_temperature, seed=seed, **kwargs
        )
        self.estimator = _checks.choice("estimator", estimator, NAMES)
        self.samples = _checks.positive_integer("samples", samples)

    def _draw(
        self,
        logits: tf.Tensor,
        seed: tf.Tensor,
        temperature: tf.Tensor,
        backward: Any,
    ) -> tf.Tensor:
        tau = temperature if backward is None else backward
        draw = Draw(seed, tau, samples=self.samples)
        return draw_bernoulli(self.estimator, logits, draw)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "samples": self.samples,
        }
