"""Base classes of the layers that draw: a seed, a mode, a temperature."""

from __future__ import annotations

import inspect
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

# TensorFlow 2.20 and 2.21 have no public way to ask whether a tape is open.
from tensorflow.python.eager import record

from tfgumbel import (
    _checks,
    _saving,
    distributions,
    ops,
    random,
    schedules,
)
from tfgumbel.distributions import Distribution, Parameters
from tfgumbel.layers import _twins, sampling_scope
from tfgumbel.layers._replicas import OwnLosses


class CalledOnce(schedules.AnnealedLayer):
    """A layer whose call may not be repeated in the backward pass.

    Under `keras.RematScope` Keras calls a layer again to compute its
    gradient. That call would draw its noise again and give the gradient of
    another sample, update running statistics twice, and lose the gradient of
    what `add_loss` took the first time. There is little to save: the ops keep
    one tensor each.
    """

    _warned = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Keras would make a list of its own of what is assigned.
        self.__dict__["_losses"] = OwnLosses(self)

    @property
    def takes_several(self) -> bool:
        """Whether the first argument may be a tuple of tensors."""
        distribution = getattr(self, "distribution", None)
        return distribution is not None and len(distribution.parameters) > 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; raises for a structure in place of a tensor."""
        nested = args and isinstance(args[0], list | tuple | dict)
        if nested and not self.takes_several:
            raise TypeError(
                f"Layer {self.name!r} takes one tensor as its first argument "
                "(of lists of numbers, `np.asarray` makes one). "
                f"Received: a {type(args[0]).__name__} of {len(args[0])}"
            )
        return super().__call__(*args, **kwargs)

    def warn_if_recorded(self, training: Any, inputs: Any) -> None:
        """Warns, once, where `training` was left open on a tape.

        As in a `train_step` of one's own: what is meant is a sample, and what
        comes is the value for inference.
        """
        if training is not None or self._warned or not is_recorded(inputs):
            return
        self._warned = True
        warnings.warn(
            f"Layer {self.name!r} was called without `training` while a "
            "gradient is recorded, and did what it does in inference. To "
            "train, call the model with training=True (and give a `call` of "
            "your own an argument `training` that it passes on); to draw "
            'without training, set inference="sample"; if inference is meant, '
            "say training=False.",
            stacklevel=2,
        )

    def add_loss(self, loss: Any) -> None:
        """Adds a loss, unless Keras only calls the layer on trial.

        In the dtype of Keras's own losses, with which it is added up.
        """
        if _saving.is_tried():
            return
        if not _saving.is_called_by("predict_step"):
            self.refuse_vectorized_map(
                "adds a loss", "only that of the first row would count"
            )
        self.refuse_rematerialisation("adds a loss", "lose its gradient")
        super().add_loss(tf.cast(loss, keras.config.floatx()))

    def refuse_rematerialisation(self, deed: str, flaw: str) -> None:
        """Raises inside `tf.recompute_grad`, which calls the layer again.

        Args:
            deed: What the layer does that may be done but once.
            flaw: What the second call would do.
        """
        if _saving.is_rematerialised():
            raise ValueError(
                f"Layer {self.name!r} {deed} inside a model that is "
                "rematerialised as a whole (`keras.RematScope('full')` around "
                "the model's construction, or `tf.recompute_grad`): its "
                f"backward pass would {flaw}. Open the scope around "
                "the layers to recompute, or give it their names with "
                "mode='list_of_layers'"
            )

    def refuse_vectorized_map(self, deed: str, flaw: str) -> None:
        """Raises inside `tf.vectorized_map`.

        Args:
            deed: What the layer does that is not done for each row.
            flaw: What there would be instead.
        """
        # TensorFlow 2.20 and 2.21 run what a loop's body does, beyond its
        # result, for the first row, and leave out its gradients by hand.
        if _saving.is_called_by("_pfor_impl"):
            raise ValueError(
                f"Layer {self.name!r} {deed} inside `tf.vectorized_map`, where "
                f"{flaw}. Call it on the whole batch or, where it adds no "
                "loss, in `tf.map_fn`"
            )

    def add_log(self) -> None:
        """Makes the metric of what `add_logged_loss` adds."""
        self._metric = keras.metrics.Mean(name=self.name)
        # As attributes of the layer, so that an exported model may hold them.
        total, count = self._metric.variables
        self._metric_total, self._metric_count = total.value, count.value

    def add_logged_loss(self, loss: tf.Tensor, size: tf.Tensor) -> None:
        """Adds a loss, and logs its mean over the examples of an epoch.

        Args:
            loss: A scalar.
            size: How many examples there are. What a layer adds that a model
                calls several times is summed, in the logs as in the loss.
        """
        again = bool(self._losses)  # called before in this call of the model
        weight = self._losses.weight(size)
        self.add_loss(loss)
        if (
            _saving.is_called_by("train_step", "test_step")
            and not in_symbolic_scope()
        ):
            # As its `update_state` does, in fewer operations.
            total, count = self._metric.variables
            sums = weight * tf.stop_gradient(loss)
            _saving.increase(total, tf.cast(sums, total.dtype))
            if not again:
                _saving.increase(count, tf.cast(weight, count.dtype))

    def rematerialized_call(self, layer_call: Any, *args: Any, **kwargs: Any):
        """Returns `layer_call` itself."""
        return layer_call


class StochasticLayer(CalledOnce):
    """A layer that draws noise, reproducibly, and remembers where it stands.

    The seed state is `[seed, number of draws]`: it is saved, loaded and
    checkpointed with the layer, so that a resumed run draws on instead of
    repeating its noise, and it is not one of the weights. Inputs keep their
    precision (`autocast=False`); the result has the layer's compute dtype.

    Args:
        seed: An integer, or `None` for one from Python's random generator,
            which `keras.utils.set_random_seed` makes reproducible.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(self, *, seed: int | None = None, **kwargs: Any) -> None:
        if seed is not None and (
            isinstance(seed, bool) or not isinstance(seed, int | np.integer)
        ):
            raise TypeError(
                "Argument `seed` must be an integer or None. "
                f"Received: seed={seed!r}"
            )
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise ValueError(
                "Argument `seed` must be an integer of at most 64 bits. "
                f"Received: seed={seed!r}"
            )
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.supports_masking = True
        self.seed = None if seed is None else int(seed)
        first = random.default_seed() if seed is None else int(seed)
        self.add_state("seed_state", [first, 0], "int64")
        self._warned_of_twin = False

    @property
    def seed_state(self) -> keras.Variable:
        """The seed, and the number of draws so far."""
        return self.state("seed_state")

    def next_seed(self) -> tf.Tensor:
        """Returns a fresh seed for this call, different on each replica.

        Raises:
            ValueError: Inside `tf.recompute_grad`: to call the layer again is
                to draw again, and the gradient would be that of other noise.
        """
        self.refuse_rematerialisation("draws noise", "draw other noise")
        self.refuse_vectorized_map(
            "draws", "every row would get the same noise"
        )
        scope = sampling_scope.current()
        if scope is not None and scope.seed is not None:
            return random.replica_seed(scope.next_seed())
        self._warn_of_twins()
        seed = self.peek_seed()
        _saving.increase(self.seed_state, tf.constant([0, 1], tf.int64))
        return random.replica_seed(seed)

    def peek_seed(self) -> tf.Tensor:
        """Returns the seed of the next draw, if there is one replica.

        Layers of different classes draw different noise from one `seed`.
        """
        kind = zlib.crc32(type(self).__name__.encode())
        state = tf.convert_to_tensor(self.seed_state)
        return state + tf.constant([kind, 0], tf.int64)

    def _warn_of_twins(self) -> None:
        """Warns, once, where another layer draws the same noise."""
        if self.seed is None or self._warned_of_twin:
            return
        twin = _twins.find(self)
        if twin is None:
            return
        self._warned_of_twin = True
        warnings.warn(
            f"Layers {twin!r} and {self.name!r} are of one class and have the "
            f"same seed={self.seed}, so that they draw the same noise: what "
            "they draw is dependent, and the gradient of a cost of both is "
            "wrong. Give each its own seed.",
            stacklevel=2,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def model_in_training() -> keras.Model | None:
    """The model whose training step, as Keras wrote it, is being executed.

    Or whose gradient `GradientStatistics` takes as such a step does.
    """
    for frame in _saving.frames():
        home, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if name == "train_step" and home.startswith("keras."):
            return frame.f_locals.get("self")
        if name == "_of_replica" and home.startswith("tfgumbel.callbacks."):
            return frame.f_locals["self"].model
    return None


def loss_scale() -> Any:
    """By what Keras multiplies the loss in its training step; 1 elsewhere."""
    optimizer = getattr(model_in_training(), "optimizer", None)
    return 1.0 if optimizer is None else optimizer.scale_loss(1.0)


class InferringLayer(StochasticLayer):
    """A layer with a setting of what it does when it does not train.

    A subclass names the values in `inference_modes`.
    """

    _traced = False

    @property
    def inference(self) -> str:
        """What a call that does not train returns, outside a scope."""
        return self._inference

    @inference.setter
    def inference(self, value: str) -> None:
        self._inference = _checks.choice(
            "inference", value, self.inference_modes
        )
        if self._traced:
            warnings.warn(
                f"The `inference` of layer {self.name!r} was set to {value!r}. "
                "Functions that were traced before keep the former value: "
                "`compile` the model again, or call "
                "`model.make_predict_function(force=True)` (or `_test_`), and "
                "trace functions of your own anew.",
                stacklevel=4,
            )

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        raise NotImplementedError

    @property
    def mode(self) -> str:
        """Mode of a call that does not train.

        The layer's `inference`, except in a `SamplingScope`.
        """
        if not (tf.executing_eagerly() or in_symbolic_scope()):
            self._traced = True
        scope = sampling_scope.current()
        if scope is None or scope.inference is None:
            return self.inference
        if scope.inference in self.inference_modes:
            return scope.inference
        return self.inference_modes[0]  # has no such value

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "inference": self.inference}


