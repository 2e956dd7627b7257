"""Training of samplers by each example's own loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel.layers import CostCollector, Shares
from tfgumbel.models._losses import (
    at_path,
    checked_values,
    in_place,
    pair_of,
    refuse_drawn_masks,
    refuse_mixed_examples,
    refuse_own_state,
)
from tfgumbel.models._shares import (
    asked_credits,
    example_weights,
    ones_for,
    per_example,
    shares_of,
    step_weights,
    times_ones,
)


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
    by its weights in a `__call__` of its own; a loss that assigns to variables,
    for it is called more than once in a step; and a term added with `add_loss`
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
        ones = ones_for(values, y_pred, collector.all_draws)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(ones)
            weighted = self._weighted(sample_weight, ones, values)
            total = compute(x, y, y_pred, weighted, training)
        shares = shares_of(tape, total, ones)
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
                lambda weight: times_ones(weight, ones[0], max(ranks)),
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
            place[last] = times_ones(weight, one, rank)
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
        of_examples = [per_example(share) for share in shares]
        example = tf.add_n(of_examples)
        weights = example_weights(sample_weight, tf.ones_like(example))
        result = Shares(example, weights)
        credits = asked_credits(collector.all_draws)
        if "local" in credits:
            structure = compiled._y_pred_build_structure
            for loss, share in zip(
                compiled._flat_losses, of_examples, strict=True
            ):
                prediction = at_path(structure, loss.path, y_pred)
                result.terms.append((keras.tree.flatten(prediction), share))
        if "to_go" in credits:
            _refuse_both_directions(self)
            result.steps = tf.add_n(shares)
            result.step_weights = step_weights(
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
        y = in_place(compiled, y, y_pred)
        if not compiled.built:
            compiled.build(y, y_pred)
        first = not getattr(compiled, "_score_function_checked", False)
        values = []
        for loss in compiled._flat_losses:
            pair = pair_of(compiled, loss, y, y_pred)
            values.append(checked_values(loss.loss, *pair))
            if first:
                refuse_own_state(loss.loss, *pair)
                refuse_mixed_examples(loss.loss, *pair)
                refuse_drawn_masks(loss.loss, pair[1], values[-1])
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
