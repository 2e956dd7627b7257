"""The values of compiled losses, and which losses can be credited."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.layers import CostCollector

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum")


def at_path(structure: Any, path: Any, values: Any) -> Any:
    """The one of the values, packed like the structure, at the path."""
    if not keras.tree.is_nested(structure):
        return keras.tree.flatten(values)[0]
    packed = keras.tree.pack_sequence_as(structure, keras.tree.flatten(values))
    for key in path:
        packed = packed[key]
    return packed


def in_place(compiled: Any, y: Any, y_pred: Any) -> Any:
    """The targets, each where its output is, as Keras's own loss puts them.

    They may be named, where the outputs are a list, and are left out where an
    output has no loss.
    """
    tree = keras.tree
    outputs, losses = tree.flatten(y_pred), tree.flatten(compiled._user_loss)
    try:
        tree.assert_same_structure(y_pred, y)
        return y
    except ValueError:
        given = tree.flatten(y)
    if isinstance(y, dict) and isinstance(y_pred, list | tuple):
        names = compiled.output_names or []
        if set(names) == set(y):
            given = [y[name] for name in names]
    if len(given) == len(outputs):
        return tree.pack_sequence_as(y_pred, given)
    if len(losses) == len(outputs) and tree.is_nested(compiled._user_loss):
        wanted = [loss is not None for loss in losses]
        if len(given) == sum(wanted):
            rest = iter(given)
            every = [next(rest) if each else None for each in wanted]
            return tree.pack_sequence_as(compiled._user_loss, every)
    return y


def pair_of(compiled: Any, loss: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
    """The pair of target and prediction that a compiled loss looks at."""
    return (
        at_path(compiled._y_true_build_structure, loss.path, y),
        at_path(compiled._y_pred_build_structure, loss.path, y_pred),
    )


def checked_values(loss: Any, target: Any, prediction: Any) -> tf.Tensor:
    """A loss's values; raises if they are not per example."""
    if loss.reduction not in _REDUCTIONS:
        raise ValueError(
            "A model with a ReinforceSampler needs losses with a reduction "
            f"among {_REDUCTIONS}. Received: loss {loss.name!r} with "
            f"reduction={loss.reduction!r}"
        )
    values = tf.convert_to_tensor(_called(loss, target, prediction))
    if values.shape.rank is None:
        raise ValueError(
            "A model with a ReinforceSampler needs losses of known rank, of "
            f"shape [B]. Received: loss {loss.name!r}, whose values have an "
            "unknown shape, as after `tf.numpy_function`: give them one by "
            "`tf.ensure_shape(values, [None])`"
        )
    if len(values.shape) == 0:
        raise ValueError(
            "A model with a ReinforceSampler needs losses with one value per "
            f"example, of shape [B]. Received: loss {loss.name!r}, which "
            "returned a scalar for the whole batch. If there is no cost of "
            "one example (as for a ranking metric), let the sampler return its "
            "log-probability (`return_log_prob=True`), and add score times "
            "log-probability to the loss in a `train_step` of your own"
        )
    return values


def _values_of(loss: Any, target: Any, prediction: Any) -> Any:
    """What `call` gives for tensors as Keras hands them to it."""

    def converted(value: Any) -> Any:
        if value is None:
            return None
        return keras.ops.convert_to_tensor(value, dtype=loss.dtype)

    pair = keras.tree.map_structure(converted, (target, prediction))
    return loss.call(*pair)


def _called(loss: Any, target: Any, prediction: Any) -> Any:
    try:
        return _values_of(loss, target, prediction)
    except Exception as error:
        if target is not None:
            raise
        raise ValueError(
            f"Loss {loss.name!r} needs targets: give `fit` a y. (If the "
            "output is the cost itself, its loss is `losses.MeanCost()`.) "
            "Received: y=None"
        ) from error


def refuse_mixed_examples(loss: Any, target: Any, prediction: Any) -> None:
    """Raises for a loss whose share of an example is not its own loss.

    The loss is called on made-up numbers of the shapes at hand, outside the
    graph, where it has to have a value for each example: once with another
    last example, which may change no other value (of a loss with noise of its
    own, no other value may have a derivative there), and once with twice the
    weights, which has to double the total. Among Keras's own `Circle` looks at
    other examples, as does every loss with the batch on its `axis`. A loss that
    cannot be called on such numbers is taken at its word.
    """
    try:
        with tf.init_scope():
            flaw = _flaw(loss, target, prediction)
    except Exception:
        return
    if flaw is not None:
        raise ValueError(f"A model with a ReinforceSampler needs {flaw}")


