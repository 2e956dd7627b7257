"""The expected cost of a discrete sample, with any estimator's gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from tfgumbel import (
    _checks,
    _saving,
    distributions,
    estimators,
    ops,
    schedules,
)
from tfgumbel.layers._stochastic import (
    InferringLayer,
    masked,
    model_in_training,
)

COSTS = (keras.layers.Layer, keras.losses.Loss)
COST_FUNCTIONS = ("activations", "losses", "metrics", "ops")


@keras.saving.register_keras_serializable(package="tfgumbel")
class ExpectedCost(InferringLayer):
    """Cost per example of a sample, with an estimate of ∇E[cost(z)] attached.

    Logits in, `cost(z, *context)` per example out. The gradient with respect
    to the logits is the estimator's; that of the cost's own weights is the
    cost's, at the sample. Whatever the estimator learns (baselines, control
    variates, their scale and temperature) are weights of this layer, trained
    by the same backward pass and saved with the model.

    End a model with this layer and train with `tg.losses.MeanCost()`, or let
    it add its own loss with `add_loss=True`.

    Args:
        cost: f, a Keras layer, a model or a function: `cost(z, *context)`
            gives one cost per example, `[B]`. It must treat every example by
            itself (no batch normalisation) and must not use `add_loss`, since
            an estimator evaluates it on several samples per example. A
            functional model of several inputs is called with their list. The
            weights of a layer or a model are this layer's; those that a
            function merely reads are not, and train only if the model around
            has them.
        estimator: Name of a registered estimator (see
            `tg.estimators.available()`), or an estimator object. The layer's
            `temperature` and `backward_temperature` are those of an estimator
            that has them.
        distribution: A name, such as `"categorical"` (logits `[B, ..., K]`,
            one-hot samples), `"bernoulli"` (logits `[B, ...]`) or `"gaussian"`
            (a pair (μ, log σ²)), or a `Distribution`, that has what the
            estimator needs: `tg.estimators.available(distribution)` lists the
            estimators of one. `None` stands for the estimator's own, or
            categorical.
        add_loss: Whether to add the mean cost to the model's losses, for
            `compile(optimizer)` without a loss. Sample weights do not act on
            it.
        inference: What the cost is taken of when not training: an exact
            `"sample"`, the `"mode"`, or the `"mean"`. No control variate is
            evaluated, and the logits receive no gradient. An estimator that
            enumerates also knows the expectation, `"exact"`. `None` stands
            for that where there is one, else for a sample. An estimator of a
            bound (`"iwae"`, `"dreg"`, `"stl"`, `"vimco"`) gives the bound of
            as many samples as in training, or log q - log p at the one point.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`. The default dtype is float32,
            also under a mixed-precision policy; the cost keeps its own.

    Call arguments:
        logits: Parameters of the distribution, floating: a tensor, or a tuple
            of tensors of one shape where it has several.
        *context: Whatever else the cost depends on, each `[B, ...]`. The
            first, as float32, is what a learned baseline or control variate
            looks at; without it, they look at the logits.
        category_mask: Optional boolean mask of legal categories that
            broadcasts to the logits, for samples of categories or subsets of
            them. Masked ones are never drawn and receive no gradient.
        training: Whether to estimate a gradient. Keras passes it on by
            itself, except through a subclassed model whose `call` takes no
            argument `training`: the logits then learn nothing.

    Input shape:
        `[B, ..., K]` or `[B, ...]`, and the context.

    Output shape:
        `[B]`, float32.

    Raises:
        ValueError: If the estimator does not do the distribution, if the cost
            is not `[B]`, or has no gradient where the estimator needs one.

    Example:

    ```python
    x = keras.Input((64,))
    logits = keras.layers.Reshape((8, 4))(keras.layers.Dense(32)(x))
    decoder = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(64)]
    )

    class Reconstruction(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.decoder = decoder

        def call(self, z, x):
            return keras.ops.mean((self.decoder(z) - x) ** 2, axis=-1)

    cost = tg.ExpectedCost(Reconstruction(), estimator="rebar")(logits, x)
    model = keras.Model(x, cost)
    model.compile("adam", loss=tg.losses.MeanCost())
    ```

    Reference:
        Mohamed, Rosca, Figurnov, Mnih. Monte Carlo gradient estimation in
        machine learning. JMLR 2020.
    """

    temperature = schedules.AnnealedAttribute()
    backward_temperature = schedules.AnnealedAttribute()

    def __init__(
        self,
        cost: Callable[..., Any],
        estimator: Any = "nvil",
        *,
        distribution: Any = None,
        add_loss: bool = False,
        inference: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        options = distributions.options_among(kwargs)
        super().__init__(seed=seed, **kwargs)
        if not callable(cost):
            raise TypeError(
                "Argument `cost` must be a Keras layer, a model or a function "
                f"cost(z, *context). Received: cost={cost!r}"
            )
        self.cost = cost
        self.estimator = _estimator(estimator, distribution, options)
        self.distribution = self.estimator.distribution
        # So that Keras does not compile a model with XLA by itself.
        self.supports_jit = self.distribution.compiles
        self.adds_loss = bool(add_loss)
        self._cost_watched = False
        self.inference = inference or self.inference_modes[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; says what a distribution of several takes."""
        alone = args and not isinstance(args[0], list | tuple)
        if alone and self.takes_several:
            self.distribution.check(args[0])
        return super().__call__(*args, **kwargs)

    def annealed(self, name: str) -> Any:
        """Returns the estimator's scalar of this name, if it has one."""
        estimator = getattr(self, "estimator", None)
        return None if estimator is None else estimator.annealed(name)

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        exact = ("exact",) if self.estimator.exact else ()
        return (*exact, "sample", "mode", "mean")

    def build(self, logits_shape: Any, context_shape: Any = ()) -> None:
        """Builds what the estimator learns."""
        shapes = list(logits_shape) if self.takes_several else [logits_shape]
        for name, shape in zip(
            self.distribution.parameters, shapes, strict=True
        ):
            if name not in self.distribution.constants:
                _checks.batched(name, shape)
        for shape in context_shape:
            _require_tensor(shape)
            _checks.batched("context", shape)
        if not self.estimator.built:
            first = tuple(context_shape[0]) if context_shape else None
            if first is None and self.takes_several:
                first = self.distribution.flat_shape(shapes)
            self.estimator.build(logits_shape, first)
        self.built = True

    def call(
        self,
        logits: Any,
        *context: Any,
        category_mask: Any = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Returns the cost per example."""
        self.warn_if_recorded(training, logits)
        seen = _as_float32(context[0]) if context and training else None
        steps = getattr(tf.nest.flatten(logits)[0], "_keras_mask", None)
        mask = category_mask
        if mask is not None:
            tensors = self._float32(logits)
            if seen is None:
                # What is learned looks at logits that no mask made extreme.
                seen = self.estimator.default_context(tensors)
            logits = masked(self.distribution, logits, mask)
            shape = tf.shape(tensors[-1])
            mask = tf.broadcast_to(tf.cast(mask, tf.bool), shape)

        def cost_fn(sample: tf.Tensor) -> tf.Tensor:
            tiled = [estimators.tile_context(c, sample) for c in context]
            if mask is not None:
                legal = estimators.tile_context(mask, sample)
                sample = ops.mask_sample(sample, legal)
            if steps is not None:
                sample = tf.identity(sample)
                sample._keras_mask = estimators.tile_context(steps, sample)
            return self._cost(sample, *tiled, training=training)

        if training:
            cost = self.estimator(cost_fn, logits, self.next_seed(), seen)
        elif self.mode == "exact":
            fixed = tf.nest.map_structure(tf.stop_gradient, logits)
            cost = self.estimator(cost_fn, fixed, [0, 0])  # draws nothing
        else:
            parameters = self.distribution.constrain(self._float32(logits))
            cost = self.estimator.infer(
                cost_fn, parameters, self.mode, self.next_seed
            )
        if self.adds_loss:
            size = tf.cast(tf.shape(cost)[0], cost.dtype)
            self.add_loss(tf.math.divide_no_nan(tf.reduce_sum(cost), size))
        return cost

    def _float32(self, logits: Any) -> tuple[tf.Tensor, ...]:
        """The parameters, checked, of whatever precision they came in."""
        tensors = tf.nest.map_structure(tf.convert_to_tensor, logits)
        return tuple(
            tf.cast(tensor, tf.float32)
            for tensor in self.distribution.check(tensors)
        )

    def _cost(self, sample: Any, *context: Any, training: Any = None) -> Any:
        # Functional models take one structure, all else positional arguments.
        inputs = getattr(self.cost, "inputs", None)
        one = context and inputs is not None
        inputs = [[sample, *context]] if one else [sample, *context]
        # A layer that Keras has yet to build forgets what calls it (3.15).
        told = training is not None and isinstance(
            self.cost, keras.layers.Layer
        )
        options = {"training": training} if told else {}
        before = _added_losses(self.cost)
        tried = self._cost_watched or in_symbolic_scope()
        model = None if tried else model_in_training()
        if model is None:
            cost = self.cost(*inputs, **options)
        else:
            self._cost_watched = True
            with tf.GradientTape() as tape:
                cost = self.cost(*inputs, **options)
            self._warn_of_foreign(tape.watched_variables(), model)
        if _added_losses(self.cost) > before:
            raise ValueError(
                "Argument `cost` must not use `add_loss` (nor an "
                "`activity_regularizer`): the estimator evaluates it several "
                "times, and the sampler could not be credited with a scalar "
                "for the batch. Make the term part of the cost per example. "
                f"Received: cost={self.cost!r}"
            )
        return cost

    def _warn_of_foreign(
        self, read: Sequence[tf.Variable], model: keras.Model
    ) -> None:
        """Warns if the cost reads what could be trained and will not be."""
        # Keras 3.12 to 3.15 cast what `value` returns in mixed precision.
        known = {id(variable._value) for variable in model.variables}
        foreign = [
            variable.name for variable in read if id(variable) not in known
        ]
        if foreign:
            warnings.warn(
                f"The cost of layer {self.name!r} reads trainable variables "
                f"that are not the model's, {foreign}, so that `fit` leaves "
                "them as they are. Give as `cost` a Keras layer or model that "
                "has them, or make what holds them an attribute of the model "
                "(of a subclassed one, before Keras 3.15), with "
                "`trainable=False` if they are not to train.",
                stacklevel=2,
            )

    def compute_output_spec(
        self,
        logits: Any,
        *context: Any,
        category_mask: Any = None,
        training: Any = None,
    ) -> keras.KerasTensor:
        """Returns `[B]`, float32, after asking a Keras cost for its shape."""
        tensors = self.distribution.check(logits)
        shape = self.distribution.sample_shape([t.shape for t in tensors])
        if isinstance(self.cost, keras.layers.Layer):
            sample = keras.KerasTensor(shape, dtype="float32")
            cost_shape = tuple(self._cost(sample, *context).shape)
            if len(cost_shape) != 1:
                raise ValueError(
                    "Argument `cost` must give one cost per example, of shape "
                    f"[B]. Received: a cost of shape {cost_shape} from "
                    f"{self.cost.name!r}"
                )
        return keras.KerasTensor(shape[:1], dtype="float32")

    def compute_output_shape(
        self, logits_shape: Any, *others_shape: Any
    ) -> tuple:
        """Returns `[B]`."""
        shapes = logits_shape if self.takes_several else [logits_shape]
        return tuple(self.distribution.sample_shape(shapes))[:1]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns no mask: there is one cost per example."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "cost": serialize(self.cost),
            "estimator": serialize(self.estimator),
            "add_loss": self.adds_loss,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ExpectedCost:
        """Returns the layer that `get_config` describes."""
        config = dict(config)
        config["cost"] = _saving.deserialize(
            "cost", config["cost"], COSTS, COST_FUNCTIONS
        )
        return cls(**config)


def _added_losses(cost: Any) -> int:
    """How many terms a cost has added, regularisers of weights aside."""
    if not isinstance(cost, keras.layers.Layer):
        return 0
    regularized = [w for w in cost.trainable_weights if w.regularizer]
    return len(cost.losses) - len(regularized)


def _require_tensor(context_shape: Any) -> None:
    """Raises for the shapes of a structure of tensors."""
    sizes = context_shape if isinstance(context_shape, list | tuple) else [()]
    if any(size is not None and not isinstance(size, int) for size in sizes):
        raise TypeError(
            "Argument `context` must be tensors, given one by one: "
            "`layer(logits, *context)`. Received: a context of shapes "
            f"{context_shape}"
        )


def _as_float32(context: Any) -> tf.Tensor:
    context = tf.convert_to_tensor(context)
    _checks.numeric("context", context.dtype)
    return tf.cast(context, tf.float32)


def _estimator(
    identifier: Any, distribution: Any, options: dict[str, Any]
) -> estimators.Estimator:
    if isinstance(identifier, str):
        found = distributions.get(distribution or "categorical", **options)
        return estimators.get(identifier, distribution=found)
    estimator = estimators.get(identifier)
    if distribution is None:
        if options:
            raise ValueError(
                "Options of a distribution are for one that is given by name; "
                "that of an estimator object has them already. Received: "
                f"{', '.join(f'{k}={v!r}' for k, v in options.items())} with "
                f"estimator={identifier!r}"
            )
        return estimator
    if distributions.get(distribution, **options) != estimator.distribution:
        raise ValueError(
            "Argument `distribution` must be that of the estimator, "
            f"{estimator.distribution!r}. Received: "
            f"distribution={distribution!r}"
        )
    return estimator
