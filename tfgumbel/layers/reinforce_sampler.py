"""A sampler trained by the score function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from tfgumbel import _checks, distributions, estimators, ops
from tfgumbel.distributions import Parameters
from tfgumbel.layers._stochastic import (
    SamplingLayer,
    first_mask,
    is_recorded,
    masked,
)
from tfgumbel.layers.cost_collector import CostCollector
from tfgumbel.layers.draw import Draw

CREDITS = ("example", "to_go", "local")


@keras.saving.register_keras_serializable(package="tfgumbel")
class ReinforceSampler(SamplingLayer):
    """Exact samples, trained by the score function (REINFORCE).

    Estimates ∇_φ E_{z~q_φ} f(z) by (f(z) - b) ∇_φ log q_φ(z): unbiased, for
    any f, differentiable or not. The sample itself carries no gradient; the
    cost f(z) of each example must be brought to the sampler, in one of these
    ways:

    * inside a `StochasticModel` (or a model with `ScoreFunctionMixin`),
      `compile(loss=...)` and `fit` do it;
    * `return_log_prob=True` returns `(z, log q(z))`, to be joined with the
      cost per example by `ScoreFunctionCost`.

    Trained without either, it raises an error rather than learn nothing.
    With `trainable=False` it draws, and what is before it learns nothing by
    that; to freeze the baseline alone, freeze `layer.baseline`.

    In a model it may draw several times in a step, and inside loops, such as
    the cell of a rolled `keras.layers.RNN`. A sample must then leave the loop
    by operations that have a gradient, not by `argmax` alone.

    Args:
        distribution: A name, such as `"categorical"` (logits `[B, ..., K]`,
            one-hot samples), `"bernoulli"` (log-odds, zeros and ones),
            `"poisson"` (log rate) or `"gaussian"` (a pair `(mean,
            log_variance)`), or a `Distribution`.
        baseline: `None`, `"moving_average"` (of past costs), `"nvil"` (a
            network of the context), `"leave_one_out"` (the mean cost of the
            other examples of the batch), or a Keras layer that maps the
            context to one value per example.
        return_log_prob: Whether to return `(z, log q(z))`.
        inference: What the layer returns when not training: one of the
            distribution's, such as `"mode"`, `"mean"` or `"sample"`. `None`
            stands for the mode, or what there is in its place; it draws
            nothing.
        normalize: Whether to divide the signal by max(1, √v), v its running
            variance (Mnih & Gregor). It rescales the gradient.
        credit: Which costs a draw is credited with in a `StochasticModel`:
            `"example"`, all of its example's; `"to_go"`, for a loss with one
            value per step and a sampler that draws once per step, those of
            this step and all later ones; `"local"`, for a model of several
            losses, those computed from the draw. All are unbiased; what a
            draw cannot act on is noise to it.
        discount: With `"to_go"`, the factor in (0, 1] by which a cost counts
            less with every step that it is later. Below one it is a bias.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Parameters of the distribution.
        context: What the baseline looks at, `[B, ...]`, usually the model's
            input. `None` stands for the parameters themselves. Its gradient
            is stopped.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`, for samples of categories or subsets of them.
            log q(z) is that among the legal ones; a categorical row with none
            gives zeros, and log q = 0.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ...]`; B is the batch of the costs.

    Output shape:
        That of the parameters, in the layer's compute dtype; log q(z), summed
        over the variables of an example, is `[B]` in float32 and in nats.

    Example:

    ```python
    x = keras.Input((64,))
    logits = keras.layers.Reshape((8, 4))(keras.layers.Dense(32)(x))
    z = tg.ReinforceSampler(baseline="nvil")(logits, context=x)
    y = keras.layers.Dense(64)(keras.layers.Flatten()(z))
    model = tg.StochasticModel(x, y)
    model.compile("adam", loss="mse")
    ```

    Reference:
        Williams 1992. Mnih, Gregor. Neural variational inference and learning
        in belief networks. ICML 2014.
    """

    def __init__(
        self,
        distribution: Any = "categorical",
        baseline: Any = "nvil",
        *,
        return_log_prob: bool = False,
        inference: str | None = None,
        seed: int | None = None,
        normalize: bool = False,
        credit: str = "example",
        discount: float = 1.0,
        **kwargs: Any,
    ) -> None:
        options = distributions.options_among(kwargs)
        found = distributions.get(distribution, **options)
        if inference is None:
            known = found.inference
            inference = "mode" if "mode" in known else known[0]
        if return_log_prob:
            self.training_modes = ("sample",)
        super().__init__(found, inference, seed=seed, **kwargs)
        # So that Keras does not compile a model with XLA by itself.
        self.supports_jit = found.compiles
        self.return_log_prob = bool(return_log_prob)
        self.normalize = bool(normalize)
        self.baseline = estimators.get_baseline(baseline, normalize)
        self.credit = _checks.choice("credit", credit, CREDITS)
        self.discount = _checks.discount(discount)
        self._refuse_idle_credit()

    def _refuse_idle_credit(self) -> None:
        if self.discount != 1.0 and self.credit != "to_go":
            raise ValueError(
                'Argument `discount` is one of credit="to_go". Received: '
                f"discount={self.discount} with credit={self.credit!r}"
            )
        if self.return_log_prob and self.credit != "example":
            raise ValueError(
                "Argument `credit` says which costs a model brings to the "
                "sampler, and has no effect on a log-probability that is "
                "returned: give `ScoreFunctionCost` the costs of "
                f"`ops.cost_to_go`. Received: credit={self.credit!r} with "
                "return_log_prob=True"
            )

    def build(self, logits_shape: Any, context_shape: Any = None) -> None:
        """Checks the parameters' shapes and builds the baseline."""
        shapes = list(logits_shape) if self.takes_several else [logits_shape]
        self.distribution.check_shapes(shapes)
        if self.baseline is not None and not self.return_log_prob:
            if context_shape is None:
                context_shape = self.distribution.flat_shape(shapes)
                if self.baseline.network is not None:
                    _require_size(context_shape, shapes)
            self.baseline.build(context_shape)
        self.built = True

    def call(
        self,
        logits: Any,
        context: Any = None,
        category_mask: Any = None,
        training: Any = None,
    ) -> Any:
        """Returns a sample, with its log-probability if so configured."""
        _checks.one_tensor("context", context)
        if getattr(context, "dtype", None) == "bool":
            raise TypeError(
                "Argument `context` is what the baseline looks at. A mask of "
                "categories is `layer(logits, category_mask=mask)`. Received: "
                "context of dtype bool"
            )
        legal = masked(self.distribution, logits, category_mask)
        parameters = self.distribution.constrain(legal)
        for_shapes = in_symbolic_scope()  # where `training` may be unsaid
        if self.return_log_prob:
            self._require_a_draw(training, logits)
        elif training is None and not for_shapes and CostCollector.current():
            raise ValueError(
                f"ReinforceSampler {self.name!r} was called in a training step "
                "that does not say so, and could not learn. Give the model's "
                "`call` an argument `training` and pass it on. Received: "
                "training=None"
            )
        count = self.count_draws() if self.credit == "to_go" else None
        if self.trains(training, logits):
            sample = self.distribution.sample(parameters, self.next_seed())
        else:
            sample = tf.stop_gradient(self.infer(parameters))
        sample = ops.mask_sample(sample, category_mask)
        result = tf.cast(sample, self.compute_dtype)
        if self.return_log_prob:
            log_prob = self._log_prob(parameters, sample)
            collector = CostCollector.current()
            if training and self.trainable and collector is not None:
                collector.add_returned(self.name, log_prob)
            return result, log_prob
        if for_shapes or not (training and self.trainable):
            return result
        log_prob = self._log_prob(parameters, sample)
        return self._await_cost(log_prob, result, logits, context, count)

    def _require_a_draw(self, training: Any, logits: Any) -> None:
        if training or self.mode == "sample" or not is_recorded(logits):
            return
        raise ValueError(
            f"ReinforceSampler {self.name!r} was asked for the log-probability "
            f"of its {self.mode!r} where a gradient is recorded. That value "
            "was not drawn, so cost times ∇log q is no estimate of anything. "
            "Call the model with training=True, or set "
            f'inference="sample". Received: training={training!r}'
        )

    def _log_prob(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        log_prob = self.distribution.log_prob(parameters, sample)
        return tf.cast(log_prob, tf.float32)

    def count_draws(self) -> tf.Tensor:
        """Returns how often the layer has drawn from its own seed."""
        return tf.cast(tf.convert_to_tensor(self.seed_state)[1], tf.int32)

    def _await_cost(
        self,
        log_prob: tf.Tensor,
        result: tf.Tensor,
        parameters: Any,
        context: Any,
        count: tf.Tensor | None,
    ) -> tf.Tensor:
        collector = CostCollector.current()
        if collector is None:
            raise RuntimeError(
                f"ReinforceSampler {self.name!r} was called with training=True "
                "where nothing feeds it the cost of each example, so it could "
                "not learn. Use it inside a `tfgumbel.StochasticModel` (or a "
                "model with `ScoreFunctionMixin`) and train with `fit`; or "
                "set `return_log_prob=True` and join cost and log-probability "
                "with `ScoreFunctionCost`; or, to draw without training, use "
                '`inference="sample"` with training=False, or set '
                "`trainable=False`."
            )
        if log_prob.shape.rank == 0:
            name = list(self.distribution.parameters)[-1]
            shape = tf.nest.flatten(parameters)[-1].shape
            raise ValueError(
                f"Argument `{name}` must have an axis for the batch, whose "
                f"costs train it. Received: {name} of shape {shape}"
            )
        learned = None
        if self.baseline is not None:
            if self.baseline.network is None:
                context = log_prob  # whose rows are counted
            elif context is None:
                tensors = tf.nest.flatten(parameters)
                context = self.distribution.flatten(tensors)
            else:
                _checks.context(context.shape, log_prob.shape[0])
            learned = self.baseline(context)
        return collector.add(Draw(self, result, log_prob, learned, count))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the sample's spec, and that of log q(z) if returned."""
        sample = super().compute_output_spec(*args, **kwargs)
        if not self.return_log_prob:
            return sample
        return sample, keras.KerasTensor(sample.shape[:1], dtype="float32")

    def compute_output_shape(
        self, parameters_shape: Any, *others_shape: Any
    ) -> Any:
        """Returns the sample's shape, and that of log q(z) if returned."""
        shape = super().compute_output_shape(parameters_shape)
        return (shape, shape[:1]) if self.return_log_prob else shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the parameters; log q(z) has none."""
        mask = first_mask(previous_mask)
        return (mask, None) if self.return_log_prob else mask

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": distributions.serialize(self.distribution),
            "baseline": estimators.serialize_baseline(self.baseline),
            "return_log_prob": self.return_log_prob,
            "normalize": self.normalize,
            "credit": self.credit,
            "discount": self.discount,
        }


def _require_size(context_shape: tuple, shapes: Any) -> None:
    if context_shape[1] is None:
        found = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(
            "A baseline needs a context whose axes, except that of the batch, "
            f"have known sizes. Received: parameters of shape {found}. "
            "Pass another `context`, or use a baseline without a network, "
            'as "moving_average".'
        )
