"""Vectors replaced by codes that are drawn by distance, and stay in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from tfgumbel import (
    _checks,
    _saving,
    distributions,
    estimators,
    metrics,
    ops,
    random,
    schedules,
)
from tfgumbel._precision import in_working_precision
from tfgumbel.layers._codebook import (
    Valid,
    input_sums,
    mean_square,
    spare_inputs,
    valid_positions,
)
from tfgumbel.layers._replicas import summed
from tfgumbel.layers._stochastic import SamplingLayer
from tfgumbel.layers._straight_through import StraightThroughLayer
from tfgumbel.layers.code_usage_loss import CodeUsageLoss

COPIED = ("copy", "nearest")


class Found(NamedTuple):
    """What one codebook made of a batch.

    Attributes:
        inputs: What was to be coded, `[..., d]`.
        codes: The codes, without a gradient in the inputs, `[..., d]`.
        output: The codes, with the estimator's gradient, `[..., d]`.
        index: Their indices, `[...]`.
    """

    inputs: tf.Tensor
    codes: tf.Tensor
    output: tf.Tensor
    index: tf.Tensor


@keras.saving.register_keras_serializable(package="tfgumbel")
class StochasticQuantizer(StraightThroughLayer, SamplingLayer):
    """Vector quantization with codes that are drawn by their distance.

    A vector x becomes one of K codes e_k, drawn with logits -‖x - e_k‖² / s in
    training, and the nearest one at inference. The gradient of what follows
    reaches x, and the codes, by an estimator of the straight-through family.
    As s falls, what is drawn becomes the nearest code; at `"nearest"` it is
    that from the start, the layer of a VQ-VAE.

    To the model's loss it adds, averaged over positions and dimensions,

        commitment · ‖x - sg(e)‖² + codebook_loss · ‖sg(x) - e‖²,

    in training and in evaluation; sg passes no gradient. The logs of `fit` and
    `evaluate` hold, under the layer's name, `_perplexity` and `_usage` of the
    codes of the epoch (see `metrics.CodePerplexity` and `metrics.CodeUsage`).

    Codes that no input draws never learn. One that has not been drawn while
    `revive_after` · K inputs went by is put on an input of the batch.

    With `groups=G`, x is cut in G parts, each with a codebook of its own:
    K^G combinations. With `stages=S`, each stage codes what the former ones
    left over, and the output is the sum. The gradient takes account of it: a
    stage sees what the former one left as a function of x.

    Neither a one-hot of the codes nor, outside XLA, all logits of a batch are
    held at once, in either pass.

    Args:
        codes: K ≥ 2, the size of each codebook.
        dim: Dimension of the vectors, a multiple of `groups`.
        groups: G, parts of a vector.
        stages: S, codes of each part, one after the other.
        estimator: As in `StraightThroughCategorical`. Or `"copy"`: a code that
            is drawn, and the gradient of the output for that of x, as if
            nothing were between them; the codes get none of it. Or
            `"nearest"`: the nearest code, without noise, and the same
            gradient.
        scale: s > 0, in units of a squared distance: a number, or a schedule
            `step -> s`. Assign to `layer.scale`, or let
            `TemperatureScheduler(..., attribute="scale")` do it.
        trainable_scale: Whether s is trained, as exp of a weight.
        temperature: τ > 0 of the estimator's backward pass, a number or a
            schedule, as in `StraightThroughCategorical`.
        backward_temperature: For `"st_gumbel"`, as there.
        noise_samples: Noises that `"gumbel_rao"` averages over.
        distance: `"euclidean"`; or `"cosine"`: inputs and codes are
            normalised, and so is the output.
        update: How the codes learn. `"gradient"`: as other weights, by the
            optimizer. `"ema"`: without a gradient; each is the average of the
            inputs that it was drawn for, those of t steps ago with weight
            `decay`^t. That holds from the first step on; until then, a code is
            what it was made as.
        decay: γ of that average, at least 0 and below 1.
        commitment: Factor of the first term of the loss, at least 0.
        codebook_loss: Factor of the second, at least 0; not for `"ema"`.
        revive_after: Above 0; or `None`, and unused codes stay where they are.
        usage_loss: A `CodeUsageLoss`, applied to the logits of each codebook.
            It takes all logits of a batch at once.
        return_indices: Whether to return the indices next to the codes.
        inference: What the layer returns when not training: `"mode"` (the
            nearest code; draws nothing), `"sample"` (a code that is drawn,
            without gradient) or `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        initializer: Of the codes, as in `keras.layers.Embedding`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Vectors, floating.
        training: Whether to draw, and to keep the codebook in use.
        mask: Keras's mask: masked positions count in no loss or average.

    Input shape:
        `[B, ..., dim]`.

    Output shape:
        That of the inputs; with `return_indices=True` a pair of it and of the
        shape of `encode`.

    Raises:
        ValueError: For fewer than 2 codes, a `dim` that is no multiple of
            `groups`, or settings that have no effect together.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.StochasticQuantizer(codes=512, dim=8, groups=2)
    >>> x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")
    >>> y = layer(x, training=True)
    >>> indices = layer.encode(x)
    >>> y.shape, indices.shape, layer.decode(indices).shape
    (TensorShape([3, 5, 8]), TensorShape([3, 5, 2]), TensorShape([3, 5, 8]))

    Reference:
        van den Oord, Vinyals, Kavukcuoglu. Neural discrete representation
        learning. NeurIPS 2017. Sønderby, Poole, Mnih. Continuous relaxation
        training of discrete latent variable image models. 2017. Williams et
        al. Hierarchical quantized autoencoders. NeurIPS 2020. Lee et al.
        Autoregressive image generation using residual quantization. CVPR 2022.
    """

    scale = schedules.AnnealedAttribute()
    axis = -1
    training_modes = ("relaxed",)

    def __init__(
        self,
        codes: int,
        dim: int,
        *,
        groups: int = 1,
        stages: int = 1,
        estimator: str = "reinmax",
        scale: Any = 1.0,
        trainable_scale: bool = False,
        temperature: Any = 1.0,
        backward_temperature: Any = None,
        noise_samples: int = 10,
        distance: str = "euclidean",
        update: str = "gradient",
        decay: float = 0.99,
        commitment: float = 0.25,
        codebook_loss: float | None = None,
        revive_after: float | None = 10.0,
        usage_loss: Any = None,
        return_indices: bool = False,
        inference: str = "mode",
        seed: int | None = None,
        initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        categorical = distributions.Categorical()
        super().__init__(categorical, inference, seed=seed, **kwargs)
        self.codes = _checks.positive_integer("codes", codes)
        self.dim = _checks.positive_integer("dim", dim)
        self.groups = _checks.positive_integer("groups", groups)
        self.stages = _checks.positive_integer("stages", stages)
        self.distance = _checks.choice(
            "distance", distance, ["euclidean", "cosine"]
        )
        self.update = _checks.choice("update", update, ["gradient", "ema"])
        self.decay = _checks.number_between("decay", decay, 0.0, 1.0)
        self.commitment = _checks.not_negative_number("commitment", commitment)
        self.revive_after = revive_after
        if revive_after is not None:
            _checks.positive_number("revive_after", revive_after)
        self.add_estimator(
            estimator,
            temperature,
            backward_temperature,
            noise_samples,
            others=COPIED,
        )
        self._check_sizes()
        self._check_settings(codebook_loss, trainable_scale)
        self.codebook_loss = codebook_loss
        if codebook_loss is not None:
            _checks.not_negative_number("codebook_loss", codebook_loss)
        self.trainable_scale = bool(trainable_scale)
        self._scale = self.add_annealed(
            "scale", scale, trainable=self.trainable_scale
        )
        self.usage_loss = _usage_loss(usage_loss)
        self.return_indices = bool(return_indices)
        self.initializer = _saving.initializer("initializer", initializer)
        self._perplexity = metrics.CodePerplexity(
            name=f"{self.name}_perplexity"
        )
        self._usage = metrics.CodeUsage(name=f"{self.name}_usage")

    def _check_sizes(self) -> None:
        if self.codes < 2:
            raise ValueError(
                "Argument `codes` must be at least 2. "
                f"Received: codes={self.codes}"
            )
        if self.dim % self.groups:
            raise ValueError(
                "Argument `dim` must be a multiple of `groups`. Received: "
                f"dim={self.dim} with groups={self.groups}"
            )

    def _check_settings(self, codebook_loss: Any, trainable_scale: Any) -> None:
        """Refuses what has no effect, or no meaning."""
        if self.update == "ema" and codebook_loss is not None:
            raise ValueError(
                "Argument `codebook_loss` has no effect on codes that are "
                "averages of inputs. Received: codebook_loss="
                f"{codebook_loss!r} with update='ema'"
            )
        if trainable_scale and self.estimator in COPIED:
            raise ValueError(
                "Argument `trainable_scale` needs an estimator whose gradient "
                "reaches the logits. Received: trainable_scale=True with "
                f"estimator={self.estimator!r}"
            )
        if self.distance == "cosine" and self.stages > 1:
            raise ValueError(
                "Argument `stages` must be 1 for a cosine distance: what a "
                "normalised code leaves over has a length. Received: "
                f"stages={self.stages} with distance='cosine'"
            )

    @property
    def inference_modes(self) -> Sequence[str]:
        """What `inference` may be, the default first."""
        return ("mode", "sample", "relaxed")

    def build(self, inputs_shape: Any) -> None:
        """Checks the dimension, and makes the codebooks and their counts."""
        self._check(inputs_shape)
        # Averages of thousands of steps: never in half precision.
        double = self.variable_dtype == "float64"
        own: Any = {
            "dtype": "float64" if double else "float32",
            "autocast": False,
            # Replicas make the same change, of what they have summed up.
            "aggregation": "none",
        }
        books = (self.stages, self.groups, self.codes)
        self.codebook = self.add_weight(
            shape=(*books, self.dim // self.groups),
            initializer=self.initializer,
            trainable=self.update == "gradient",
            name="codebook",
            **own,
        )
        own.update(initializer="zeros", trainable=False, shape=books)
        if self.update == "ema":
            self.counts = self.add_weight(name="counts", **own)
        if self.revive_after is not None:
            self.idle = self.add_weight(name="idle", **own)
        for metric in (self._perplexity, self._usage):
            metric.expect((self.stages * self.groups, self.codes))
        if self.usage_loss is not None and not self.usage_loss.built:
            self.usage_loss.build((None, self.stages * self.groups, self.codes))
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Returns the codes of the inputs, having added their losses."""
        x = _checks.floating_tensor("inputs", inputs)
        trains = self.trains(training, x)
        scale, tau = self._scale(training), self.gradient_temperature(training)
        x = in_working_precision(x)
        seeds = self._seeds(trains)
        found = self._found(x, trains, seeds, scale, tau)
        valid = valid_positions(x, mask)
        self._add_losses(found, valid, scale)
        counts = self._counts(found, valid)
        tried = in_symbolic_scope() or _saving.is_tried()
        if training and self.trainable and not tried:
            self._maintain(found, valid, counts, seeds)
        if _saving.is_called_by("train_step", "test_step") and not tried:
            used = tf.reshape(counts, [-1, self.codes])
            self._perplexity.update_counts(used)
            self._usage.update_counts(used)
        output = tf.cast(self._joined(found), self.compute_dtype)
        return (output, self._indices(found)) if self.return_indices else output

    def encode(self, inputs: Any) -> tf.Tensor:
        """Returns the nearest codes, as integers.

        Args:
            inputs: Vectors `[B, ..., dim]`.

        Returns:
            int32 indices `[B, ...]`, followed by an axis of the stages if
            there are several, and one of the groups if there are several.
        """
        x = tf.convert_to_tensor(inputs)
        if not self.built:
            self.build(x.shape)
        x = in_working_precision(x)
        return self._indices(self._found(x, False, None, 1.0, 1.0))

    def decode(self, indices: Any) -> tf.Tensor:
        """Returns the vectors that the indices stand for.

        Args:
            indices: Integers, as from `encode`.

        Returns:
            Vectors `[B, ..., dim]`, in the compute dtype.

        Raises:
            ValueError: If an index is no code's. In a graph TensorFlow finds
                it on a CPU; on a GPU the vector is zero.
        """
        if not self.built:
            self.build((None, self.dim))
        several = [n for n in (self.stages, self.groups) if n > 1]
        indices = tf.convert_to_tensor(indices)
        batch = indices.shape[: len(indices.shape) - len(several)]
        shape = (*batch, *several)
        indices = _checks.indices("indices", indices, shape, self.codes)
        for axis, n in ((-1, self.groups), (-2, self.stages)):
            if n == 1:
                indices = tf.expand_dims(indices, axis)
        total: Any = 0.0
        for stage in range(self.stages):
            parts = [
                tf.gather(self._book(stage, group), indices[..., stage, group])
                for group in range(self.groups)
            ]
            total += tf.concat(parts, axis=-1)
        return tf.cast(total, self.compute_dtype)

    # Codes.

    def _seeds(self, trains: bool) -> list[tf.Tensor] | None:
        """One for each codebook, then one for revival; or nothing is drawn."""
        draws = trains and self.estimator != "nearest"
        revives = trains and self.revive_after is not None
        if not (draws or revives or (not trains and self.mode == "sample")):
            return None
        seed, count = self.next_seed(), self.stages * self.groups
        return [seed, *(random.numbered(seed, i) for i in range(1, count + 1))]

    def _book(self, stage: int, group: int) -> tf.Tensor:
        """A codebook `[K, d]`, normalised if need be."""
        book = tf.convert_to_tensor(self.codebook)[stage, group]
        return self._normalised(book)

    def _normalised(self, vectors: tf.Tensor) -> tf.Tensor:
        if self.distance == "euclidean":
            return vectors
        return tf.math.l2_normalize(vectors, axis=-1)

    def _found(
        self, x: tf.Tensor, trains: bool, seeds: Any, scale: Any, tau: Any
    ) -> list[Found]:
        """What each codebook makes of x, stage by stage."""
        found: list[Found] = []
        rest, left = tf.split(x, self.groups, axis=-1), None
        for stage in range(self.stages):
            row = []
            for group, part in enumerate(rest):
                number = stage * self.groups + group
                seed = seeds and seeds[number]
                book = tf.cast(self._book(stage, group), x.dtype)
                inputs = self._normalised(part)
                output, index = self._coded(
                    inputs, book, trains, seed, scale, tau
                )
                if left is not None:  # without the gradient of former codes
                    inputs = left[group]
                codes = tf.gather(book, index)
                row.append(Found(inputs, codes, output, index))
            rest = [r - f.output for r, f in zip(rest, row, strict=True)]
            left = [f.inputs - tf.stop_gradient(f.codes) for f in row]
            found += row
        return found

    def _coded(
        self,
        x: tf.Tensor,
        book: tf.Tensor,
        trains: bool,
        seed: Any,
        scale: Any,
        tau: Any,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The codes, with their gradient in training, and their indices."""
        if trains and self.estimator not in COPIED:
            return estimators.surrogate_quantize(
                self.estimator,
                x,
                book,
                seed,
                scale=scale,
                temperature=tau,
                noise_samples=self.noise_samples,
                trains_codebook=self.update == "gradient"
                or self.trainable_scale,
            )
        draws = self.estimator == "copy" if trains else seed is not None
        if draws:
            index = estimators.draw_codes(x, book, seed, scale=scale)
        else:
            index = ops.nearest_code(x, book)
        codes = tf.stop_gradient(tf.gather(book, index))
        # The gradient of x, or nothing but its NaN.
        shift = x - tf.stop_gradient(x)
        return codes + (shift if trains else tf.stop_gradient(shift)), index

    def _joined(self, found: Sequence[Found]) -> tf.Tensor:
        """The output: parts next to each other, stages added up."""
        stages = [
            tf.concat([f.output for f in found[first:][: self.groups]], -1)
            for first in range(0, len(found), self.groups)
        ]
        return tf.add_n(stages)

    def _indices(self, found: Sequence[Found]) -> tf.Tensor:
        several = [n for n in (self.stages, self.groups) if n > 1]
        if not several:
            return found[0].index
        stacked = tf.stack([f.index for f in found], axis=-1)
        shape = tf.concat([tf.shape(found[0].index), several], axis=0)
        stacked = tf.reshape(stacked, shape)
        stacked.set_shape((*found[0].index.shape, *several))
        return stacked

    # Losses.

    def _add_losses(
        self, found: Sequence[Found], valid: Valid, scale: tf.Tensor
    ) -> None:
        codebook = 1.0 if self.codebook_loss is None else self.codebook_loss
        if self.update == "ema":
            codebook = 0.0
        total: Any = 0.0
        for f in found:
            inputs, codes = map(tf.stop_gradient, (f.inputs, f.codes))
            if self.commitment:
                total += self.commitment * mean_square(f.inputs - codes, valid)
            if codebook:
                total += codebook * mean_square(inputs - f.codes, valid)
        if self.commitment or codebook:
            # Parts of a vector are averaged, stages added up.
            self.add_loss(tf.cast(total / self.groups, tf.float32))
        if self.usage_loss is not None:
            self._add_usage_loss(found, valid, scale)

    def _add_usage_loss(
        self, found: Sequence[Found], valid: Valid, scale: tf.Tensor
    ) -> None:
        """Of all positions, for each codebook."""
        assert self.usage_loss is not None
        logits = []
        for number, f in enumerate(found):
            book = self._book(*divmod(number, self.groups))
            each = ops.code_logits(f.inputs, book, scale=scale)
            logits.append(tf.reshape(each, [-1, self.codes]))
        mask = None if valid.keep is None else tf.reshape(valid.keep, [-1])
        self.usage_loss(tf.stack(logits, axis=1), mask=mask)

    # What keeps the codebook in use.

    def _counts(self, found: Sequence[Found], valid: Valid) -> tf.Tensor:
        """How often each code was drawn, `[stages, groups, K]`."""
        weights = tf.cast(tf.reshape(valid.finite, [-1]), tf.float32)
        return self._of_books(
            [
                tf.math.unsorted_segment_sum(
                    weights, tf.reshape(f.index, [-1]), self.codes
                )
                for f in found
            ]
        )

    def _maintain(
        self,
        found: Sequence[Found],
        valid: Valid,
        counts: tf.Tensor,
        seeds: Any,
    ) -> None:
        """Moves the codes: averages, and those that nobody drew."""
        sums = {"counts": counts}
        if self.update == "ema":
            sums["inputs"] = self._of_books(
                [
                    input_sums(f.inputs, f.index, valid, self.codes)
                    for f in found
                ]
            )
        if self.revive_after is not None:
            unused = tf.convert_to_tensor(self.idle)
            unused = unused > self.revive_after * self.codes
            spare = spare_inputs(
                [f.inputs for f in found],
                valid,
                tf.reshape(unused, [len(found), -1]),
                random.uniform([], seeds[-1]),
            )
            sums["spare"], sums["given"] = map(self._of_books, spare)
        dtype = self.codebook.dtype
        self._move(summed({k: tf.cast(v, dtype) for k, v in sums.items()}))

    def _move(self, sums: dict[str, tf.Tensor]) -> None:
        """Changes the weights, on every replica alike."""
        if self.update == "gradient" and self.revive_after is None:
            return
        self.refuse_rematerialisation("averages inputs", "do so twice")
        self.refuse_vectorized_map(
            "averages inputs", "only those of the first row would count"
        )
        book = tf.convert_to_tensor(self.codebook)
        drawn = sums["counts"] > 0
        if self.update == "ema":
            book = self._averaged(book, drawn, sums)
        if self.revive_after is not None:
            book = self._revived(book, drawn, sums)
        self.codebook.assign(book)

    def _averaged(
        self, book: tf.Tensor, drawn: tf.Tensor, sums: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        """The codes that were drawn, at their new averages.

        A code times its count is the sum of its inputs, so that no sum is
        kept. Of a code that was not drawn sum and count shrink alike.
        """
        old = self.decay * tf.convert_to_tensor(self.counts)
        counts = old + (1.0 - self.decay) * sums["counts"]
        self.counts.assign(counts)
        total = old[..., None] * book + (1.0 - self.decay) * sums["inputs"]
        mean = tf.math.divide_no_nan(total, counts[..., None])
        return tf.where(drawn[..., None], mean, book)

    def _revived(
        self, book: tf.Tensor, drawn: tf.Tensor, sums: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        """The codes, those that stayed unused on inputs of the batch."""
        moved = tf.logical_and(sums["given"] > 0, ~drawn)
        inputs = tf.reduce_sum(sums["counts"], axis=-1, keepdims=True)
        idle = tf.convert_to_tensor(self.idle) + inputs
        at_zero = tf.logical_or(drawn, moved)
        self.idle.assign(tf.where(at_zero, tf.zeros_like(idle), idle))
        if self.update == "ema":  # its average begins anew
            counts = tf.convert_to_tensor(self.counts)
            self.counts.assign(tf.where(moved, tf.zeros_like(counts), counts))
        return tf.where(moved[..., None], sums["spare"], book)

    def _of_books(self, values: Any) -> tf.Tensor:
        """One value for each codebook, as `[stages, groups, ...]`."""
        values = tf.stack(values) if isinstance(values, list) else values
        shape = (self.stages, self.groups, *values.shape[1:])
        return tf.reshape(values, shape)

    # Keras.

    def _check(self, shape: Any) -> None:
        shape = tf.TensorShape(shape)
        if shape.rank is None or shape.rank < 2 or shape[-1] != self.dim:
            raise ValueError(
                f"Argument `inputs` must be of shape [B, ..., {self.dim}]. "
                f"Received: inputs of shape {shape}"
            )

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the inputs."""
        mask = super().compute_mask(inputs, previous_mask)
        return (mask, mask) if self.return_indices else mask

    def compute_output_spec(
        self, inputs: Any, training: Any = None, mask: Any = None
    ) -> Any:
        """Returns the shape of the inputs, in the compute dtype."""
        _checks.floating("inputs", inputs.dtype)
        self._check(inputs.shape)
        shapes = self.compute_output_shape(inputs.shape)
        if not self.return_indices:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        return (
            keras.KerasTensor(shapes[0], dtype=self.compute_dtype),
            keras.KerasTensor(shapes[1], dtype="int32"),
        )

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        """Returns the shape of the inputs, and that of the indices if any."""
        shape = tuple(inputs_shape)
        if not self.return_indices:
            return shape
        several = [n for n in (self.stages, self.groups) if n > 1]
        return shape, (*shape[:-1], *several)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = (
            "codes",
            "dim",
            "groups",
            "stages",
            "trainable_scale",
            "distance",
            "update",
            "decay",
            "commitment",
            "codebook_loss",
            "revive_after",
            "return_indices",
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "scale": self._scale.get_config(),
            "usage_loss": self.usage_loss
            and keras.saving.serialize_keras_object(self.usage_loss),
            "initializer": keras.initializers.serialize(self.initializer),
        }


def _usage_loss(value: Any) -> CodeUsageLoss | None:
    """The layer, perhaps from a config."""
    if isinstance(value, dict):
        value = _saving.deserialize("usage_loss", value, (CodeUsageLoss,))
    if value is not None and not isinstance(value, CodeUsageLoss):
        raise TypeError(
            "Argument `usage_loss` must be a `CodeUsageLoss` or None. "
            f"Received: usage_loss={value!r}"
        )
    return value