class SamplingLayer(InferringLayer):
    """A layer from the parameters of a distribution to a sample.

    Args:
        distribution: The distribution.
        inference: What a call returns that does not train: one of the
            distribution's, or of those that the layer adds to them.
        **kwargs: As in `StochasticLayer`.
    """

    training_modes: tuple[str, ...] = ()
    """Values of `inference` that return what training does."""

    def __init__(
        self, distribution: Distribution, inference: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.distribution = distribution
        self.inference = inference

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        modes = self.distribution.inference
        return (*modes, *(m for m in self.training_modes if m not in modes))

    @property
    def training_distribution(self) -> Distribution | None:
        """What training samples follow, but for a relaxation of it.

        `None` where that is no distribution with a log-probability here.
        """
        return self.distribution

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; says how several parameters are passed."""
        names = self.distribution.parameters
        together = not args or isinstance(args[0], list | tuple)
        if len(names) > 1 and len(args) > 1 and not together:
            raise TypeError(
                f"Layer {self.name!r} takes the parameters of distribution "
                f"{self.distribution.name!r} as one argument: "
                f"`layer(({', '.join(names)}))`. Received: {len(args)} "
                f"argument(s), the first a {type(args[0]).__name__}"
            )
        if len(names) > 1 and not together:
            self.distribution.check(args[0])  # says what it takes
        return super().__call__(*args, **kwargs)

    def trains(self, training: Any, inputs: Any) -> bool:
        """Whether a call with these arguments returns a training sample."""
        if training or self.mode in self.training_modes:
            return True
        self.warn_if_recorded(training, inputs)
        return False

    def infer(self, parameters: Parameters) -> tf.Tensor:
        """Returns the value for inference."""
        return self.distribution.infer(parameters, self.mode, self.next_seed)

    def finished(self, sample: tf.Tensor, category_mask: Any) -> tf.Tensor:
        """Returns the sample without masked categories, in compute dtype."""
        sample = ops.mask_sample(sample, category_mask)
        return tf.cast(sample, self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the parameters."""
        return first_mask(previous_mask)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the shape of a sample, in the compute dtype."""
        call = inspect.signature(self.call).bind(*args, **kwargs)
        tensors = self.distribution.check(next(iter(call.arguments.values())))
        shape = self.distribution.sample_shape([t.shape for t in tensors])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, parameters_shape: Any, *others_shape: Any
    ) -> Any:
        """Returns the shape of a sample."""
        several = isinstance(parameters_shape[0], list | tuple)
        shapes = parameters_shape if several else [parameters_shape]
        return self.distribution.sample_shape(shapes)


def first_mask(masks: Any, among: int | None = None) -> Any:
    """The first mask of several tensors, of which some may have none.

    Args:
        masks: A mask, also as a list of booleans, or a structure of masks.
        among: How many of them are asked; `None` for all.
    """
    leaves = keras.tree.flatten(masks)
    if leaves and isinstance(leaves[0], bool | int | np.generic):
        return tf.convert_to_tensor(masks)
    return next((mask for mask in leaves[:among] if mask is not None), None)


def masked(distribution: Distribution, inputs: Any, category_mask: Any) -> Any:
    """Returns the parameters with masked categories impossible.

    Raises:
        ValueError: If samples of the distribution are no categories.
    """
    if category_mask is None:
        return inputs
    if not isinstance(distribution, distributions.Maskable):
        raise ValueError(
            "Argument `category_mask` needs a distribution of categories, "
            "such as 'categorical' or 'subset'. Received: "
            f"distribution={distribution.name!r}"
        )
    return distribution.mask(inputs, category_mask)


def is_recorded(inputs: Any) -> bool:
    """Whether some tape records what is computed from the inputs.

    Not where Keras only asks for shapes, as it does inside a training step to
    build a layer that has no `build`, and says nothing of `training`.
    """
    if in_symbolic_scope():
        return False
    variables = (tf.Variable, keras.Variable)
    tensors = [
        tf.convert_to_tensor(t) if isinstance(t, variables) else t
        for t in tf.nest.flatten(inputs)
        if tf.is_tensor(t)
    ]
    return bool(tensors) and record.should_record_backprop(tensors)


class CategoricalLayer(SamplingLayer):
    """A layer from categorical logits to a sample of the same shape.

    Args:
        axis: Axis of the categories.
        inference: What `training=False` returns.
        **kwargs: As in `StochasticLayer`.
    """

    training_modes = ("relaxed",)

    def __init__(
        self, *, axis: int = -1, inference: str = "mode", **kwargs: Any
    ) -> None:
        distribution = distributions.Categorical(axis=axis)
        super().__init__(distribution, inference, **kwargs)
        self.axis = distribution.axis

    def build(self, logits_shape: Any) -> None:
        """Checks the shape of the logits."""
        self.distribution.check_shapes([logits_shape])
        self.built = True

    def masked(self, logits: Any, category_mask: Any) -> tf.Tensor:
        """Returns the logits, checked, with masked categories impossible."""
        return ops.mask_logits(logits, category_mask, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}


class TemperatureLayer(schedules.AnnealedLayer):
    """A layer with a temperature, and possibly another for its gradient.

    A subclass calls `add_temperatures` once, if it has one.
    """

    temperature = schedules.AnnealedAttribute()
    backward_temperature = schedules.AnnealedAttribute()

    def add_temperatures(
        self,
        temperature: Any,
        backward_temperature: Any = None,
        *,
        trainable: bool = False,
        hard: bool = False,
    ) -> None:
        """Makes the temperatures; raises for what has no effect."""
        if trainable and hard:
            raise ValueError(
                "Argument `trainable_temperature` needs relaxed samples: a "
                "hard one does not depend on the temperature, so that the "
                "cost has no gradient in it. Received: "
                "trainable_temperature=True with hard=True"
            )
        if trainable and backward_temperature is not None:
            raise ValueError(
                "Argument `backward_temperature` takes the gradient away from "
                "a temperature that is trained. Received: "
                f"backward_temperature={backward_temperature!r} with "
                "trainable_temperature=True"
            )
        self.trainable_temperature = bool(trainable)
        self._annealed = self.add_annealed(
            "temperature", temperature, trainable=trainable
        )
        self._annealed_backward = None
        if backward_temperature is not None:
            self._annealed_backward = self.add_annealed(
                "backward_temperature", backward_temperature
            )

    def temperatures(self, training: Any) -> tuple[tf.Tensor, Any]:
        """τ and that of the gradient, if another; a step if training."""
        backward = self._annealed_backward
        return self._annealed(training), backward and backward(training)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        tau = self.annealed("temperature")
        backward = self.annealed("backward_temperature")
        return {
            **super().get_config(),
            "temperature": tau and tau.get_config(),
            "backward_temperature": backward and backward.get_config(),
        }
