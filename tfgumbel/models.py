"""Keras models that bring each example's cost to the samplers inside."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.layers import CostCollector, Draw

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum")


class ScoreFunctionMixin:
    """Feeds each example's own loss to every `ReinforceSampler` inside.

    Mix it into a subclassed or Sequential model, before the Keras class:

    ```python
    class Net(tg.ScoreFunctionMixin, keras.Model):
        ...
    ```

    Then `compile(loss=...)` and `fit` as usual. For example i, with
    w_i ∂total/∂w_i its share of the total loss (sample and class weights,
    loss weights, every output and every mask included), the samplers receive
    that share times ∇log q(z_i). The reported loss stays the true cost.

    The share of an example is its own loss. A layer after the sampler that
    mixes the examples of a batch (batch normalisation in training) lets z_i
    act on the losses of others through the batch's statistics; these are
    taken as given, as is usual, and that influence is left out.

    What is not a cost per example is refused: a loss that returns a scalar
    for the batch, `reduction=None` or `"mean_with_sample_weight"`, and a term
    added with `add_loss` that depends on a sample.

    A model that overrides `train_step` must call `super().train_step`; one
    that overrides `compute_loss` must call `super().compute_loss`, and what
    it adds must not depend on a sample.
    """

    def train_step(self, data: Any) -> Any:
        """Trains on one batch, with a collector of costs open."""
        compiled = getattr(self, "_compile_loss", None)
        first = not getattr(compiled, "_score_function_checked", False)
        with CostCollector(watch=first) as collector:
            logs = super().train_step(data)  # type: ignore[misc]
        if collector.draws and not collector.settled:
            names = ", ".join(repr(draw.name) for draw in collector.draws)
            raise RuntimeError(
                f"The samplers {names} drew in this training step, and no "
                "cost reached them. A model with `ScoreFunctionMixin` that "
                "overrides `compute_loss` must call `super().compute_loss`."
            )
        if compiled is not None:
            compiled._score_function_checked = True
        return logs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the total loss, with the samplers' gradients attached."""
        compute = super().compute_loss  # type: ignore[misc]
        collector = CostCollector.current()
        if collector is None or not training or not collector.draws:
            return compute(x, y, y_pred, sample_weight, training)
        ones = tf.ones([_batch_size(y_pred, collector.draws)])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(ones)
            rank = self._loss_rank(y, y_pred)
            weighted = _weighted(sample_weight, ones, rank)
            total = compute(x, y, y_pred, weighted, training)
        share = _share(tape, total, ones)
        self._refuse_hidden_costs(collector)
        collector.settled = True
        weights = _example_weights(sample_weight, ones)
        return total + tf.cast(
            _settle(collector.draws, share, weights), total.dtype
        )

    def _loss_rank(self, y: Any, y_pred: Any) -> int:
        """The rank of the losses' values, having checked every loss."""
        compiled = getattr(self, "_compile_loss", None)
        if compiled is None:
            raise ValueError(
                "A model with a ReinforceSampler needs "
                "`compile(loss=...)` with a loss that has one value per "
                "example. Received: loss=None. (To train on a cost computed "
                "inside the model, use `ScoreFunctionCost` or `ExpectedCost`.)"
            )
        if not compiled.built:
            compiled.build(y, y_pred)
        ranks = [
            _checked_rank(loss.loss, *_targets(compiled, loss, y, y_pred))
            for loss in compiled._flat_losses
        ]
        if max(ranks) - min(ranks) > 1:
            raise ValueError(
                "The outputs' losses have values of ranks that differ by more "
                "than one, so that no weight per example fits them all. "
                f"Received: ranks {ranks}. Reshape the outputs to one rank."
            )
        return max(ranks)

    def _refuse_hidden_costs(self, collector: CostCollector) -> None:
        for loss in self.losses:  # type: ignore[attr-defined]
            if collector.depends_on_sample(loss):
                raise ValueError(
                    "A term added with `add_loss` depends on the sample of a "
                    "ReinforceSampler. It is a scalar for the whole batch, so "
                    "the sampler cannot be credited with it. Make it part of "
                    "the per-example loss, or compute it before the sampler."
                )


def _batch_size(y_pred: Any, draws: list[Draw]) -> Any:
    """The number of examples; raises if a sampler drew for another number."""
    output = keras.tree.flatten(y_pred)[0]
    size = output.shape[0]
    drawn = {draw.name: draw.log_prob.shape[0] for draw in draws}
    if size is None:
        return tf.shape(output)[0]
    if any(other not in (None, size) for other in drawn.values()):
        raise ValueError(
            "Every ReinforceSampler of a model must draw once per example. "
            f"Received: {size} examples, and draws for {drawn}"
        )
    return size


