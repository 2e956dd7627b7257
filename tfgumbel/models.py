"""Keras models that bring each example's cost to the samplers inside."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.layers import CostCollector, Draw, Shares

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

    What is not a cost per example raises an error: a loss that returns a scalar
    for the batch, or whose value for one example changes with another one
    (tried once on made-up numbers, where the loss can be called on such);
    `reduction=None` or `"mean_with_sample_weight"`, or a `Loss` that divides
    by its weights in a `__call__` of its own; and a term added with `add_loss`
    that is computed from a sample (in eager mode: that has a gradient in it).

    A model that overrides `train_step` must call `super().train_step`; one
    that overrides `compute_loss` must call `super().compute_loss` once, and
    what it adds must not depend on a sample.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuses a class in which Keras's methods would come first."""
        super().__init_subclass__(**kwargs)
        order = cls.mro()
        if keras.Model in order[: order.index(ScoreFunctionMixin)]:
            raise TypeError(
                f"Class {cls.__name__} must name `ScoreFunctionMixin` before "
                "the Keras class, whose `train_step` it extends: `class "
                f"{cls.__name__}(tg.ScoreFunctionMixin, keras.Model)`. "
                f"Received: bases {[base.__name__ for base in cls.__bases__]}"
            )

    def train_step(self, data: Any) -> Any:
        """Trains on one batch, with a collector of costs open."""
        compiled = getattr(self, "_compile_loss", None)
        first = not getattr(compiled, "_score_function_checked", False)
        with CostCollector(watch=first) as collector:
            logs = super().train_step(data)  # type: ignore[misc]
        if collector.all_draws and not collector.settled:
            names = ", ".join(repr(draw.name) for draw in collector.all_draws)
            raise RuntimeError(
                f"The samplers {names} drew in this training step, and no "
                "cost reached them. A model with `ScoreFunctionMixin` that "
                "overrides `compute_loss` must call `super().compute_loss`."
            )
        if self.trainable_variables:  # type: ignore[attr-defined]
            collector.finish()
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
        if collector is None or not training or not collector.all_draws:
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
        values = self._loss_values(y, y_pred)
        ones = _ones(values, y_pred, collector.all_draws)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(ones)
            weighted = self._weighted(sample_weight, ones, values)
            total = compute(x, y, y_pred, weighted, training)
        shares = _shares(tape, total, ones)
        self._refuse_hidden_costs(collector)
        _refuse_unused_log_probs(collector, total)
        return collector.settle(
            self._all_shares(shares, sample_weight, y_pred, collector), total
        )

    def _weighted(self, sample_weight: Any, ones: Any, values: Any) -> Any:
        """The sample weights with `ones` multiplied into them.

        If there are several ones, a weight for each loss.
        """
        ranks = [len(each.shape) for each in values]
        if len(ones) == 1:
            return keras.tree.map_structure(
                lambda weight: _times(weight, ones[0], max(ranks)),
                sample_weight,
            )
        losses = self._compile_loss._flat_losses  # type: ignore[attr-defined]
        result: dict[Any, Any] = {}
        for loss, one, rank in zip(losses, ones, ranks, strict=True):
            weight = sample_weight
            if weight is not None and keras.tree.is_nested(weight):
                for key in loss.path:
                    weight = weight[key]
            *keys, last = loss.path
            place = result
            for key in keys:
                place = place.setdefault(key, {})
            place[last] = _times(weight, one, rank)
        return result

    def _all_shares(
        self,
        shares: list[tf.Tensor],
        sample_weight: Any,
        y_pred: Any,
        collector: CostCollector,
    ) -> Shares:
        """What the draws can be credited with."""
        compiled = self._compile_loss  # type: ignore[attr-defined]
        of_examples = [_per_example(share) for share in shares]
        example = tf.add_n(of_examples)
        weights = _example_weights(sample_weight, tf.ones_like(example))
        result = Shares(example, weights)
        credits = _credits(collector.all_draws)
        if "local" in credits:
            structure = compiled._y_pred_build_structure
            for loss, share in zip(
                compiled._flat_losses, of_examples, strict=True
            ):
                prediction = _at(structure, loss.path, y_pred)
                result.terms.append((keras.tree.flatten(prediction), share))
        if "to_go" in credits:
            _refuse_both_directions(self)
            result.steps = tf.add_n(shares)
            result.step_weights = _step_weights(
                sample_weight, weights, y_pred, collector
            )
        return result

    def _loss_values(self, y: Any, y_pred: Any) -> list[tf.Tensor]:
        """The values of every loss, having checked it."""
        compiled = getattr(self, "_compile_loss", None)
        if compiled is None:
            raise ValueError(
                "A model with a ReinforceSampler needs "
                "`compile(loss=...)` with a loss that has one value per "
                "example. Received: loss=None. (To train on a cost computed "
                "inside the model, use `ScoreFunctionCost` or `ExpectedCost`.)"
            )
        y = _in_place(compiled, y, y_pred)
        if not compiled.built:
            compiled.build(y, y_pred)
        first = not getattr(compiled, "_score_function_checked", False)
        values = []
        for loss in compiled._flat_losses:
            pair = _targets(compiled, loss, y, y_pred)
            values.append(_checked_values(loss.loss, *pair))
            if first:
                _refuse_mixed_examples(loss.loss, *pair)
                _refuse_drawn_masks(loss.loss, pair[1], values[-1])
        return values

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
            "Every ReinforceSampler of a model must draw once per example; "
            "parameters that all examples share are to be repeated, as in "
            "`logits + tf.zeros_like(x)`. "
            f"Received: {size} examples, and draws for {drawn}"
        )
    return size


