"""Keras metrics of models with latent variables.

`CodePerplexity` and `CodeUsage` look at the average code distribution p̄: the
mean of the codes over all examples seen, batch after batch. A code that has
collapsed uses few of its K categories. `LogMarginalLikelihood` bounds log p(x).
"""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, _saving


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
        if mask is not None:  # what is masked may be NaN
            keep = _per_variable("mask", mask, codes) > 0.0
            codes = tf.where(keep, codes, tf.zeros_like(codes))
        if sample_weight is not None:
            codes *= _per_variable("sample_weight", sample_weight, codes)
        counts = tf.reduce_sum(codes, axis=self._summed(codes.shape.rank))
        if self.counts is None:
            self.counts = self._make_counts(counts.shape)
        if not counts.shape.is_compatible_with(self.counts.shape):
            raise ValueError(
                "Argument `y_pred` must hold as many variables and categories "
                f"as before, {tuple(self.counts.shape)}. "
                f"Received: y_pred of shape {codes.shape}, with "
                f"{tuple(counts.shape)}"
            )
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
        codes = _checks.floating_tensor("y_pred", codes)
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
        """Returns the mean over variables that have a code; 0 without any."""
        if self.counts is None:
            return tf.zeros([])
        counts = tf.convert_to_tensor(self.counts)
        total = tf.reduce_sum(counts, axis=-1, keepdims=True)
        values = self._of_average(tf.math.divide_no_nan(counts, total))
        seen = tf.not_equal(total[..., 0], 0.0)
        summed = tf.reduce_sum(tf.where(seen, values, tf.zeros_like(values)))
        number = tf.reduce_sum(tf.cast(seen, values.dtype))
        return tf.math.divide_no_nan(summed, number)

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


def _per_variable(name: str, weight: Any, codes: tf.Tensor) -> tf.Tensor:
    """The weight with axes of size 1 for what it does not tell apart."""
    weight = tf.cast(tf.convert_to_tensor(weight), codes.dtype)
    missing = codes.shape.rank - weight.shape.rank
    column = missing == 0 and weight.shape[-1] == 1
    if missing < 1 and not column:
        raise ValueError(
            f"Argument `{name}` must have fewer axes than `y_pred`, of "
            f"shape {codes.shape}. Received: {name} of shape {weight.shape}"
        )
    ones = tf.ones([missing], tf.int32)
    weight = tf.reshape(weight, tf.concat([tf.shape(weight), ones], axis=0))
    _checks.broadcastable(name, weight.shape, codes.shape)
    return weight


