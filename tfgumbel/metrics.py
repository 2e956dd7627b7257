"""Keras metrics of the health of a discrete code.

Both look at the average code distribution p̄: the mean of the codes over all
examples seen, batch after batch. A code that has collapsed uses few of its K
categories.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks


class CodeMetric(keras.metrics.Metric):
    """A function of p̄, averaged over the variables.

    Args:
        axis: Axis of the categories.
        shared: Whether all variables share one codebook; or the axes of
            `y_pred` along which they do.
        name: Name of the metric.
        **kwargs: As in `keras.metrics.Metric`.
    """

    def __init__(
        self, axis: int = -1, shared: Any = False, name: Any = None, **kwargs
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.axis = _checks.axis(axis, None)
        self.shared = _checks.shared_axes(shared)
        self.counts: keras.Variable | None = None

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds the codes `y_pred`; the target is not looked at.

        Args:
            y_true: Ignored; `None` will do.
            y_pred: One-hot codes or probabilities, floating, `[B, ..., K]`
                with the categories on `axis`.
            sample_weight: Optional weights `[B]`, or of a shape that
                broadcasts to that of `y_pred` without `axis`.
        """
        mask = getattr(y_pred, "_keras_mask", None)
        codes = self._codes(y_pred)
        for weight in (sample_weight, mask):
            if weight is not None:
                codes *= _per_variable(weight, codes)
        counts = tf.reduce_sum(codes, axis=self._summed(codes.shape.rank))
        if self.counts is None:
            self.counts = self._make_counts(counts.shape)
        self.counts.assign_add(counts)

    def expect(self, shape: Any) -> None:
        """Makes room for counts of this shape, `[variables, K]`."""
        self.counts = self._make_counts(tf.TensorShape(shape))

    def update_counts(self, counts: Any) -> None:
        """Adds how often each code was drawn, of the shape of `expect`.

        For layers that know the indices of their codes, and no one-hot.
        """
        if self.counts is None:
            self.counts = self._make_counts(counts.shape)
        self.counts.assign_add(tf.cast(counts, tf.float32))

    def _summed(self, rank: int) -> list[int]:
        """The axes that are counted together, with the categories last."""
        axes = _checks.averaged_axes(self.shared, rank, self.axis, "y_pred")
        return [axis - (axis > self.axis % rank) for axis in axes]

    def _codes(self, codes: Any) -> tf.Tensor:
        """The codes in float32, with the categories on the last axis."""
        codes = tf.convert_to_tensor(codes)
        _checks.floating("y_pred", codes.dtype)
        _checks.categorical_shape(codes.shape, self.axis, "y_pred")
        rank = codes.shape.rank
        if rank < 2 or self.axis % rank == 0:
            raise ValueError(
                "Argument `y_pred` must have an axis for the batch before "
                f"that of the categories, axis={self.axis}. "
                f"Received: y_pred of shape {codes.shape}"
            )
        order = [i for i in range(rank) if i != self.axis % rank]
        codes = tf.transpose(codes, [*order, self.axis % rank])
        return tf.cast(codes, tf.float32)

    def _make_counts(self, shape: tf.TensorShape) -> keras.Variable:
        if not shape.is_fully_defined():
            raise ValueError(
                "The number of variables and of categories must be known, "
                "except along axes that share a codebook (`shared=True`, or "
                f"their numbers). Received: y_pred with {shape} of them"
            )
        return self.add_variable(
            shape=tuple(shape),
            initializer="zeros",
            dtype="float32",
            aggregation="sum",
            name="counts",
        )

    def result(self) -> tf.Tensor:
        """Returns the mean over variables; 0 before any code was seen."""
        if self.counts is None:
            return tf.zeros([])
        counts = tf.convert_to_tensor(self.counts)
        total = tf.reduce_sum(counts, axis=-1, keepdims=True)
        values = self._of_average(tf.math.divide_no_nan(counts, total))
        seen = tf.not_equal(total[..., 0], 0.0)
        return tf.reduce_mean(tf.where(seen, values, tf.zeros_like(values)))

    def _of_average(self, average: tf.Tensor) -> tf.Tensor:
        """From p̄, `[..., K]`, to one value for each variable."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "shared": self.shared,
        }


def _per_variable(weight: Any, codes: tf.Tensor) -> tf.Tensor:
    """The weight with axes of size 1 for what it does not tell apart."""
    weight = tf.cast(tf.convert_to_tensor(weight), codes.dtype)
    missing = codes.shape.rank - weight.shape.rank
    column = missing == 0 and weight.shape[-1] == 1
    if missing < 1 and not column:
        raise ValueError(
            "Argument `sample_weight` must have fewer axes than `y_pred`, of "
            f"shape {codes.shape}. Received: sample_weight of shape "
            f"{weight.shape}"
        )
    ones = tf.ones([missing], tf.int32)
    return tf.reshape(weight, tf.concat([tf.shape(weight), ones], axis=0))


@keras.saving.register_keras_serializable(package="tfgumbel")
class CodePerplexity(CodeMetric):
    """Perplexity of the average code: how many categories are in use.

    exp(-Σ_k p̄_k log p̄_k), where p̄ is the mean of the codes over all examples
    seen: from 1 (every example has the same code) to K (all codes are equally
    frequent). It is computed for each variable, and averaged over variables.

    Args:
        axis: Axis of the categories.
        shared: Whether all variables share one codebook, as the positions of
            an image do in a VQ-VAE: their codes are then counted together. Or
            the axes along which they do: `shared=1` for codes `[B, T, G, K]`
            of T frames in G groups, each with a codebook of its own.
        name: Name of the metric.
        **kwargs: As in `keras.metrics.Metric`.

    Call arguments:
        y_true: Ignored.
        y_pred: One-hot codes or probabilities, floating, `[B, ..., K]`.
            Integer codes go through `keras.ops.one_hot` first.
        sample_weight: Optional weights, `[B]` or for each variable, such as
            the mask `[B, T]` of frames; a Keras mask is heeded too.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> metric = tg.metrics.CodePerplexity()
    >>> codes = np.eye(4, dtype="float32")[[0, 0, 1, 1]]
    >>> round(float(metric(None, codes)), 4)
    2.0

    In `compile`, for the output that holds the codes:

    ```python
    model = keras.Model(x, {"image": image, "code": code})
    model.compile(
        "adam",
        loss={"image": "mse"},
        metrics={"code": [tg.metrics.CodePerplexity()]},
    )
    model.fit(images, {"image": images, "code": np.zeros(len(images))})
    ```

    In a `train_step` of your own: `self.perplexity.update_state(None, code)`.

    Reference:
        van den Oord, Vinyals, Kavukcuoglu. Neural discrete representation
        learning. NeurIPS 2017.
    """

    def __init__(
        self,
        axis: int = -1,
        shared: Any = False,
        name: str = "code_perplexity",
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, shared, name, **kwargs)

    def _of_average(self, average: tf.Tensor) -> tf.Tensor:
        entropy = -tf.reduce_sum(tf.math.xlogy(average, average), axis=-1)
        return tf.exp(entropy)


@keras.saving.register_keras_serializable(package="tfgumbel")
class CodeUsage(CodeMetric):
    """Fraction of the categories that are in use, from 0 to 1.

    A category is in use if the share of the codes whose largest entry it is,
    over all examples seen, is above `threshold`; with the default, if that
    came at least once. So relaxed codes and probabilities count like the
    one-hot codes that they stand for. Computed for each variable, and averaged
    over variables.

    Args:
        threshold: Share above which a category is in use, in [0, 1).
        axis: Axis of the categories.
        shared: As in `CodePerplexity`.
        name: Name of the metric.
        **kwargs: As in `keras.metrics.Metric`.

    Call arguments:
        y_true: Ignored.
        y_pred: Codes, as in `CodePerplexity`.
        sample_weight: Optional weights, as in `CodePerplexity`.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> metric = tg.metrics.CodeUsage()
    >>> codes = np.eye(4, dtype="float32")[[0, 0, 0, 1]]
    >>> float(metric(None, codes))
    0.5
    """

    def __init__(
        self,
        threshold: float = 0.0,
        axis: int = -1,
        shared: Any = False,
        name: str = "code_usage",
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, shared, name, **kwargs)
        self.threshold = _checks.number_between("threshold", threshold, 0, 1)

    def _codes(self, codes: Any) -> tf.Tensor:
        """One-hot codes; zeros stay zeros, NaN stays NaN."""
        codes = super()._codes(codes)
        largest = tf.one_hot(tf.argmax(codes, axis=-1), codes.shape[-1])
        return tf.where(codes == 0.0, codes, largest) + 0.0 * codes

    def _of_average(self, average: tf.Tensor) -> tf.Tensor:
        used = tf.cast(average > self.threshold, average.dtype)
        return tf.reduce_mean(used, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}