def _credits(draws: list[Draw]) -> set[str]:
    return {draw.sampler.credit for draw in draws}


def _ones(values: Any, y_pred: Any, draws: list[Draw]) -> list[tf.Tensor]:
    """A one for each example, `[B]`; for each loss or step where asked for.

    The derivative of the total in a one is what that example (and loss, and
    step) contributes to it.
    """
    credits = _credits(draws)
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


def _times(weight: Any, ones: tf.Tensor, rank: int) -> tf.Tensor:
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


def _example_weights(sample_weight: Any, ones: tf.Tensor) -> tf.Tensor:
    """One weight per example, if the sample weights are a single tensor."""
    if sample_weight is None or keras.tree.is_nested(sample_weight):
        return ones
    weight = tf.abs(tf.cast(tf.convert_to_tensor(sample_weight), tf.float32))
    return tf.reduce_mean(weight, axis=list(range(1, weight.shape.rank))) * ones


def _step_weights(
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


def _shares(
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


def _per_example(share: tf.Tensor) -> tf.Tensor:
    return share if share.shape.rank == 1 else tf.reduce_sum(share, axis=1)


def _refuse_both_directions(model: Any) -> None:
    """Raises for a `to_go` sampler in a `Bidirectional` layer."""
    # Keras 3.12 to 3.15 list nested layers by no public method.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Bidirectional):
            for inner in layer._flatten_layers():
                if getattr(inner, "credit", None) == "to_go":
                    raise ValueError(
                        f'Sampler {inner.name!r} with credit="to_go" is '
                        f"inside {layer.name!r}, whose outputs at a step "
                        "depend on what is drawn at later ones too. Use "
                        'credit="example".'
                    )


def _at(structure: Any, path: Any, values: Any) -> Any:
    """The one of the values, packed like the structure, at the path."""
    if not keras.tree.is_nested(structure):
        return keras.tree.flatten(values)[0]
    packed = keras.tree.pack_sequence_as(structure, keras.tree.flatten(values))
    for key in path:
        packed = packed[key]
    return packed


def _in_place(compiled: Any, y: Any, y_pred: Any) -> Any:
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


def _targets(compiled: Any, loss: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
    """The pair of target and prediction that a compiled loss looks at."""
    return (
        _at(compiled._y_true_build_structure, loss.path, y),
        _at(compiled._y_pred_build_structure, loss.path, y_pred),
    )


def _checked_values(loss: Any, target: Any, prediction: Any) -> tf.Tensor:
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


def _refuse_drawn_masks(loss: Any, *masked: Any) -> None:
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
        first, last = slopes()
    except Exception:
        return False
    if first is None or last is None:
        return False
    return not (np.any(first[half:]) or np.any(last[:half]))


@keras.saving.register_keras_serializable(package="tfgumbel")
class StochasticModel(ScoreFunctionMixin, keras.Model):
    """A functional Keras model that can train `ReinforceSampler` layers.

    `compile(loss=...)` takes any Keras loss that has one value per example;
    `fit` feeds each example's own loss to every sampler inside, including
    those of nested models. `evaluate` and `predict` are Keras's own. See
    `ScoreFunctionMixin` for what is correct and what raises an error, and
    subclass that mixin (not this class) for a model with its own `call`.

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # As Keras 3.12 to 3.15 tell a graph. Without one the first such model
        # would work, and fail once a graph has changed the bases of the class.
        if len(args) != 2 and "outputs" not in kwargs:
            raise TypeError(
                f"{type(self).__name__} takes the inputs and the outputs of a "
                "graph. For a stack of layers, or a model with a `call` of its "
                "own, mix `ScoreFunctionMixin` into a class: `class Net("
                "tg.ScoreFunctionMixin, keras.Sequential): pass`. "
                f"Received: {args!r}"
            )
        super().__init__(*args, **kwargs)