def _weighted(sample_weight: Any, ones: tf.Tensor, rank: int) -> Any:
    """The sample weights with `ones` multiplied into them."""

    def leaf(weight: Any) -> tf.Tensor:
        if weight is None:
            return _with_rank(ones, rank)
        weight = tf.cast(tf.convert_to_tensor(weight), tf.float32)
        return weight * _with_rank(ones, max(1, weight.shape.rank))

    return keras.tree.map_structure(leaf, sample_weight)


def _with_rank(vector: tf.Tensor, rank: int) -> tf.Tensor:
    return tf.reshape(vector, [-1] + [1] * (rank - 1))


def _example_weights(sample_weight: Any, ones: tf.Tensor) -> tf.Tensor:
    """One weight per example, if the sample weights are a single tensor."""
    if sample_weight is None or keras.tree.is_nested(sample_weight):
        return ones
    weight = tf.abs(tf.cast(tf.convert_to_tensor(sample_weight), tf.float32))
    return tf.reduce_mean(weight, axis=list(range(1, weight.shape.rank))) * ones


def _share(
    tape: tf.GradientTape, total: tf.Tensor, ones: tf.Tensor
) -> tf.Tensor:
    """What each example contributes to the total loss, `[B]`."""
    if total.shape.rank != 0:
        raise ValueError(
            "A model with a ReinforceSampler needs a loss that is reduced to "
            f"a scalar. Received: a total loss of shape {total.shape}"
        )
    share = tape.gradient(total, ones)
    if share is None:
        raise ValueError(
            "A model with a ReinforceSampler needs a loss with one value per "
            "example, weighted by `sample_weight`. Received: a loss that "
            "ignores its sample weights, so that no example's own cost is "
            "known."
        )
    return tf.stop_gradient(share)


def _settle(
    draws: list[Draw], share: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """A zero whose gradient is the samplers' and the baselines'.

    Baselines learn the cost per example in the units of the loss: its share
    of the total without the 1/B and the sample weight that are in it.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    batch = tf.cast(tf.shape(share)[0] * replicas, tf.float32)
    cost = tf.math.divide_no_nan(share * batch, weights)
    zero = tf.zeros([])
    for draw in draws:
        surrogate = draw.surrogate(cost, weights)
        zero += tf.reduce_sum(
            weights / batch * (surrogate - tf.stop_gradient(surrogate))
        )
    return zero


def _targets(compiled: Any, loss: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
    """The pair of target and prediction that a compiled loss looks at."""

    def at_path(structure: Any, values: Any) -> Any:
        if not keras.tree.is_nested(structure):
            return keras.tree.flatten(values)[0]
        packed = keras.tree.pack_sequence_as(
            structure, keras.tree.flatten(values)
        )
        for key in loss.path:
            packed = packed[key]
        return packed

    return (
        at_path(compiled._y_true_build_structure, y),
        at_path(compiled._y_pred_build_structure, y_pred),
    )


def _checked_rank(loss: Any, target: Any, prediction: Any) -> int:
    """The rank of a loss's values; raises if they are not per example."""
    if loss.reduction not in _REDUCTIONS:
        raise ValueError(
            "A model with a ReinforceSampler needs losses with a reduction "
            f"among {_REDUCTIONS}. Received: loss {loss.name!r} with "
            f"reduction={loss.reduction!r}"
        )
    values = loss.call(target, prediction)
    if len(values.shape) == 0:
        raise ValueError(
            "A model with a ReinforceSampler needs losses with one value per "
            f"example, of shape [B]. Received: loss {loss.name!r}, which "
            "returned a scalar for the whole batch"
        )
    return len(values.shape)


@keras.saving.register_keras_serializable(package="tfgumbel")
class StochasticModel(ScoreFunctionMixin, keras.Model):
    """A functional Keras model that can train `ReinforceSampler` layers.

    `compile(loss=...)` takes any Keras loss that has one value per example;
    `fit` feeds each example's own loss to every sampler inside, including
    those of nested models. `evaluate` and `predict` are Keras's own. See
    `ScoreFunctionMixin` for what is correct and what is refused, and subclass
    that mixin (not this class) for a model with its own `call`.

    Args:
        inputs: Inputs of the graph, as in `keras.Model`.
        outputs: Outputs of the graph.
        **kwargs: As in `keras.Model`.

    Example:

    >>> import keras, tfgumbel as tg
    >>> x = keras.Input((4,))
    >>> z = tg.ReinforceSampler()(keras.layers.Dense(3)(x), context=x)
    >>> model = tg.StochasticModel(x, keras.layers.Dense(1)(z))
    >>> model.compile("adam", loss="mse")

    Reference:
        Schulman, Heess, Weber, Abbeel. Gradient estimation using stochastic
        computation graphs. NIPS 2015.
    """
