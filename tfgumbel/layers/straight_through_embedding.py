"""Drawn rows of a table, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, _saving, distributions, estimators, ops, random
from tfgumbel._precision import nan_rows
from tfgumbel.layers._stochastic import SamplingLayer
from tfgumbel.layers._straight_through import StraightThroughLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class StraightThroughEmbedding(StraightThroughLayer, SamplingLayer):
    """The embedding of a category that is drawn from its logits.

    For many categories. Equals `StraightThroughCategorical(estimator)`
    followed by `Dense(dim, use_bias=False)`, values and gradients, but forms
    neither the one-hot `[B, K]` nor the dense product: a row of the table is
    gathered, and the table's gradient is sparse (`tf.IndexedSlices`). Bias and
    requirements are those of the estimator.

    A sample costs one uniform, except with `"st_gumbel"`, which cannot do
    without K Gumbels and holds them for the backward pass. `"gumbel_rao"` draws
    its Gumbels in the backward pass. The others need none.

    The backward pass takes products of the incoming gradient and the table,
    O(B K dim), outside XLA in blocks of 32 million logits: the memory beyond
    the logits is little more than twice that of their gradient. `"mve"` solves
    a K × K system for each row and suits small K only.

    Args:
        categories: K ≥ 2, the rows of the table.
        dim: Length of a row.
        estimator: As in `StraightThroughCategorical`. The default needs no
            Gumbels, and at τ = 1 is exact for a quadratic cost.
        temperature: τ > 0 of the backward pass: a number, or a schedule
            `step -> τ`, as in `GumbelSoftmax`. It receives no gradient.
        inference: What the layer returns when not training: `"mode"` (the row
            of the most likely category; draws nothing), `"sample"` (that of
            an exact sample, without gradient in the logits), `"mean"` (the
            mean of the rows under the probabilities, a dense product), or
            `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        noise_samples: Noises that `"gumbel_rao"` averages over.
        backward_temperature: For `"st_gumbel"`, the τ of the gradient in place
            of `temperature`.
        embeddings_initializer: As in `keras.layers.Embedding`; an array is the
            table itself.
        embeddings_regularizer: As in `keras.layers.Embedding`; makes the
            table's gradient dense.
        weights: As in `keras.layers.Embedding`: a list that holds the table.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Unnormalised log-probabilities, floating.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`. A row with no legal category gives zeros.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., K]`.

    Output shape:
        `[B, ..., dim]`, in the layer's compute dtype.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.StraightThroughEmbedding(50_000, dim=8, estimator="st")
    >>> layer(np.zeros((2, 50_000), "float32"), training=True).shape
    TensorShape([2, 8])

    Reference:
        As in `StraightThroughCategorical`.
    """

    axis = -1
    training_modes = ("relaxed",)

    def __init__(
        self,
        categories: int,
        dim: int,
        *,
        estimator: str = "reinmax",
        temperature: Any = 1.0,
        inference: str = "mode",
        seed: int | None = None,
        noise_samples: int = 10,
        backward_temperature: Any = None,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        categorical = distributions.Categorical()
        super().__init__(categorical, inference, seed=seed, **kwargs)
        self.categories = _checks.positive_integer("categories", categories)
        _checks.categorical_shape((categories,), -1)
        self.dim = _checks.positive_integer("dim", dim)
        self.add_estimator(
            estimator, temperature, backward_temperature, noise_samples
        )
        # A table is no part of the config: it comes back with the weights.
        if isinstance(embeddings_initializer, np.ndarray | tf.Tensor):
            weights, embeddings_initializer = [embeddings_initializer], "zeros"
        self._table = self._checked_table(weights)
        self.embeddings_initializer = _saving.initializer(
            "embeddings_initializer", embeddings_initializer
        )
        self.embeddings_regularizer = _saving.admitted(
            "embeddings_regularizer",
            keras.regularizers.get(embeddings_regularizer),
            (keras.regularizers.Regularizer,),
        )

    def build(self, logits_shape: Any) -> None:
        """Checks the number of categories and makes the table."""
        self._check(logits_shape)
        self.embeddings = self.add_weight(
            shape=(self.categories, self.dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            name="embeddings",
        )
        if self._table is not None:
            self.embeddings.assign(self._table)
        self.built = True

    def _checked_table(self, weights: Any) -> np.ndarray | None:
        """The table that was given, if so."""
        if weights is None:
            return None
        shape = (self.categories, self.dim)
        tables = list(weights) if isinstance(weights, list | tuple) else []
        table = np.asarray(tables[0]) if len(tables) == 1 else None
        if table is None or table.shape != shape:
            received = [np.shape(each) for each in tables] or weights
            raise ValueError(
                "Argument `weights` must be a list that holds one table, of "
                f"shape {shape}. Received: weights of shapes {received}"
            )
        return table

    def call(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns a row of the table for each row of logits."""
        logits = _checks.categorical_logits(logits)
        if logits.shape[-1] is not None:
            self._check(logits.shape)
        masked = ops.mask_logits(logits, category_mask)
        table = tf.convert_to_tensor(self.embeddings)
        if self.trains(training, logits):
            rows = estimators.surrogate_embedding(
                self.estimator,
                masked,
                table,
                self.next_seed(),
                temperature=self.gradient_temperature(training),
                noise_samples=self.noise_samples,
            )
        else:
            rows = self._inferred(masked, table)
        if category_mask is not None:
            mask = _checks.category_mask(category_mask, logits, -1)
            legal = tf.broadcast_to(mask, tf.shape(logits))
            legal = tf.reduce_any(legal, axis=-1, keepdims=True)
            rows = tf.where(legal, rows, tf.zeros_like(rows))
        return tf.cast(rows, self.compute_dtype)

    def _inferred(self, logits: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
        (logits,) = parameters = self.distribution.constrain(logits)
        if self.mode == "mean":
            p = self.distribution.infer(parameters, "mean", self.next_seed)
            return tf.tensordot(p, tf.cast(table, p.dtype), 1)
        # By index: no one-hot of many categories.
        logits = tf.stop_gradient(logits)
        if self.mode == "mode":
            index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        else:
            index = random.categorical(logits, self.next_seed())
        rows = tf.gather(table, index)
        return rows + tf.cast(nan_rows(logits, -1), rows.dtype)

    def _check(self, logits_shape: Any) -> None:
        _checks.categorical_shape(logits_shape, -1)
        shape = tf.TensorShape(logits_shape)
        if shape.rank is not None and shape[-1] != self.categories:
            raise ValueError(
                f"Argument `logits` must have {self.categories} categories "
                f"on the last axis. Received: logits of shape {shape}"
            )

    def compute_output_spec(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of the rows, in the compute dtype."""
        _checks.floating("logits", logits.dtype)
        self._check(logits.shape)
        shape = self.compute_output_shape(logits.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, logits_shape: Any, *others_shape: Any
    ) -> Any:
        """Returns the shape of the logits, with `dim` for the categories."""
        return (*logits_shape[:-1], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "categories": self.categories,
            "dim": self.dim,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
        }
