"""One-hot samples with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops
from tfgumbel.estimators.draws import NAMES, Draw, draw_categories
from tfgumbel.layers._inference import categorical_inference
from tfgumbel.layers._stochastic import CategoricalLayer
from tfgumbel.layers._temperature import TemperatureLayer, require_gumbel


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughCategorical(TemperatureLayer, CategoricalLayer):
    """Exact one-hot categorical samples, with a surrogate gradient.

    The value is always a true sample of softmax(logits); `estimator` names
    the gradient, for an incoming g:

    | estimator | gradient with respect to the logits |
    |---|---|
    | `"gumbel"` | J(y) g / τ, y the Gumbel-softmax sample whose argmax it is |
    | `"st"` | J(π) g / τ, π = softmax(logits / τ) |
    | `"reinmax"` | 2 J(π_D) g - ½ J(π) g; see `ops.reinmax` |
    | `"gumbel_rao"` | that of `"gumbel"`, averaged over `samples` noises |
    | `"zgr"` | the limit of the last as τ → 0; see `ops.zgr` |
    | `"gapped"` | J(y) g / τ, y without noise; `ops.gapped_straight_through` |
    | `"mve"` | `ops.minimum_variance_straight_through`, O(K³) |

    with J(p) = diag(p) - p pᵀ. All are biased, save that `"reinmax"` at
    τ = 1, `"zgr"`, and `"mve"` as τ → ∞ are exact for a quadratic cost. What
    follows must be differentiable.

    The default was measured. Test -ELBO in nats of the categorical VAE of the
    examples (8x8 digits, 8 variables of 10 classes, each estimator at the best
    τ tried, mean of seeds 0 and 1): 24.18 for `"reinmax"`, 24.25 `"zgr"`,
    24.45 `"gumbel_rao"`, 24.49 `"gumbel"` with τ annealed from 1 to 0.3, 25.05
    `"st"`. With 4 variables of 8 classes, training -ELBO after 4,000 steps
    (three seeds, `benchmarks/results/comparison.json`): 24.04 ± 0.06 `"mve"`
    at τ = 10⁶, 24.09 ± 0.04 `"reinmax"`, 24.09 `"zgr"`, 24.45 `"gumbel_rao"`,
    24.59 `"gumbel"`, 24.78 `"gapped"`, 25.15 `"st"`. Do not anneal the τ of
    `"reinmax"` below 1.

    Args:
        estimator: One of the names above.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It never changes the value.
        axis: Axis of the categories.
        inference: As in `GumbelSoftmax`; `"relaxed"` draws as in training.
        seed: An integer makes the layer's noise reproducible.
        samples: Noise samples of `"gumbel_rao"`; the backward pass holds as
            many copies of the logits. Other estimators do not use it.
        backward_temperature: For `"gumbel"`, the τ of the gradient in place
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
        axis: int = -1,
        inference: str = "mode",
        seed: int | None = None,
        samples: int = 10,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, inference=inference, seed=seed, **kwargs)
        self.estimator = _checks.choice("estimator", estimator, NAMES)
        self.samples = _checks.positive_integer("samples", samples)
        require_gumbel(estimator, backward_temperature)
        self._add_temperatures(temperature, backward_temperature)

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a one-hot sample of the shape of the logits."""
        masked = ops.mask_logits(logits, category_mask, self.axis)
        mode = self._mode
        if training or mode == "relaxed":
            tau, backward = self._temperatures(training)
            tau = tau if backward is None else backward
            draw = Draw(self.next_seed(), tau, self.axis, self.samples)
            sample = draw_categories(self.estimator, masked, draw)
        else:
            sample = categorical_inference(
                masked, mode, self.axis, self.next_seed
            )
        sample = ops.mask_sample(sample, category_mask)
        return tf.cast(sample, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "samples": self.samples,
        }
