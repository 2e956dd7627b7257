"""Building blocks of estimators.

Rows are samples: row s·B + i of `[S·B, ...]` is sample s of example i. What is
said of a tensor holds for each tensor of a tuple, as of `Parameters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.distributions import Distribution, Parameters, per_example

Tensors = TypeVar("Tensors", tf.Tensor, tuple[tf.Tensor, ...])

# A tape for control variates must not see the variables of the model.
NOTHING_BY_ITSELF = {"watch_accessed_variables": False}


def repeat(tensors: Tensors, count: Any) -> Tensors:
    """The tensor `count` times along its first axis, as a whole."""
    if isinstance(count, int) and count == 1:
        return tensors

    def tile(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.shape.rank is None:  # As after `tf.numpy_function`.
            ones = tf.ones([tf.rank(tensor) - 1], tf.int32)
            return tf.tile(tensor, tf.concat([[count], ones], axis=0))
        return tf.tile(tensor, [count] + [1] * (tensor.shape.rank - 1))

    return tf.nest.map_structure(tile, tensors)


def fold(rows: tf.Tensor, count: int) -> tf.Tensor:
    """`[count·B, ...]` as `[count, B, ...]`."""
    if count == 1:
        return rows[None]
    return tf.reshape(rows, tf.concat([[count, -1], tf.shape(rows)[1:]], 0))


def mean_of_samples(rows: tf.Tensor, count: int) -> tf.Tensor:
    """The mean over an example's samples, of rows `[count·B, ...]`."""
    if count == 1:
        return rows
    return tf.reduce_mean(fold(rows, count), axis=0)


def mean_of_others(rows: tf.Tensor, count: int) -> tf.Tensor:
    """The mean over an example's other samples, of and in rows `[count·B]`."""
    folded = fold(rows, count)
    others = tf.reduce_sum(folded, axis=0) - folded
    return tf.reshape(others / (count - 1), tf.shape(rows))


def log_mean_exp(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """log of the mean of exp(values) on an axis."""
    count = tf.cast(tf.shape(values)[axis], values.dtype)
    return tf.reduce_logsumexp(values, axis=axis) - tf.math.log(count)


def log_add_exp(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other))."""
    difference = tf.abs(one - other)
    return tf.maximum(one, other) + tf.math.log1p(tf.exp(-difference))


def tile_context(context: Any, sample: tf.Tensor) -> tf.Tensor:
    """Repeats per-example data for samples that hold n rows per example.

    Args:
        context: `[B, ...]`.
        sample: Samples as `cost_fn` gets them, `[n·B, ...]`.

    Returns:
        `[n·B, ...]`, in which row s·B + i is `context[i]`, with its Keras
        mask, if it has one.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> z = tf.zeros([4, 3])
    >>> tg.estimators.tile_context([5.0, 7.0], z).numpy()
    array([5., 7., 5., 7.], dtype=float32)
    """
    context = tf.convert_to_tensor(context)
    count = _rows_per_example(context, sample)
    tiled = repeat(context, count)
    mask = getattr(context, "_keras_mask", None)
    if mask is not None:  # Only layers of Keras pass it on by themselves.
        tiled._keras_mask = repeat(mask, count)
    return tiled


def _rows_per_example(context: tf.Tensor, sample: tf.Tensor) -> Any:
    rows, batch = sample.shape[0], context.shape[0]
    if rows is None or batch is None:
        return tf.shape(sample)[0] // tf.maximum(tf.shape(context)[0], 1)
    if rows == batch:
        return 1
    if batch == 0 or rows % batch:
        raise ValueError(
            "Argument `context` must hold one row per example, and `sample` a "
            f"multiple of that. Received: context of shape {context.shape} "
            f"and sample of shape {sample.shape}"
        )
    return rows // batch


def score(
    distribution: Distribution, parameters: Parameters, sample: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """∇ log q(sample) in each parameter, for every row; no gradient in it."""
    if distribution.lacks(distributions.Scored) is None:
        found = distribution.score(parameters, sample)  # type: ignore[attr-defined]
        return tuple(map(tf.stop_gradient, found))
    parameters = tuple(map(tf.stop_gradient, parameters))
    with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
        tape.watch(parameters)
        log_prob = distribution.log_prob(parameters, tf.stop_gradient(sample))
    zero = tf.UnconnectedGradients.ZERO
    found = tape.gradient(log_prob, parameters, unconnected_gradients=zero)
    return tuple(map(tf.stop_gradient, found))


def weigh(
    advantage: tf.Tensor, scores: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, ...]:
    """Σ_s advantage[s] · score[s], for `[S, B]` and rows `[S·B, ...]`."""
    count = advantage.shape[0]

    def weighted(score: tf.Tensor) -> tf.Tensor:
        ones = [1] * (score.shape.rank - 1)
        shape = tf.concat([tf.shape(advantage), ones], 0)
        return tf.reduce_sum(
            tf.reshape(advantage, shape) * fold(score, count), axis=0
        )

    return tuple(map(weighted, scores))


def squared_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Σ of squares over all but the first axis, `[B]`."""
    return tf.add_n([per_example(tf.square(tensor)) for tensor in tensors])


