"""What each example, loss or step contributes to the total loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.layers import CostCollector, Draw


def _batch_size(y_pred: Any, draws: list[Draw]) -> Any:
    """The number of examples; raises if a sampler drew for another number."""
    output = keras.tree.flatten(y_pred)[0]
    size = output.shape[0]
    drawn = {draw.name: draw.log_prob.shape[0] for draw in draws}
    if size is None:
        return tf.shape(output)[0]
    if any(other not in (None, size) for other in drawn.values()):
        raise ValueError(
            "Every ReinforceSampler of a model must draw once per example; "
            "parameters that all examples share are to be repeated, as in "
            "`logits + tf.zeros_like(x)`. "
            f"Received: {size} examples, and draws for {drawn}"
        )
    return size


def asked_credits(draws: list[Draw]) -> set[str]:
    return {draw.sampler.credit for draw in draws}


def ones_for(values: Any, y_pred: Any, draws: list[Draw]) -> list[tf.Tensor]:
    """A one for each example, `[B]`; for each loss or step where asked for.

    The derivative of the total in a one is what that example (and loss, and
    step) contributes to it.
    """
    credits = asked_credits(draws)
    size = _batch_size(y_pred, draws)
    if "to_go" in credits:
        return [tf.ones([size, steps]) for steps in _steps(values, draws)]
    if "local" in credits:
        return [tf.ones([size]) for _ in values]
    ranks = [len(each.shape) for each in values]
    if max(ranks) - min(ranks) > 1:
        raise ValueError(
            "The outputs' losses have values of ranks that differ by more "
            "than one, so that no weight per example fits them all. "
            f"Received: ranks {ranks}. Reshape the outputs to one rank."
        )
    return [tf.ones([size])]


def _steps(values: Any, draws: list[Draw]) -> list[Any]:
    """The number of steps of each loss; raises if there are none."""
    names = sorted({d.name for d in draws if d.sampler.credit == "to_go"})
    shapes = [tuple(each.shape) for each in values]
    if min(map(len, shapes)) < 2:
        raise ValueError(
            f'Samplers with credit="to_go", {names}, need losses with one '
            "value per step, of shape [B, T], such as the mean squared error "
            f"of outputs [B, T, D]. Received: losses of shapes {shapes}. Use "
            'credit="example" for a cost of the whole sequence.'
        )
    known = {shape[1] for shape in shapes} - {None}
    if len(known) > 1:
        raise ValueError(
            f'Samplers with credit="to_go", {names}, need losses of the same '
            f"number of steps. Received: losses of shapes {shapes}"
        )
    return [
        tf.shape(each)[1] if size is None else size
        for each, (_, size, *_) in zip(values, shapes, strict=True)
    ]


def times_ones(weight: Any, ones: tf.Tensor, rank: int) -> tf.Tensor:
    """Sample weights, or none, times ones `[B]` or `[B, T]`.

    Of the rank of the loss: weights `[B]` would weigh steps, not examples,
    where there are as many.
    """
    if weight is None:
        return _with_rank(ones, rank)
    weight = tf.cast(tf.convert_to_tensor(weight), tf.float32)
    rank = max(weight.shape.rank, ones.shape.rank, rank)
    return _with_rank(weight, rank) * _with_rank(ones, rank)


def _with_rank(tensor: tf.Tensor, rank: int) -> tf.Tensor:
    """The tensor, with axes of size one added at the end."""
    added = rank - tensor.shape.rank
    if not added:
        return tensor
    return tf.reshape(tensor, tf.concat([tf.shape(tensor), [1] * added], 0))


def example_weights(sample_weight: Any, ones: tf.Tensor) -> tf.Tensor:
    """One weight per example, if the sample weights are a single tensor."""
    if sample_weight is None or keras.tree.is_nested(sample_weight):
        return ones
    weight = tf.abs(tf.cast(tf.convert_to_tensor(sample_weight), tf.float32))
    return tf.reduce_mean(weight, axis=list(range(1, weight.shape.rank))) * ones


def step_weights(
    sample_weight: Any,
    weights: tf.Tensor,
    y_pred: Any,
    collector: CostCollector,
) -> tf.Tensor | None:
    """Weights of the steps, `[B, T]`; `None` for those of the examples.

    A mask counts if what is drawn has no part in it.
    """
    result = None
    if sample_weight is not None and not keras.tree.is_nested(sample_weight):
        result = tf.abs(tf.cast(sample_weight, tf.float32))
        if result.shape.rank > 2:
            result = tf.reduce_mean(result, list(range(2, result.shape.rank)))
        if result.shape.rank < 2 or result.shape[1] == 1:
            result = None
    mask = getattr(y_pred, "_keras_mask", None)
    if mask is None or collector.may_depend_on_sample(mask):
        return result
    return tf.cast(mask, tf.float32) * (
        weights[:, None] if result is None else result
    )


def shares_of(
    tape: tf.GradientTape, total: tf.Tensor, ones: list[tf.Tensor]
) -> list[tf.Tensor]:
    """What each example, or step, contributes to the total loss."""
    if total.shape.rank != 0:
        raise ValueError(
            "A model with a ReinforceSampler needs a loss that is reduced to "
            f"a scalar. Received: a total loss of shape {total.shape}"
        )
    shares = tape.gradient(total, ones)
    if any(share is None for share in shares):
        raise ValueError(
            "A model with a ReinforceSampler needs a loss with one value per "
            "example, weighted by `sample_weight`. Received: a loss that "
            "ignores its sample weights, so that no example's own cost is "
            "known."
        )
    return [tf.stop_gradient(share) for share in shares]


def per_example(share: tf.Tensor) -> tf.Tensor:
    return share if share.shape.rank == 1 else tf.reduce_sum(share, axis=1)
