"""Subsets of k of n."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.distributions import Subset
from tfgumbel.layers._stochastic import (
    SamplingLayer,
    TemperatureLayer,
    loss_scale,
    masked,
)

# The estimators of each distribution, the default first.
_ESTIMATORS = {
    "subset": ("marginal",),
    "plackett_luce": ("relaxed", "implicit_mle"),
}


@keras.saving.register_keras_serializable(package="tfgumbel")
class SubsetSampler(TemperatureLayer, SamplingLayer):
    """k of n items, as a k-hot vector.

    Of two distributions, which are not the same:

    * `"subset"`: q(z) ∝ exp(z · logits) on the k-hot vectors, that of
      independent Bernoulli variables given that k of them are one. It has a
      probability, a score, marginals and a divergence (`KLDivergence`).
    * `"plackett_luce"`: the k largest of logits + Gumbel noise. Each item is
      drawn from softmax(logits) over those that are left. It has a
      relaxation, and no probability of a subset that were cheap.

    Of four items whose logits are the log-odds of the probabilities (0.3, 0.6,
    0.5, 0.2), and k = 2, an item is in a subset with probability (0.357, 0.762,
    0.659, 0.222) under the first and (0.329, 0.802, 0.672, 0.197) under the
    second. To score samples of one with the other is an error: even a constant
    cost then has a gradient.

    The estimator names the gradient, for an incoming g:

    | estimator | of | gradient with respect to the logits |
    |---|---|---|
    | `"marginal"` | subset | (∂μ/∂logits)ᵀ g, μ the marginals: SIMPLE |
    | `"relaxed"` | plackett_luce | of a sum of k softmaxes at temperature τ |
    | `"implicit_mle"` | plackett_luce | a difference of two subsets |

    All are biased, except that `"marginal"` is exact for a linear cost. What
    follows must be differentiable. (`ReinforceSampler("subset", k=k)` and
    `ExpectedCost` are for any other cost.)

    Time and memory of `"relaxed"` grow with k; those of the others hardly do.

    Args:
        k: Size of the subset: an integer from 1 to n, less than n for
            `"plackett_luce"`. For `"subset"` also a pair (low, high), for any
            size from low to high, or `None` for a size of each example: the
            inputs are then a pair (size, logits), as in
            `distributions.Subset`.
        distribution: `"subset"` or `"plackett_luce"`.
        estimator: One of the table; `None` for the first of the distribution.
        temperature: τ > 0 of `"relaxed"`: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`.
        hard: Whether training samples are k-hot. `False`, for `"relaxed"`
            alone, gives the relaxed ones, which sum to k; at τ near 1 or
            above, an entry may exceed 1.
        step: λ > 0 of `"implicit_mle"`: how far the logits are moved against
            g to see which items change. The loss's mean over the batch and
            sample weights are in g. A loss scale, as of an optimizer under
            `mixed_float16`, is taken off in Keras's own training step; in one
            of your own λ is to be divided by it.
        axis: Axis of the items.
        group_size: M: the axis is split into groups of M neighbours, and k of
            each are drawn, as in N:M sparsity (2 of 4, with `k=2`); `None`
            for no groups.
        inference: What the layer returns when not training: `"mode"` (the k
            likeliest items; draws nothing), `"sample"` (an exact sample),
            `"relaxed"` (as in training), or, for `"subset"`, `"mean"` (the
            marginals).
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient of `"relaxed"`, as in
            `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Unnormalised log-probabilities or log-odds, floating.
        category_mask: Optional boolean tensor that broadcasts to `logits`,
            `True` for legal items. A masked item is never drawn and receives
            no gradient. A row with fewer than k legal items is an error in
            eager mode; in a graph its k-hot holds those there are.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., n]` with n ≥ 2 items on `axis`.

    Output shape:
        That of the logits, in the layer's compute dtype. All is computed in
        float32 or wider whatever the policy.

    Raises:
        ValueError: If k is out of range, the estimator is not one of the
            distribution, or an argument belongs to another estimator.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.SubsetSampler(k=2, seed=1)
    >>> y = layer(np.zeros((3, 5), "float32"), training=True)
    >>> np.sum(y, -1)
    array([2., 2., 2.], dtype=float32)

    Reference:
        Ahmed, Zeng, Niepert, Van den Broeck. SIMPLE: a gradient estimator for
        k-subset sampling. ICLR 2023. Xie, Ermon. Reparameterizable subset
        sampling via continuous relaxations. IJCAI 2019. Niepert, Minervini,
        Franceschi. Implicit MLE. NeurIPS 2021. Kool, van Hoof, Welling.
        Stochastic beams and where to find them. ICML 2019.
    """

    training_modes = ("relaxed",)
    distribution: Subset

    def __init__(
        self,
        k: Any,
        distribution: str = "subset",
        *,
        estimator: str | None = None,
        temperature: Any = 1.0,
        hard: bool = True,
        step: float = 1.0,
        axis: int = -1,
        group_size: int | None = None,
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        known = _checks.choice("distribution", distribution, list(_ESTIMATORS))
        self._kind = known
        self.axis = _checks.axis(axis, None)
        if group_size is not None:
            group_size = _checks.positive_integer("group_size", group_size)
            if k is None:
                raise ValueError(
                    "Argument `group_size` needs `k`, one size for all "
                    f"groups. Received: k=None with group_size={group_size}"
                )
            # The items of a group stand after the groups.
            axis = axis if axis < 0 else axis + 1
        self.group_size = group_size
        super().__init__(Subset(k=k, axis=axis), inference, seed=seed, **kwargs)
        if known == "plackett_luce":
            k = _checks.positive_integer("k", k)
        self.k = self.distribution.k
        self._item_axis = self.distribution.axis
        self.estimator = _checks.choice(
            "estimator",
            _ESTIMATORS[known][0] if estimator is None else estimator,
            _ESTIMATORS[known],
        )
        self.hard = bool(hard)
        self.step = _checks.positive_number("step", step)
        self._refuse_what_has_no_effect(temperature, backward_temperature)
        if self.estimator == "relaxed":
            self.add_temperatures(temperature, backward_temperature)

    def _refuse_what_has_no_effect(
        self, temperature: Any, backward_temperature: Any
    ) -> None:
        if self.estimator == "relaxed":
            return
        default = isinstance(temperature, float) and temperature == 1.0
        for name, given in (
            ("temperature", temperature is not None and not default),
            ("backward_temperature", backward_temperature is not None),
            ("hard", not self.hard),
        ):
            if given:
                raise ValueError(
                    f"Argument `{name}` belongs to estimator='relaxed', of "
                    "distribution='plackett_luce'. Received: "
                    f"estimator={self.estimator!r}"
                )

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        if self._kind == "subset":
            return super().inference_modes
        return ("mode", "sample", "relaxed")

    @property
    def training_distribution(self) -> Subset | None:
        """The conditional Bernoulli distribution, of "marginal" alone."""
        exact = self.estimator == "marginal" and self.group_size is None
        return self.distribution if exact else None

    def build(self, logits_shape: Any) -> None:
        """Checks the shapes."""
        self._check_shapes(logits_shape)
        self.built = True

    def _check_shapes(self, logits_shape: Any) -> None:
        shapes = list(logits_shape) if self.k is None else [logits_shape]
        if self.group_size is not None:
            shapes = [self._grouped_shape(logits_shape)]
        self.distribution.check_shapes(shapes)
        if self._kind == "plackett_luce":
            _checks.subset_size(self.k, shapes[-1], self._item_axis)

    def _grouped_shape(self, shape: Any) -> tuple:
        shape = tuple(shape)
        axis = _checks.axis(self.axis, len(shape)) % len(shape)
        if shape[axis] is None or shape[axis] % self.group_size:
            raise ValueError(
                "Argument `group_size` must divide the number of items, "
                f"which has to be known. Received: group_size={self.group_size}"
                f" for logits of shape {shape} and axis={self.axis}"
            )
        groups = (shape[axis] // self.group_size, self.group_size)
        return shape[:axis] + groups + shape[axis + 1 :]

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a subset as a tensor of the shape of the logits."""
        if self.group_size is None:
            return self._call(logits, category_mask, training)
        logits = tf.convert_to_tensor(_checks.dense("logits", logits))
        size, axis = self.group_size, self.axis % logits.shape.rank
        if category_mask is not None:
            mask = _checks.booleans("category_mask", category_mask)
            mask = tf.broadcast_to(mask, tf.shape(logits))
            mask.set_shape(logits.shape)
            category_mask = ops.group(mask, size=size, axis=axis)
        grouped = ops.group(logits, size=size, axis=axis)
        sample = self._call(grouped, category_mask, training)
        return ops.ungroup(sample, axis=axis)

    def _call(
        self, logits: Any, category_mask: Any, training: Any
    ) -> tf.Tensor:
        logits = masked(self.distribution, logits, category_mask)
        if self.trains(training, logits):
            sample = self._trained(logits, training)
        elif self._kind == "plackett_luce" and self.mode == "sample":
            sample = self._largest(logits)
        else:
            parameters = self.distribution.constrain(logits)
            sample = tf.stop_gradient(self.infer(parameters))
        return self.finished(sample, category_mask)

    def _trained(self, logits: Any, training: Any) -> tf.Tensor:
        if self.estimator == "marginal":
            parameters = self.distribution.constrain(logits)
            sample = self.distribution.sample(parameters, self.next_seed())
            return self.distribution.through_mean(parameters, sample)
        noise = random.gumbel(tf.shape(logits), self.next_seed())
        if self.estimator == "implicit_mle":
            step = self.step / loss_scale()
            return ops.implicit_mle(
                logits, noise, k=self.k, step=step, axis=self._item_axis
            )
        temperature, backward = self.temperatures(training)
        return ops.relaxed_top_k(
            logits,
            noise,
            k=self.k,
            temperature=temperature,
            hard=self.hard,
            axis=self._item_axis,
            backward_temperature=backward,
        )

    def _largest(self, logits: tf.Tensor) -> tf.Tensor:
        """The k largest of logits + Gumbel noise, without a gradient."""
        (logits,) = self.distribution.constrain(logits)
        noise = random.gumbel(tf.shape(logits), self.next_seed())
        keys = logits + tf.cast(noise, logits.dtype)
        return tf.stop_gradient(ops.k_hot_top(keys, self.k, self._item_axis))

    def compute_output_spec(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> Any:
        """Returns the shape of the logits, in the compute dtype."""
        if self.group_size is None:
            tensors = self.distribution.check(logits)
        else:
            tensors = [logits]
            _checks.floating("logits", logits.dtype)
        shapes = [tensor.shape for tensor in tensors]
        self._check_shapes(shapes[0] if len(shapes) == 1 else shapes)
        return keras.KerasTensor(shapes[-1], dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "k": list(self.k) if isinstance(self.k, tuple) else self.k,
            "distribution": self._kind,
            "estimator": self.estimator,
            "hard": self.hard,
            "step": self.step,
            "axis": self.axis,
            "group_size": self.group_size,
        }
