"""Keras models that bring each example's cost to the samplers inside."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
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
    for the batch, or whose value for one example changes with another one
    (tried once on made-up numbers, where the loss can be called on such);
    `reduction=None` or `"mean_with_sample_weight"`, or a `Loss` that divides
    by its weights in a `__call__` of its own; and a term added with `add_loss`
    that is computed from a sample (in eager mode: that has a gradient in it).

    A model that overrides `train_step` must call `super().train_step`; one
    that overrides `compute_loss` must call `super().compute_loss` once, and
    what it adds must not depend on a sample.
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
            total = compute(x, y, y_pred, sample_weight, training)
            if collector is not None and training:
                _refuse_unused_log_probs(collector, total)
            return total
        if collector.settled:
            raise RuntimeError(
                "`compute_loss` was called twice in a training step. The "
                "baselines have seen the costs of this batch by then, and "
                "would bias the second gradient. Call it once."
            )
        ones = tf.ones([_batch_size(y_pred, collector.draws)])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(ones)
            rank = self._loss_rank(y, y_pred)
            weighted = _weighted(sample_weight, ones, rank)
            total = compute(x, y, y_pred, weighted, training)
        share = _share(tape, total, ones)
        self._refuse_hidden_costs(collector)
        _refuse_unused_log_probs(collector, total)
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
        first = not getattr(compiled, "_score_function_checked", False)
        ranks = []
        for loss in compiled._flat_losses:
            pair = _targets(compiled, loss, y, y_pred)
            ranks.append(_checked_rank(loss.loss, *pair))
            if first:
                _refuse_mixed_examples(loss.loss, *pair)
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
                    "A term added with `add_loss` is computed from the sample "
                    "of a ReinforceSampler. It is a scalar for the whole "
                    "batch, so the sampler cannot be credited with it. Make "
                    "it part of the per-example loss, or compute it before "
                    "the sampler."
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
        surrogate = draw.surrogate(_one_per_draw(draw, cost), weights)
        zero += tf.reduce_sum(
            weights / batch * (surrogate - tf.stop_gradient(surrogate))
        )
    return zero


def _one_per_draw(draw: Draw, cost: tf.Tensor) -> tf.Tensor:
    """The costs; stops the step, at the latest, if there are other draws."""
    if None not in (draw.log_prob.shape[0], cost.shape[0]):
        return cost
    right = tf.debugging.assert_equal(
        tf.shape(draw.log_prob)[0],
        tf.shape(cost)[0],
        f"ReinforceSampler {draw.name!r} must draw once per example. Put "
        "several draws of an example on an axis after that of the batch",
    )
    with tf.control_dependencies([right]):
        return tf.identity(cost)


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
    values = tf.convert_to_tensor(loss.call(target, prediction))
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
    return len(values.shape)


def _refuse_unused_log_probs(
    collector: CostCollector, total: tf.Tensor
) -> None:
    """Raises if a sampler returned a log-probability that no loss contains."""
    for name, log_prob in collector.returned.items():
        if not collector.depends(total, [log_prob]):
            raise ValueError(
                f"ReinforceSampler {name!r} returned its log-probability, and "
                "the loss does not contain it, so that it would never learn. "
                "Join it with the cost by `ScoreFunctionCost`, or leave out "
                "`return_log_prob=True`: the model then brings it the cost."
            )


def _refuse_mixed_examples(loss: Any, target: Any, prediction: Any) -> None:
    """Raises for a loss whose share of an example is not its own loss.

    The loss is called on made-up numbers of the shapes at hand, outside the
    graph: once with another last example, which may change no other value,
    and once with twice the weights, which has to double the total. A loss of
    Keras's own needs no trial, and one that cannot be called on such numbers
    is taken at its word.
    """
    function = getattr(loss, "fn", None) or type(loss)
    if function.__module__.split(".")[0] == "keras":
        return
    try:
        with tf.init_scope():
            others, doubled = _trial(loss, target, prediction)
    except Exception:
        return
    if not others:
        raise ValueError(
            "A model with a ReinforceSampler needs a loss that treats each "
            "example by itself, for its sampler is credited with the loss of "
            f"its own example only. Received: loss {loss.name!r}, whose value "
            "for one example changes with another one"
        )
    if not doubled:
        raise ValueError(
            "A model with a ReinforceSampler needs a loss that is a weighted "
            "sum, or a mean over all examples. Received: loss "
            f"{loss.name!r}, whose total does not double with its weights: it "
            "ignores its sample weights, or divides by their sum"
        )


def _trial(loss: Any, target: Any, prediction: Any) -> tuple[bool, bool]:
    """Whether examples leave each other alone, and weights weigh."""
    size = max(2, prediction.shape[0] or 4)
    random = np.random.default_rng(0)

    def made_up(like: Any) -> tf.Tensor:
        shape = [size, *(n or 3 for n in like.shape[1:])]
        return tf.cast(random.uniform(0.05, 0.95, shape), like.dtype)

    y, p = made_up(target), made_up(prediction)
    moved = tf.concat([p[:-1], made_up(prediction)[-1:]], axis=0)
    values, other = loss.call(y, p), loss.call(y, moved)
    weights = tf.ones([size])
    once, twice = loss(y, p, weights), loss(y, p, 2.0 * weights)
    if not np.all(np.isfinite([*np.ravel(values), *np.ravel(other), once])):
        return True, True
    alone = np.allclose(values[:-1], other[:-1], rtol=1e-4, atol=1e-6)
    return alone, np.allclose(2.0 * once, twice, rtol=1e-3)


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

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Returns a model; says how to write one that is no graph."""
        if len(args) == 1 and "outputs" not in kwargs:
            raise TypeError(
                f"{cls.__name__} takes the inputs and the outputs of a graph. "
                "For a stack of layers, or a model with a `call` of its own, "
                "mix `ScoreFunctionMixin` into a class: `class Net("
                "tg.ScoreFunctionMixin, keras.Sequential): pass`. "
                f"Received: {args!r}"
            )
        return super().__new__(cls, *args, **kwargs)