@keras.saving.register_keras_serializable(package="tfgumbel")
class CodePerplexity(CodeMetric):
    """Perplexity of the average code: how many categories are in use.

    exp(-Σ_k p̄_k log p̄_k), where p̄ is the mean of the codes over all examples
    seen: from 1 (every example has the same code) to K (all codes are equally
    frequent). It is computed for each variable, and averaged over those that
    have a code: a position that is masked in all examples has none.

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
            the mask `[B, T]` of frames; a Keras mask counts too.

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
    over those that have a code.

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
        return tf.reduce_mean(used + 0.0 * average, axis=-1)  # NaN stays NaN

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}


@keras.saving.register_keras_serializable(package="tfgumbel")
class LogMarginalLikelihood(keras.metrics.Metric):
    """Lower bound of log p(x) in nats, from m samples, averaged over examples.

    E log 1/m Σ_s w_s ≤ log p(x),  w_s = p(x, z_s) / q(z_s|x),

    with samples z_s of q, or w_s = p(x|z_s) with samples of p. The bound for
    m = 1 is the ELBO; it rises with m. `standard_error()` is that of the mean
    over examples.

    Memory is that of `chunk_size` samples per example: the sum is taken piece
    by piece.

    Args:
        cost: -log w at a sample that it draws itself, for rows that do not
            depend on each other, `[n]`. A function is called as
            `cost(y_true, y_pred)`, a Keras layer or model as `cost(y_true)`;
            each tensor holds every example `chunk_size` times. A model or
            layer that ends in `ExpectedCost(..., inference="sample")` gives
            that, with an estimator of the importance-weighted bound at
            `samples=1`: with S samples, a call counts for S. Noise must be
            drawn anew in each call, which a fixed seed would not do.
        samples: m.
        chunk_size: Samples of an example that are evaluated at once; `None`
            for up to 100.
        name: Name of the metric.
        **kwargs: As in `keras.metrics.Metric`.

    Call arguments:
        y_true: What the cost is called with, `[B, ...]`, or a structure of
            such tensors.
        y_pred: What else it is called with, such as the parameters of
            q(z|x), which so are computed but once; `None` for nothing.
        sample_weight: Optional weights, `[B]`.

    Raises:
        ValueError: If the cost is not one number per row.

    Example:

    >>> import math
    >>> import tensorflow as tf, tfgumbel as tg
    >>> noise = tf.random.Generator.from_seed(1)
    >>> def cost(x):  # -log N(x; z, 1), at a sample z of N(0, 1)
    ...     z = noise.normal(tf.shape(x))
    ...     return tf.square(x - z) / 2 + math.log(2 * math.pi) / 2
    >>> metric = tg.metrics.LogMarginalLikelihood(cost, samples=10_000)
    >>> metric.update_state(tf.constant([0.0, 1.0]))
    >>> # log N(x; 0, 2) is -1.2655 and -1.5155.
    >>> round(float(metric.result()), 1), round(metric.standard_error(), 1)
    (-1.4, 0.1)

    In `evaluate`, with the parameters of q as an output of the model:

    ```python
    model = keras.Model(x, {"cost": expected_cost, "q": logits})
    metric = tg.metrics.LogMarginalLikelihood(
        lambda x, q: layer(q, x), samples=1000
    )
    model.compile(loss={"cost": tg.losses.MeanCost()}, metrics={"q": metric})
    model.evaluate(x_test, {"cost": x_test, "q": x_test})
    metric.standard_error()
    ```

    `fit` would compute it for every training batch, too: compile with it to
    evaluate. A file keeps the cost only if it is a registered function.

    Reference:
        Burda, Grosse, Salakhutdinov. Importance weighted autoencoders. ICLR
        2016.
    """

    def __init__(
        self,
        cost: Any = None,
        samples: int = 1000,
        *,
        chunk_size: int | None = None,
        name: str = "log_marginal_likelihood",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(cost, dict):
            modules = ("losses", "metrics")
            cost = _saving.deserialize("cost", cost, (), modules)
        if cost is not None and not callable(cost):
            raise TypeError(
                "Argument `cost` must be a Keras layer, a model or a function "
                f"that returns -log w. Received: cost={cost!r}"
            )
        self.cost = cost
        self.samples = _checks.positive_integer("samples", samples)
        self.chunk_size = chunk_size
        if chunk_size is not None:
            _checks.positive_integer("chunk_size", chunk_size)
        # Σ w, Σ w², Σ w v, Σ w² v, Σ w² v², of weights w and values v.
        self.sums = self.add_variable(
            shape=(5,),
            initializer="zeros",
            dtype="float64",
            aggregation="sum",
            name="sums",
        )

    def update_state(
        self, y_true: Any, y_pred: Any = None, sample_weight: Any = None
    ) -> None:
        """Adds the bounds of a batch."""
        values = tf.cast(self.bound(y_true, y_pred), tf.float64)
        if sample_weight is None:
            weights = tf.ones_like(values)
        else:
            weights = tf.cast(tf.convert_to_tensor(sample_weight), tf.float64)
            if any(size != 1 for size in weights.shape[1:]):
                raise ValueError(
                    "Argument `sample_weight` must hold one weight per "
                    "example, of shape [B]. Received: sample_weight of shape "
                    f"{weights.shape}"
                )
            weights = tf.reshape(weights, [-1])
            _checks.broadcastable("sample_weight", weights.shape, values.shape)
            weights = tf.broadcast_to(weights, tf.shape(values))
        squares = tf.square(weights)
        terms = [
            weights,
            squares,
            weights * values,
            squares * values,
            squares * tf.square(values),
        ]
        self.sums.assign_add(tf.stack([tf.reduce_sum(t) for t in terms]))

    def bound(self, y_true: Any, y_pred: Any = None) -> tf.Tensor:
        """Returns log 1/m Σ_s w_s of each example, `[B]`."""
        given = [part for part in (y_true, y_pred) if part is not None]
        if isinstance(self.cost, keras.layers.Layer):
            given = given[:1]
            _warn_if_it_draws_nothing(self.name, self.cost)
        given = keras.tree.map_structure(tf.convert_to_tensor, given)
        chunk = min(self.samples, self.chunk_size or 100)
        count, rest = divmod(self.samples, chunk)
        total = self._log_sum(given, chunk)
        if count > 1:
            _, total = tf.while_loop(
                lambda done, _: done < count,
                lambda done, total: (
                    done + 1,
                    _log_add(total, self._log_sum(given, chunk)),
                ),
                (1, total),
                parallel_iterations=1,
            )
        if rest:
            total = _log_add(total, self._log_sum(given, rest))
        return total - math.log(self.samples)

    def _log_sum(self, given: list[Any], count: int) -> tf.Tensor:
        """log Σ_s w_s over so many samples of each example, `[B]`."""
        if self.cost is None:
            raise ValueError(
                f"Metric {self.name!r} has no cost: a file keeps it only if "
                "it is a registered function. Compile the model again with a "
                "metric that has one. Received: cost=None"
            )

        def repeat(tensor: tf.Tensor) -> tf.Tensor:
            return tf.tile(tensor, [count] + [1] * (tensor.shape.rank - 1))

        given = keras.tree.map_structure(repeat, given)
        cost = tf.convert_to_tensor(self.cost(*given))
        rows = keras.tree.flatten(given)[0].shape[:1]
        if not cost.shape.is_compatible_with(rows):
            raise ValueError(
                "Argument `cost` must return -log w, one number per row, of "
                f"shape {rows}. Received: a cost of shape {cost.shape}"
            )
        _checks.floating("cost's result", cost.dtype)
        cost = tf.cast(cost, tf.float32)
        return tf.reduce_logsumexp(-tf.reshape(cost, [count, -1]), axis=0)

    def result(self) -> tf.Tensor:
        """Returns the mean over examples; 0 before any was seen."""
        total, _, first, *_ = tf.unstack(tf.convert_to_tensor(self.sums))
        return tf.cast(tf.math.divide_no_nan(first, total), tf.float32)

    def standard_error(self) -> float:
        """Returns that of the mean over examples; NaN for fewer than two."""
        total, squares, first, second, third = (
            float(part) for part in self.sums.numpy()
        )
        if total == 0.0:
            return math.nan
        mean, number = first / total, total**2 / squares
        if number <= 1.0:
            return math.nan
        spread = third - 2.0 * mean * second + mean**2 * squares
        variance = max(spread, 0.0) / total**2 * number / (number - 1.0)
        return math.sqrt(variance)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        cost = self.cost if _is_registered(self.cost) else None
        return {
            **super().get_config(),
            "cost": cost and keras.saving.serialize_keras_object(cost),
            "samples": self.samples,
            "chunk_size": self.chunk_size,
        }


def _log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other))."""
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)


def _warn_if_it_draws_nothing(name: str, cost: keras.layers.Layer) -> None:
    """Warns of a cost whose sampling layers all do something else."""
    # Keras 3.12 to 3.15 list nested layers by no public method.
    modes = {
        layer.name: layer.mode
        for layer in cost._flatten_layers()
        if hasattr(layer, "inference_modes")
    }
    if modes and "sample" not in modes.values():
        warnings.warn(
            f"The cost of metric {name!r} draws no sample, so that its result "
            "is no bound: give the layers of the model that is its cost "
            f"inference='sample'. Received: layers with {modes}",
            stacklevel=3,
        )


def _is_registered(cost: Any) -> bool:
    """Whether Keras finds the function by its name."""
    if not inspect.isfunction(cost):
        return False
    name = keras.saving.get_registered_name(cost)
    return keras.saving.get_registered_object(name) is cost
