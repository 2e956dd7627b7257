"""Gates that are open, closed or in between, and cost what is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, _saving, ops, random, schedules
from tfgumbel._precision import in_working_precision
from tfgumbel.layers._replicas import summed
from tfgumbel.layers._stochastic import (
    InferringLayer,
    TemperatureLayer,
    first_mask,
)

KINDS = ("hard_concrete", "gaussian")
# Of the multiplier: slow enough not to swing.
_RATE = 0.01


@keras.saving.register_keras_serializable(package="tfgumbel")
class StochasticGate(TemperatureLayer, InferringLayer):
    """Multiplies the inputs by gates in [0, 1], and adds what open ones cost.

    A gate is zero (closed) or one with positive probability, and in between
    it is differentiable, so that which of the features, units or channels on
    an axis are kept is learned by descent:

        hard_concrete   z = clip(1.2 σ((logits + L) / τ) - 0.1, 0, 1)
        gaussian        z = clip(μ + σ ε, 0, 1)

    The gates' parameters, logits or μ, are one set that is learned, the
    weight `gates`, or are computed for each example and given in the call.
    Noise is drawn for each example. The gradient is pathwise, and unbiased.

    To the loss it adds `weight` times the expected number of open gates,
    Σ P(z ≠ 0): a penalty on their number (L0). Of gates for each example it is
    the mean over the batch, that of all replicas; learned ones cost once, in
    however many places a model calls the layer. With `sparsity=`, it steers to
    that share of closed gates instead: with c the excess share of open
    gates, c = Σ P(z ≠ 0) / n - (1 - sparsity), it adds

        n (m c + weight c² / 2),   m ← m + 0.01 weight c at each training call,

    an augmented Lagrangian: `weight` pulls to the target, and the multiplier
    m, a state of the layer, grows to what the task costs a gate there.

    At inference the gates are fixed; `open_gates()` names those that are not
    zero, and `prune_gates(model)` removes the others from a model.

    Args:
        kind: `"hard_concrete"` or `"gaussian"`.
        weight: Cost of an open gate, at least 0: a number or a schedule
            `step -> weight`. `TemperatureScheduler(..., attribute="weight")`
            anneals `layer.weight`.
        axis: Axis of the gates; not that of the batch. All other axes share
            a gate.
        sparsity: Share of gates to be closed, in [0, 1); `None` for a
            penalty.
        temperature: τ > 0 of `"hard_concrete"`: a number or a schedule;
            `None` for 2/3.
        stddev: σ > 0 of `"gaussian"`; `None` for 0.5.
        initializer: Of the weight `gates`; `None` for gates half open in the
            middle: logits of 0, or a mean of 0.5.
        inference: What the layer multiplies by when not training: the
            `"mode"` (the gates without noise), or a `"sample"`.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: The tensor, floating.
        gates: Parameters of the gates for each example, `[B, n]`; `None` for
            the learned ones.
        training: Whether to draw the gates.

    Input shape:
        `[B, ...]`, with n features on `axis`.

    Output shape:
        That of the inputs, in the layer's compute dtype. The gates are
        computed in float32 whatever the policy.

    Raises:
        ValueError: If the kind is unknown, the axis does not exist or is that
            of the batch, or an argument belongs to the other kind.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.StochasticGate(weight=0.1, initializer="zeros", seed=1)
    >>> layer(np.ones((2, 3), "float32")).numpy()
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    >>> layer.open_gates()
    array([0, 1, 2])

    Reference:
        Louizos, Welling, Kingma. Learning sparse neural networks through L0
        regularization. ICLR 2018. Yamada, Lindenbaum, Negahban, Kluger.
        Feature selection using stochastic gates. ICML 2020. Gallego-Posada,
        Ramirez, Erraqabi, Bengio, Lacoste-Julien. Controlled sparsity via
        constrained optimization. NeurIPS 2022.
    """

    weight = schedules.AnnealedAttribute()

    def __init__(
        self,
        kind: str = "hard_concrete",
        weight: Any = 1.0,
        *,
        axis: int = -1,
        sparsity: float | None = None,
        temperature: Any = None,
        stddev: float | None = None,
        initializer: Any = None,
        inference: str = "mode",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.kind = _checks.choice("kind", kind, KINDS)
        self.axis = _checks.axis(axis, None)
        self.inference = inference
        self.sparsity = sparsity
        if sparsity is not None:
            self.sparsity = _checks.number_between("sparsity", sparsity, 0, 1)
        self._refuse_what_has_no_effect(temperature, stddev)
        if self.kind == "hard_concrete":
            self.add_temperatures(2 / 3 if temperature is None else temperature)
        self.stddev = _checks.positive_number(
            "stddev", 0.5 if stddev is None else stddev
        )
        self._weight = self.add_annealed(
            "weight", weight, _checks.not_negative_number
        )
        if initializer is None:
            start = 0.0 if self.kind == "hard_concrete" else 0.5
            initializer = keras.initializers.Constant(start)
        self.initializer = _saving.initializer("initializer", initializer)
        self.gates: keras.Variable | None = None
        if sparsity is not None:
            self.add_state("multiplier", 0.0)

    def _refuse_what_has_no_effect(self, temperature: Any, stddev: Any) -> None:
        for name, value, kind in (
            ("temperature", temperature, "hard_concrete"),
            ("stddev", stddev, "gaussian"),
        ):
            if value is not None and self.kind != kind:
                raise ValueError(
                    f"Argument `{name}` belongs to kind={kind!r}. "
                    f"Received: {name}={value!r} with kind={self.kind!r}"
                )

    @property
    def multiplier(self) -> keras.Variable:
        """m, what a gate costs at the target, with `sparsity`."""
        return self.state("multiplier")

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        return ("mode", "sample")

    def build(self, inputs_shape: Any, gates_shape: Any = None) -> None:
        """Makes the gates, unless they are given in the call."""
        count = self._count(inputs_shape)
        if gates_shape is None:
            self.gates = self.add_weight(
                shape=(count,),
                initializer=self.initializer,
                dtype="float32",
                autocast=False,
                name="gates",
            )
        else:
            self._check_gates(gates_shape, count)
        self.built = True

    def call(
        self, inputs: Any, gates: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns the inputs times the gates."""
        inputs = _checks.floating_tensor("inputs", inputs)
        parameters = self._parameters(gates, inputs)
        self.warn_if_recorded(training, [inputs, parameters])
        temperature = None
        if self.kind == "hard_concrete":
            temperature, _ = self.temperatures(training)
        if gates is not None:
            self._add_cost(parameters, temperature, training)
        elif not self._losses:
            # A set of gates costs once, in however many places a model has it:
            # in a loop of Keras's where it is tried, which is outside.
            _saving.counted(
                lambda: self._add_cost(parameters, temperature, training)
            )
        if training or self.mode == "sample":
            many = parameters
            if gates is None:  # noise of each example, whatever the gates are
                shape = [tf.shape(inputs)[0], parameters.shape[0]]
                many = tf.broadcast_to(parameters, shape)
            values = self._drawn(many, temperature)
        else:
            values = tf.stop_gradient(self._fixed(parameters))
            values = values if gates is not None else values[None]
        values = self._on_axis(values, inputs)
        inputs = in_working_precision(inputs)
        product = inputs * tf.cast(values, inputs.dtype)
        return tf.cast(product, self.compute_dtype)

    def _parameters(self, gates: Any, inputs: tf.Tensor) -> tf.Tensor:
        count = self._count(inputs.shape, known=False)
        if gates is None:
            if self.gates is None:
                raise ValueError(
                    f"Layer {self.name!r} was built for gates of each example, "
                    "and has none of its own. Received: gates=None"
                )
            if count not in (None, self.gates.shape[0]):
                raise ValueError(
                    f"Argument `inputs` must have {self.gates.shape[0]} "
                    f"features on axis {self.axis}, one for each gate. "
                    f"Received: inputs of shape {inputs.shape}"
                )
            return tf.convert_to_tensor(self.gates)
        gates = _checks.floating_tensor("gates", gates)
        if count is not None:
            self._check_gates(gates.shape, count)
        if not gates.shape[:1].is_compatible_with(inputs.shape[:1]):
            raise ValueError(
                "Argument `gates` must hold those of each example. Received: "
                f"gates of shape {gates.shape} for inputs of shape "
                f"{inputs.shape}"
            )
        return in_working_precision(gates)

    def _drawn(self, parameters: tf.Tensor, temperature: Any) -> tf.Tensor:
        shape, seed = tf.shape(parameters), self.next_seed()
        if self.kind == "gaussian":
            noise = random.normal(shape, seed)
            return ops.gaussian_gate(parameters, noise, stddev=self.stddev)
        noise = random.logistic(shape, seed)
        return ops.hard_concrete(parameters, noise, temperature=temperature)

    def _fixed(self, parameters: Any) -> tf.Tensor:
        if self.kind == "gaussian":
            return ops.gaussian_gate_mode(parameters)
        return ops.hard_concrete_mode(parameters)

    def _open_probability(
        self, parameters: tf.Tensor, temperature: Any
    ) -> tf.Tensor:
        if self.kind == "gaussian":
            return ops.gaussian_gate_open_probability(
                parameters, stddev=self.stddev
            )
        return ops.hard_concrete_open_probability(
            parameters, temperature=temperature
        )

    def _add_cost(
        self, parameters: tf.Tensor, temperature: Any, training: Any
    ) -> None:
        chances = self._open_probability(parameters, temperature)
        number = tf.cast(tf.reduce_sum(chances, axis=-1), tf.float32)
        if number.shape.rank:  # of each example; of an empty batch, none
            size = tf.cast(tf.shape(number)[0], tf.float32)
            sums = summed({"number": tf.reduce_sum(number), "size": size})
            number = tf.math.divide_no_nan(sums["number"], sums["size"])
        weight = self._weight(training)
        if self.sparsity is None:
            self.add_loss(weight * number)
            return
        count = float(parameters.shape[-1])
        excess = number / count - (1.0 - self.sparsity)
        slope = tf.convert_to_tensor(self.multiplier) + 0.5 * weight * excess
        self.add_loss(count * slope * excess)
        if training and self.trainable:
            ascent = tf.stop_gradient(_RATE * weight * excess)
            _saving.increase(self.multiplier, ascent)

    def _on_axis(self, values: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """Gates `[B, n]` or `[1, n]` in the rank of the inputs."""
        shape = [1] * inputs.shape.rank
        shape[0], shape[self.axis] = -1, values.shape[-1]
        return tf.reshape(values, shape)

    def open_gates(self) -> np.ndarray:
        """Returns the indices of the gates that are not zero at inference.

        Raises:
            ValueError: If the gates are not learned, or not built yet.
        """
        return np.flatnonzero(self.fixed_gates() > 0)

    def fixed_gates(self) -> np.ndarray:
        """Returns the gates at inference, float32 `[n]`.

        Raises:
            ValueError: If the gates are not learned, or not built yet.
        """
        if self.gates is None:
            raise ValueError(
                f"Layer {self.name!r} has no gates of its own: build it, or "
                "call it without `gates`, first"
            )
        return np.asarray(self._fixed(tf.convert_to_tensor(self.gates)))

    def expected_open(self) -> float:
        """Returns the expected number of open gates in training.

        Raises:
            ValueError: If the gates are not learned, or not built yet.
        """
        self.fixed_gates()
        chances = self._open_probability(
            tf.convert_to_tensor(self.gates), self.temperature
        )
        return float(tf.reduce_sum(chances))

    def _count(self, shape: Any, known: bool = True) -> Any:
        """The number of gates, checked; `None` if it may be unknown and is."""
        _checks.batched("inputs", shape)
        shape = tuple(shape)
        rank = len(shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ValueError(
                "Argument `axis` must be an axis of the inputs other than that "
                f"of the batch. Received: axis={self.axis} for inputs of shape "
                f"{shape}"
            )
        if not shape[self.axis] and (known or shape[self.axis] == 0):
            raise ValueError(
                "Argument `inputs` must have a known number of features, at "
                f"least 1, on axis {self.axis}. Received: inputs of shape "
                f"{shape}"
            )
        return shape[self.axis]

    def _check_gates(self, shape: Any, count: int) -> None:
        if len(shape) != 2 or shape[-1] != count:
            raise ValueError(
                f"Argument `gates` must be of shape [B, {count}]. "
                f"Received: gates of shape {tuple(shape)}"
            )

    def compute_output_spec(
        self, inputs: Any, gates: Any = None, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of the inputs, in the compute dtype."""
        _checks.floating("inputs", inputs.dtype)
        count = self._count(inputs.shape)
        if gates is not None:
            self._check_gates(gates.shape, count)
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, inputs_shape: Any, gates_shape: Any = None
    ) -> tuple:
        """Returns the shape of the inputs."""
        return tuple(inputs_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of the inputs."""
        return first_mask(previous_mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["backward_temperature"]
        gaussian = self.kind == "gaussian"
        return {
            **config,
            "kind": self.kind,
            "weight": self._weight.get_config(),
            "axis": self.axis,
            "sparsity": self.sparsity,
            "stddev": self.stddev if gaussian else None,
            "initializer": keras.initializers.serialize(self.initializer),
        }