def attach(
    value: tf.Tensor, parameters: Parameters, gradients: Sequence[tf.Tensor]
) -> tf.Tensor:
    """The value `[B]`, with `gradients` as its gradients in the parameters.

    The value keeps its own gradient, that with respect to f's variables. The
    gradients have no derivative: a second one, as of a step inside of another,
    raises an error, and in a graph is NaN.
    """
    gradients = [tf.stop_gradient(gradient) for gradient in gradients]

    @tf.custom_gradient
    def join(value, *parameters):
        def grad(upstream):
            known = _without_derivative(gradients, (value, *parameters))
            products = [column(upstream, g) * g for g in known]
            # Grappler (TensorFlow 2.20, 2.21) may let an update of f's weights
            # overtake what a control variate reads of them: let it wait.
            with tf.control_dependencies(products):
                return tf.identity(upstream), *products

        return tf.stop_gradient(value), grad

    return join(value, *parameters)


def _without_derivative(
    gradients: Sequence[tf.Tensor], sources: Sequence[tf.Tensor]
) -> Sequence[tf.Tensor]:
    """The gradients, whose derivative in the sources is asked for in vain."""

    @tf.custom_gradient
    def alone(gradients, *sources):
        def grad(*upstream):
            if tf.executing_eagerly():
                raise ValueError(
                    "This estimator has no second derivative: it estimates a "
                    "gradient, and nothing of how that changes. 'reinforce' "
                    "and 'nvil' have one for every cost; 'exact' and "
                    "'pathwise', where they serve"
                )
            nan = [
                tf.fill(tf.shape(s), tf.cast(np.nan, s.dtype)) for s in sources
            ]
            return [None] * len(gradients), *nan

        return tf.nest.map_structure(tf.identity, gradients), grad

    return alone(list(gradients), *sources)


def attach_weights(
    value: tf.Tensor,
    weights: Sequence[keras.Variable],
    tape: tf.GradientTape,
    objective: tf.Tensor,
) -> tf.Tensor:
    """The value `[B]`, whose backward pass trains `weights` on `objective`.

    The weights receive Σ_i |g_i| · ∂objective_i/∂weights, with g the incoming
    gradient: its sign says nothing about a variance, its size is the weight
    of the example. Nothing else receives any of it.

    Args:
        value: `[B]`.
        weights: The control variate's trainable weights.
        tape: A persistent tape that recorded the objective.
        objective: What to descend, `[B]`.
    """
    if not weights:
        return value
    sources = [weight.value for weight in weights]

    @tf.custom_gradient
    def join(value, *tensors):
        def grad(upstream):
            wrt = tape.gradient(
                objective,
                sources,
                output_gradients=tf.abs(upstream),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return (upstream, *wrt)

        return tf.stop_gradient(value), grad

    return join(value, *[tf.convert_to_tensor(source) for source in sources])


def column(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """One value per row, `[B]`, in the rank and dtype of `like`."""
    ones = [1] * (like.shape.rank - 1)
    return tf.reshape(tf.cast(values, like.dtype), [-1, *ones])
