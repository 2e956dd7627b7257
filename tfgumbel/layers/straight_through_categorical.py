"""One-hot samples with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.layers._stochastic import CategoricalLayer
from tfgumbel.layers._straight_through import StraightThroughLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughCategorical(StraightThroughLayer, CategoricalLayer):
    """Exact one-hot categorical samples, with a surrogate gradient.

    The value is always a true sample of softmax(logits); `estimator` names
    the gradient, for an incoming g:

    | estimator | gradient with respect to the logits |
    |---|---|
    | `"st_gumbel"` | J(y) g / τ, y the Gumbel-softmax sample |
    | `"st"` | J(π) g / τ, π = softmax(logits / τ) |
    | `"reinmax"` | 2 J(π_D) g - ½ J(π) g; see `ops.reinmax` |
    | `"gumbel_rao"` | that of `"st_gumbel"`, averaged over `noise_samples` |
    | `"zgr"` | the limit of the last as τ → 0; see `ops.zgr` |
    | `"gapped"` | J(y) g / τ, y without noise; `ops.gapped_straight_through` |
    | `"mve"` | `ops.minimum_variance_straight_through`, O(K³) |

    with J(p) = diag(p) - p pᵀ. All are biased, except that `"reinmax"` at
    τ = 1, `"zgr"`, and `"mve"` as τ → ∞ are exact for a quadratic cost. What
    follows must be differentiable.

    The default did best in the comparisons that the documentation reports
    ("Which estimator?"). Do not anneal the τ of `"reinmax"` below 1.

    Args:
        estimator: One of the names above.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It never changes the value.
        axis: Axis of the categories.
        inference: As in `GumbelSoftmax`, but for `"tempered_mean"`;
            `"relaxed"` draws as in training.
        seed: An integer makes the layer's noise reproducible.
        noise_samples: Noises that `"gumbel_rao"` averages over; the backward
            pass holds as many copies of the logits. Other estimators do not
            use it.
        backward_temperature: For `"st_gumbel"`, the τ of the gradient in place
            of `temperature`, as in `GumbelSoftmax`: the value is hard, and
            depends on neither.
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
        reparameterization with Gumbel-softmax. ICLR 2017. Liu et al. Bridging
        discrete and backpropagation. NeurIPS 2023. The ops name the others.
    """

    def __init__(
        self,
        estimator: str = "reinmax",
        temperature: Any = 1.0,
        *,
        axis: int = -1,
        inference: str = "mode",
        seed: int | None = None,
        noise_samples: int = 10,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, inference=inference, seed=seed, **kwargs)
        self.add_estimator(
            estimator, temperature, backward_temperature, noise_samples
        )

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a one-hot sample of the shape of the logits."""
        logits = self.masked(logits, category_mask)
        if self.trains(training, logits):
            sample = self.drawn(logits, training)
        else:
            sample = self.infer(self.distribution.constrain(logits))
        return self.finished(sample, category_mask)
