"""Subsets drawn without replacement."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import finite_logits
from tfgumbel.layers._stochastic import CategoricalLayer, TemperatureLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class SubsetSampler(TemperatureLayer, CategoricalLayer):
    """k of K categories drawn without replacement, as a k-hot vector.

    The subset is that of the k largest logits + G (Gumbel top-k): an exact
    sample of the Plackett-Luce distribution, in which each category is drawn
    from softmax(logits) over those that are left. The gradient is that of the
    relaxed sample of `ops.relaxed_top_k`, a sum of k softmaxes at temperature
    τ: straight-through with `hard=True`, where the value is the k-hot itself,
    pathwise with `hard=False`. It is biased for the discrete subset, less so
    as τ falls, at the cost of variance. What follows must be differentiable.

    With k = 1 the layer is `GumbelSoftmax`. Time and memory of a training
    call grow with k.

    Args:
        k: Size of the subset, 1 ≤ k < K.
        temperature: τ > 0: a number, or a schedule `step -> τ`, as in
            `GumbelSoftmax`.
        hard: Whether training samples are k-hot. Relaxed ones sum to k; at τ
            near 1 or above, an entry may exceed 1.
        axis: Axis of the categories.
        inference: What the layer returns when not training: `"mode"` (k-hot
            of the k most likely categories; draws nothing), `"sample"` (an
            exact k-hot sample), or `"relaxed"` (as in training). There is no
            `"mean"`: inclusion probabilities have no cheap closed form.
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient, as in
            `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Unnormalised log-probabilities, floating.
        category_mask: Optional boolean tensor that broadcasts to `logits`,
            `True` for legal categories. A masked category is never drawn and
            receives no gradient. A row with fewer than k legal categories is
            an error in eager mode; in a graph its k-hot holds those there
            are.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., K]` with K > k categories on `axis`.

    Output shape:
        That of the logits, in the layer's compute dtype. Noise and relaxation
        are computed in float32 whatever the policy.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.SubsetSampler(k=2, temperature=0.5, seed=1)
    >>> y = layer(np.zeros((3, 5), "float32"), training=True)
    >>> np.sum(y, -1)
    array([2., 2., 2.], dtype=float32)

    Reference:
        Xie, Ermon. Reparameterizable subset sampling via continuous
        relaxations. IJCAI 2019. Kool, van Hoof, Welling. Stochastic beams and
        where to find them. ICML 2019.
    """

    def __init__(
        self,
        k: int,
        temperature: Any = 1.0,
        *,
        hard: bool = True,
        axis: int = -1,
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, inference=inference, seed=seed, **kwargs)
        self.k = self.least_categories = _checks.positive_integer("k", k)
        self.hard = bool(hard)
        self.add_temperatures(temperature, backward_temperature)

    @property
    def inference_modes(self) -> tuple[str, ...]:
        """What `inference` may be."""
        return ("mode", "sample", "relaxed")

    def build(self, logits_shape: Any) -> None:
        """Checks the shape of the logits."""
        super().build(logits_shape)
        _checks.subset_size(self.k, logits_shape, self.axis)

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a subset as a tensor of the shape of the logits."""
        logits = self.masked(logits, category_mask)
        if self.trains(training, logits):
            temperature, backward = self.temperatures(training)
            sample = ops.relaxed_top_k(
                logits,
                random.gumbel(tf.shape(logits), self.next_seed()),
                k=self.k,
                temperature=temperature,
                hard=self.hard,
                axis=self.axis,
                backward_temperature=backward,
            )
        else:
            sample = self._subset(finite_logits(logits))
        return self.finished(sample, category_mask)

    def _subset(self, logits: tf.Tensor) -> tf.Tensor:
        """The mode or an exact sample, without gradient."""
        if self.mode == "sample":
            noise = random.gumbel(tf.shape(logits), self.next_seed())
            logits += tf.cast(noise, logits.dtype)
        return tf.stop_gradient(ops.k_hot_top(logits, self.k, self.axis))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the shape of the logits, in the compute dtype."""
        spec = super().compute_output_spec(*args, **kwargs)
        _checks.subset_size(self.k, spec.shape, self.axis)
        return spec

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "k": self.k, "hard": self.hard}
