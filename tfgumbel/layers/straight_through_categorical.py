"""One-hot samples with a straight-through gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.layers._annealed import AnnealedScalar
from tfgumbel.layers._inference import categorical_inference, draw_one_hot
from tfgumbel.layers._stochastic import CategoricalLayer


def _st(
    logits: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, axis: int
) -> tf.Tensor:
    sample = draw_one_hot(logits, axis, seed)
    return ops.straight_through(logits, sample, temperature, axis)


def _gumbel(
    logits: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, axis: int
) -> tf.Tensor:
    noise = random.gumbel(tf.shape(logits), seed)
    return ops.gumbel_softmax(logits, noise, temperature, True, axis)


# Maps (logits, seed, temperature, axis) to a one-hot sample with a gradient.
ESTIMATORS: dict[str, Callable[..., tf.Tensor]] = {"gumbel": _gumbel, "st": _st}


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughCategorical(CategoricalLayer):
    """Exact one-hot categorical samples, with a surrogate gradient.

    The value is always a true sample of softmax(logits); `estimator` names
    the gradient, for an incoming g:

    | estimator | gradient with respect to the logits |
    |---|---|
    | `"gumbel"` | J(y) g / τ, y the Gumbel-softmax sample whose argmax it is |
    | `"st"` | J(π) g / τ, π = softmax(logits / τ) |

    with J(p) = diag(p) - p pᵀ. Both are biased; what follows must be
    differentiable.

    Args:
        estimator: `"gumbel"` or `"st"`.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It never changes the value.
        axis: Axis of the categories.
        inference: As in `GumbelSoftmax`; `"relaxed"` draws as in training.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Unnormalised log-probabilities, floating.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., K]` with K ≥ 2 categories on `axis`.

    Output shape:
        That of the logits, in the layer's compute dtype.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.StraightThroughCategorical("st", seed=1)
    >>> z = layer(np.zeros((2, 3), "float32"), training=True)
    >>> np.sort(z, -1)
    array([[0., 0., 1.],
           [0., 0., 1.]], dtype=float32)

    Reference:
        Bengio, Léonard, Courville. Estimating or propagating gradients
        through stochastic neurons. 2013. Jang, Gu, Poole. Categorical
        reparameterization with Gumbel-softmax. ICLR 2017.
    """

    def __init__(
        self,
        estimator: str = "gumbel",
        temperature: Any = 1.0,
        axis: int = -1,
        inference: str = "mode",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, inference=inference, seed=seed, **kwargs)
        self.estimator = _checks.choice(
            "estimator", estimator, sorted(ESTIMATORS)
        )
        self._annealed = AnnealedScalar(
            self, "temperature", temperature, _checks.positive_number
        )
        self.temperature = self._annealed.variable

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a one-hot sample of the shape of the logits."""
        masked = ops.mask_logits(logits, category_mask, self.axis)
        if training or self.inference == "relaxed":
            draw = ESTIMATORS[self.estimator]
            temperature = self._annealed(training)
            sample = draw(masked, self.next_seed(), temperature, self.axis)
        else:
            sample = categorical_inference(
                masked, self.inference, self.axis, self.next_seed
            )
        sample = ops.mask_sample(sample, category_mask)
        return tf.cast(sample, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "temperature": self._annealed.get_config(),
        }