def refuse_own_state(loss: Any, target: Any, prediction: Any) -> None:
    """Raises for a loss that assigns to variables, the seeds of noise apart.

    Its values are asked for once more in every training step, and on made-up
    numbers. What it assigns to is seen in its graph, if it has one.
    """

    @tf.function(autograph=False)
    def values(*pair: Any) -> Any:
        return _values_of(loss, *pair)

    try:
        with tf.init_scope():
            graph = values.get_concrete_function(
                *keras.tree.map_structure(_spec, (target, prediction))
            ).graph
    except Exception:
        return
    for op in graph.get_operations():
        if _assigns(op) and not _is_of_seed(op.inputs[-1]):
            raise ValueError(
                "A model with a ReinforceSampler needs losses without a state "
                "of their own, for they are called more than once in a "
                f"training step. Received: loss {loss.name!r}, which assigns "
                "to a variable. Keep the state in a layer, or let a callback "
                "change it"
            )


def _spec(tensor: Any) -> Any:
    return None if tensor is None else tf.type_spec_from_value(tensor)


def _assigns(op: Any) -> bool:
    """Whether an operation changes a variable, or a part of it."""
    of_variable = bool(op.inputs) and op.inputs[0].dtype == tf.resource
    return of_variable and ("Assign" in op.type or "Scatter" in op.type)


def _is_of_seed(value: tf.Tensor) -> bool:
    """Whether this is what Keras's seed generators assign."""
    return value.dtype.is_integer and value.shape == [2]


def refuse_drawn_masks(loss: Any, *masked: Any) -> None:
    """Raises if a mask, by whose size Keras divides, was computed from a draw.

    In a graph alone: in eager mode nothing tells what a mask comes from.
    """
    collector = CostCollector.current()
    masks = [getattr(tensor, "_keras_mask", None) for tensor in masked]
    for mask in masks:
        if mask is None or loss.reduction == "sum" or collector is None:
            continue
        if collector.depends_on_sample(tf.cast(mask, tf.float32)):
            raise ValueError(
                "A model with a ReinforceSampler needs losses that do not "
                "divide by the size of a mask that depends on a sample, for "
                f"then each draw acts on all examples. Received: loss "
                f"{loss.name!r} with reduction={loss.reduction!r}, and such a "
                "mask. Use reduction='sum', or a loss that sums the steps of "
                "an example itself"
            )


def _flaw(loss: Any, target: Any, prediction: Any) -> str | None:
    """What the loss would have to be and is not, tried on made-up numbers."""
    # Of a size that is no other of theirs, if the batch's is not known.
    others = {3, *target.shape[1:], *prediction.shape[1:]}
    unlike = next(n for n in range(4, 99) if n not in others)
    size = max(2, prediction.shape[0] or unlike)
    random = np.random.default_rng(0)

    def made_up(like: Any) -> tf.Tensor:
        shape = [size, *(n or 3 for n in like.shape[1:])]
        if tf.as_dtype(like.dtype).is_floating:
            return tf.cast(random.uniform(0.05, 0.95, shape), like.dtype)
        return tf.cast(random.integers(0, 2, shape), like.dtype)  # labels

    y, p = made_up(target), made_up(prediction)
    moved = tf.concat([p[:-1], made_up(prediction)[-1:]], axis=0)
    values, again, other = (_values_of(loss, y, each) for each in (p, p, moved))
    if values.shape[0] != size:
        return (
            "losses with one value per example, of shape [B]. Received: loss "
            f"{loss.name!r}, whose values for {size} examples have shape "
            f"{values.shape}"
        )
    same = object.__new__(type(loss))  # with the same noise each time
    vars(same).update(vars(loss), call=lambda y_true, y_pred: values)
    weights = tf.ones_like(values)
    once, twice = same(y, p, weights), same(y, p, 2.0 * weights)
    if not np.all(np.isfinite([*np.ravel(values), *np.ravel(other), once])):
        return None
    alike = functools.partial(np.allclose, rtol=1e-4, atol=1e-6)
    noisy, changes = (
        not alike(values, again),
        not alike(values[:-1], other[:-1]),
    )
    if changes and not (noisy and _is_apart(loss, y, p)):
        return (
            "a loss that treats each example by itself, for its sampler is "
            "credited with the loss of its own example only. Received: loss "
            f"{loss.name!r}, whose value for one example changes with another "
            "one" + ", or by noise of its own: no derivative tells" * noisy
        )
    if not np.allclose(2.0 * once, twice, rtol=1e-3):
        return (
            "a loss that is a weighted sum, or a mean over all examples. "
            f"Received: loss {loss.name!r}, whose total does not double with "
            "its weights: it ignores its sample weights, or divides by their "
            "sum"
        )
    return None


def _is_apart(loss: Any, y: tf.Tensor, p: tf.Tensor) -> bool:
    """Whether values have derivatives, and none in predictions of others."""
    half = len(p) // 2

    @tf.function(autograph=False)  # for there are no tapes in `init_scope`
    def slopes() -> Any:
        parts = tf.split(_values_of(loss, y, p), [half, len(p) - half])
        return [tf.gradients(part, p)[0] for part in parts]

    try:
        first, last = slopes.get_concrete_function()()
    except Exception:
        return False
    if first is None or last is None:
        return False
    return not (np.any(first[half:]) or np.any(last[:half]))
