"""A loss that keeps codes, or experts, in use."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, _saving, schedules
from tfgumbel._precision import in_working_precision, without_infinity
from tfgumbel.layers._codebook import position_mask
from tfgumbel.layers._replicas import summed
from tfgumbel.layers._stochastic import CalledOnce, first_mask

KINDS = ("diversity", "entropy", "load_balance")


@keras.saving.register_keras_serializable(package="tfgumbel")
class CodeUsageLoss(CalledOnce):
    """Adds a loss that is least where all K codes are used alike.

    Of the probabilities p of the codes, with p̄ their mean over the batch and
    H the entropy in nats:

    - `"diversity"`: 1 - exp(H(p̄)) / K, the share of the codes that are not in
      use: from 0, all are used alike, to 1 - 1/K, one is used alone. Over G
      codebooks it is (G K - Σ_g exp(H(p̄_g))) / (G K), as in wav2vec 2.0.
    - `"entropy"`: mean H(p) - γ H(p̄): each input is sure of its code, all
      together use all. From -γ log K, and that is reached when each is sure
      and all are used alike, to (1 - γ) log K where γ is at most 1, every
      input unsure; and 0 where all are sure of one code.
    - `"load_balance"`: K Σ_k f_k p̄_k, with f_k the share of the inputs that
      code k is given to: 1 where all are used alike, K where one is used
      alone. f has no gradient.

    It is computed for each variable, averaged over those that any example has
    unmasked, and `weight` times that is added to the model's loss, in training
    and in evaluation. The input is passed through. As with any loss of Keras
    that a layer adds, sample weights do not reach it; a mask does.

    p̄ and f are those of the whole batch, over all replicas of a strategy: the
    loss and its gradient are those of one device. Small batches use few codes,
    whatever the model does: `momentum` brings former batches in, as those of
    `gradient_accumulation_steps`.

    Args:
        kind: `"diversity"`, `"entropy"` or `"load_balance"`.
        weight: Factor of the loss, at least 0: a number, or a schedule
            `step -> weight`. Assign to `layer.weight`, or let
            `TemperatureScheduler(..., attribute="weight")` do it.
        gamma: γ of `"entropy"`, at least 0.
        from_logits: Whether inputs are logits. Otherwise they are
            probabilities, or one-hot codes with a gradient, that sum to 1.
        shared: Whether all variables share one codebook, as the positions of
            an image do: their probabilities are then averaged together. Or the
            axes along which they do, as in `metrics.CodePerplexity`.
        momentum: Share of the former batches in p̄ and f, at least 0 and below
            1: the average is m · former + (1 - m) · batch, from the second
            training batch on that a variable is unmasked in. The gradient is
            that in the batch's own p̄, as if it were the whole.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Logits or probabilities, floating, returned unchanged.
        routed: For `"load_balance"`, the codes that were drawn, one-hot, or
            the k that were: of the shape of the inputs. By default the
            likeliest one.
        training: Whether a schedule takes a step, and an average moves on.
        mask: Keras's mask, such as `[B, T]` of a sequence: masked steps do not
            count.

    Input shape:
        `[B, ..., K]`.

    Output shape:
        That of the inputs.

    Raises:
        ValueError: For an unknown `kind`, fewer than 2 codes, a negative
            weight, or inputs that are no probabilities (where that is seen).

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.CodeUsageLoss("diversity")
    >>> _ = layer(np.zeros((8, 4), "float32"))  # used alike
    >>> float(layer.losses[0])
    0.0

    Reference:
        Baevski, Zhou, Mohamed, Auli. wav2vec 2.0. NeurIPS 2020. Yu et al.
        Language model beats diffusion: tokenizer is key to visual generation.
        ICLR 2024. Fedus, Zoph, Shazeer. Switch transformers. JMLR 2022.
    """

    weight = schedules.AnnealedAttribute()

    def __init__(
        self,
        kind: str,
        *,
        weight: Any = 1.0,
        gamma: float = 1.0,
        from_logits: bool = True,
        shared: Any = False,
        momentum: float = 0.0,
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.supports_masking = True
        self.kind = _checks.choice("kind", kind, KINDS)
        self._weight = self.add_annealed(
            "weight", weight, _checks.not_negative_number
        )
        self.gamma = _checks.not_negative_number("gamma", gamma)
        if kind != "entropy" and gamma != 1.0:
            raise ValueError(
                "Argument `gamma` belongs to kind='entropy'. "
                f"Received: gamma={gamma!r} with kind={kind!r}"
            )
        self.from_logits = bool(from_logits)
        self.shared = _checks.shared_axes(shared)
        self.momentum = _checks.number_between("momentum", momentum, 0.0, 1.0)
        self.add_log()

    def build(self, inputs_shape: Any, routed_shape: Any = None) -> None:
        """Checks the shape, and makes the averages of former batches."""
        self._check(inputs_shape)
        if self.momentum:
            shape = self._averaged_shape(inputs_shape)
            own: Any = {
                "dtype": "float32",
                "autocast": False,
                "initializer": "zeros",
                "trainable": False,
                # Replicas make the same change, of what they have summed up.
                "aggregation": "none",
            }
            self.mean = self.add_weight(shape=shape, name="mean", **own)
            self.share = self.add_weight(shape=shape, name="share", **own)
        self.built = True

    def call(
        self,
        inputs: Any,
        routed: Any = None,
        training: Any = None,
        mask: Any = None,
    ) -> Any:
        """Returns the inputs, having added the loss."""
        usage = self.usage(inputs, routed, training=training, mask=mask)
        loss = self._weight(training) * tf.cast(usage, tf.float32)
        self.add_logged_loss(loss, tf.shape(inputs)[0])
        return inputs

    def usage(
        self,
        inputs: Any,
        routed: Any = None,
        *,
        training: Any = None,
        mask: Any = None,
    ) -> tf.Tensor:
        """Returns the loss without its weight, a scalar, float32 or wider."""
        p, log_p = self._probabilities(inputs)
        counted = _counted(p, mask)
        axes = _checks.averaged_axes(self.shared, p.shape.rank)
        entropies = -tf.reduce_sum(p * log_p, axis=-1, keepdims=True)
        values = {"mean": p, "entropy": entropies}
        if self.kind == "load_balance":
            values["share"] = self._shares(p, routed)
        elif routed is not None:
            raise ValueError(
                "Argument `routed` belongs to kind='load_balance'. Received: "
                f"routed with kind={self.kind!r}"
            )
        means, seen = _means(values, counted, axes)
        if self.momentum:
            means = self._with_former(means, seen, training)
        losses, seen = self._of_means(means), seen[..., 0]
        # Of a position that is masked in all examples, none.
        total = tf.reduce_sum(tf.where(seen, losses, tf.zeros_like(losses)))
        number = tf.reduce_sum(tf.cast(seen, losses.dtype))
        return tf.math.divide_no_nan(total, number)

    def _of_means(self, means: dict[str, tf.Tensor]) -> tf.Tensor:
        """The loss of each variable."""
        mean = means["mean"]
        if self.kind == "load_balance":
            codes = tf.cast(tf.shape(mean)[-1], mean.dtype)
            share = tf.stop_gradient(means["share"])
            return codes * tf.reduce_sum(share * mean, axis=-1)
        of_mean = -tf.reduce_sum(_x_log_x(mean), axis=-1)
        if self.kind == "entropy":
            return means["entropy"][..., 0] - self.gamma * of_mean
        codes = tf.cast(tf.shape(mean)[-1], mean.dtype)
        return 1.0 - tf.exp(of_mean) / codes

    def _probabilities(self, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """p and log p, of which 0 log 0 is 0, in float32."""
        inputs = _checks.floating_tensor("inputs", inputs)
        self._check(inputs.shape)
        values = in_working_precision(inputs)
        if self.from_logits:
            log_p = tf.nn.log_softmax(without_infinity(values))
            return tf.exp(log_p), log_p
        _checks.probabilities("inputs", inputs)
        tiny = tf.cast(1e-37, values.dtype)
        return values, tf.math.log(tf.maximum(values, tiny))

    def _shares(self, p: tf.Tensor, routed: Any) -> tf.Tensor:
        """What each code is given, of each input; sums to 1."""
        if routed is None:
            index = tf.argmax(p, axis=-1, output_type=tf.int32)
            return tf.one_hot(index, p.shape[-1], dtype=p.dtype)
        routed = tf.stop_gradient(tf.cast(routed, p.dtype))
        if not routed.shape.is_compatible_with(p.shape):
            raise ValueError(
                "Argument `routed` must have the shape of the inputs, "
                f"{p.shape}. Received: routed of shape {routed.shape}"
            )
        total = tf.reduce_sum(routed, axis=-1, keepdims=True)
        return tf.math.divide_no_nan(routed, total)

    def _with_former(
        self, means: dict[str, tf.Tensor], seen: tf.Tensor, training: Any
    ) -> dict[str, tf.Tensor]:
        """The averages with former batches in them; where seen, they move."""
        if not means["mean"].shape.is_compatible_with(self.mean.shape):
            raise ValueError(
                "Argument `momentum` keeps averages of one shape, "
                f"{tuple(self.mean.shape)}. Received: inputs whose averages "
                f"are of shape {means['mean'].shape}"
            )
        # What a variable is first seen in has no former batches.
        former = tf.convert_to_tensor(self.mean)
        known = tf.reduce_sum(former, axis=-1, keepdims=True) > 0.0
        own = tf.where(known, 1.0 - self.momentum, 1.0)
        own = tf.where(seen, own, tf.zeros_like(own))
        blended = dict(means)
        for name in ("mean", "share"):
            if name not in means:
                continue
            variable = getattr(self, name)
            former = tf.cast(tf.convert_to_tensor(variable), means[name].dtype)
            change = tf.cast(own, former.dtype) * (means[name] - former)
            value = tf.stop_gradient(former + change)
            if training and self.trainable and not _saving.is_tried():
                variable.assign(tf.cast(value, tf.float32))
            shift = means[name] - tf.stop_gradient(means[name])
            blended[name] = value + shift
        return blended

    def _averaged_shape(self, shape: Any) -> tuple[int, ...]:
        shape = tf.TensorShape(shape)
        axes = _checks.averaged_axes(self.shared, shape.rank)
        kept = [n for axis, n in enumerate(shape) if axis not in axes]
        if None in kept:
            raise ValueError(
                "Argument `momentum` needs a known number of variables, except "
                "along axes that share a codebook (`shared`). Received: inputs "
                f"of shape {shape}"
            )
        return tuple(kept)

    def _check(self, shape: Any) -> None:
        _checks.categorical_shape(shape, -1, "inputs")
        shape = tf.TensorShape(shape)
        if shape.rank < 2 or shape[-1] is None:
            raise ValueError(
                "Argument `inputs` must be of shape [B, ..., K], with a known "
                f"number of codes. Received: inputs of shape {shape}"
            )
        _checks.averaged_axes(self.shared, shape.rank)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Passes on the mask of the inputs."""
        return first_mask(previous_mask)

    def compute_output_spec(
        self,
        inputs: Any,
        routed: Any = None,
        training: Any = None,
        mask: Any = None,
    ) -> Any:
        """Returns the shape and dtype of the inputs."""
        _checks.floating("inputs", inputs.dtype)
        self._check(inputs.shape)
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def compute_output_shape(
        self, inputs_shape: Any, routed_shape: Any = None
    ) -> Any:
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "weight": self._weight.get_config(),
            "gamma": self.gamma,
            "from_logits": self.from_logits,
            "shared": self.shared,
            "momentum": self.momentum,
        }


def _x_log_x(p: tf.Tensor) -> tf.Tensor:
    """p log p; 0 at 0, with a finite derivative there."""
    return p * tf.math.log(tf.maximum(p, tf.cast(1e-37, p.dtype)))


def _counted(p: tf.Tensor, mask: Any) -> tf.Tensor:
    """1 for each variable that counts, `[B, ..., 1]`."""
    ones = tf.ones_like(p[..., :1])
    if mask is None:
        return ones
    return ones * tf.cast(position_mask(p, mask, p.shape.rank), p.dtype)


def _means(
    values: dict[str, tf.Tensor], counted: tf.Tensor, axes: list[int]
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Means over the axes of what counts, on all replicas; and if any does."""
    sums = {
        name: tf.reduce_sum(
            tf.where(counted > 0, value, tf.zeros_like(value)), axis=axes
        )
        for name, value in values.items()
    }
    sums["count"] = tf.reduce_sum(counted, axis=axes)
    sums = summed(sums)
    count = sums.pop("count")
    means = {
        name: tf.math.divide_no_nan(total, count)
        for name, total in sums.items()
    }
    return means, count > 0.0
