"""Baselines b(x) of the score-function estimator.

A baseline lowers the variance of (f(z) - b) ∇log q(z) and adds no bias as
long as it does not depend on z. It may depend on the input, on learned
weights, and on past costs; never on the cost it is subtracted from.
"""

from __future__ import annotations

import types
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, _saving, ops

NAMES = (None, "moving_average", "nvil", "leave_one_out")


@keras.saving.register_keras_serializable(package="tfgumbel")
class Baseline(keras.layers.Layer):
    """A learned network of the context plus a mean of other signals.

    b(x) = network(x) + c, where c is the bias-corrected exponential moving
    average of f(z) - network(x) over past batches, or, with `leave_one_out`,
    its mean over the other rows of the batch (weighted, as they are in the
    loss), zero for a row alone. Either part may be absent. The statistics of a
    frozen baseline (`trainable = False`) stay as they are.

    The network is trained by least squares on f(z) - c, through the gradient
    that `score_function_cost` sends to it; its input carries no gradient.

    Args:
        network: Keras layer or model that maps the context to one value per
            example, `[B]` or `[B, 1]`; `None` for no learned part.
        decay: Decay of the running mean, in [0, 1); `None` for no centring.
        normalize: Whether `scale` is max(1, √v) with v the running variance
            of the signal (Mnih & Gregor), else 1. Dividing by it rescales
            the gradient.
        leave_one_out: Whether to centre by the other rows of the batch, which
            must be drawn independently.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        TypeError: If `network` is no Keras layer.
        ValueError: If there are both a `decay` and `leave_one_out`.

    Reference:
        Mnih, Gregor. Neural variational inference and learning in belief
        networks. ICML 2014.
    """

    def __init__(
        self,
        network: keras.layers.Layer | None = None,
        decay: float | None = None,
        normalize: bool = False,
        leave_one_out: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True  # A context of padded steps has a mask.
        if network is not None and not isinstance(network, keras.layers.Layer):
            raise TypeError(
                "Argument `network` must be a Keras layer. "
                f"Received: network={network!r}"
            )
        if decay is not None:
            decay = _checks.number_between("decay", decay, 0.0, 1.0)
        if leave_one_out and decay is not None:
            raise ValueError(
                "A baseline is centred by past batches or by the other rows "
                f"of this one. Received: decay={decay!r} with "
                "leave_one_out=True"
            )
        self.leave_one_out = bool(leave_one_out)
        self.network = network
        self.decay = decay
        self.normalize = normalize
        self._mean = self._statistic("mean")
        self._square = self._statistic("square")
        self._weight = self._statistic("weight")
        # Always zero, and out of sight of Keras's tracker and TensorFlow's.
        # Trainable, for that is what tapes watch; no optimizer ever sees it.
        zeros = tf.Variable(tf.zeros([3]), trainable=True, name="probe")
        self._hidden = types.SimpleNamespace(zeros=zeros)

    def _statistic(self, name: str) -> keras.Variable:
        return self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            dtype="float32",
            aggregation="mean",
            name=name,
        )

    def build(self, context_shape: Any) -> None:
        """Builds the network for contexts of this shape."""
        if self.network is not None and not self.network.built:
            try:
                _saving.build(self.network, context_shape)
            except (TypeError, ValueError) as error:
                if None not in tuple(context_shape)[1:]:
                    raise
                raise ValueError(
                    f"The baseline {self.network.name!r} needs a context whose "
                    "axes, except that of the batch, have known sizes. "
                    f"Received: a context of shape {tuple(context_shape)} (the "
                    "parameters stand for one that is not given)"
                ) from error
        self.built = True

    def call(self, context: tf.Tensor) -> tf.Tensor:
        """Returns the learned part per example, `[B]`, float32."""
        _checks.numeric("context", context.dtype)
        _checks.batched("context", context.shape)
        if self.network is None:
            return tf.zeros([tf.shape(context)[0]])
        value = tf.cast(self.network(tf.stop_gradient(context)), tf.float32)
        if value.shape.rank == 2 and value.shape[-1] == 1:
            value = tf.squeeze(value, -1)
        if value.shape.rank != 1:
            raise ValueError(
                "A baseline must map the context to one value per example, "
                f"[B] or [B, 1]. Received: a value of shape {value.shape} "
                f"from {self.network.name!r}"
            )
        return value

    def compute_output_shape(self, context_shape: Any) -> tuple:
        """Returns `[B]`."""
        return (context_shape[0],)

    def centre(self) -> tf.Tensor:
        """Returns c, the running mean of past signals; 0 before the first."""
        if self.decay is None:
            return tf.zeros([])
        return self._corrected(self._mean)

    def scale(self) -> tf.Tensor:
        """Returns what the centred signal is to be divided by."""
        if not self.normalize:
            return tf.ones([])
        mean = self._corrected(self._mean)
        variance = self._corrected(self._square) - tf.square(mean)
        return tf.sqrt(tf.maximum(variance, 1.0))

    def _corrected(self, statistic: keras.Variable) -> tf.Tensor:
        """The statistic without the zero it started from."""
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(statistic), tf.convert_to_tensor(self._weight)
        )

    def statistics(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `centre` and `scale`, as a batch is to use them."""
        return tf.identity(self.centre()), tf.identity(self.scale())

    def observe(self, signal: tf.Tensor, weights: Any = None) -> None:
        """Takes a batch of signals f(z) - network(x) into the statistics.

        To be called after the batch has used `centre` and `scale`.

        Args:
            signal: Shape `[B]`. Values that are not finite are left out.
            weights: Weights of the examples, `[B]`; `None` for ones.
        """
        self.learn(self.sums(signal, weights))

    def probe(self) -> tf.Tensor:
        """Returns zeros `[3]` that a tape watches.

        To a loop they bring nothing. What `sums` gives in its steps can be
        sent to them as a gradient, and adds up on the way out.
        """
        return tf.convert_to_tensor(self._hidden.zeros)

    @staticmethod
    def sums(signal: tf.Tensor, weights: Any = None) -> tf.Tensor:
        """Returns Σw, Σw·signal and Σw·signal² of the finite signals."""
        signal = tf.stop_gradient(tf.cast(signal, tf.float32))
        signal, weights = _finite(signal, weights)
        terms = (weights, weights * signal, weights * tf.square(signal))
        return tf.reduce_sum(tf.stack(terms), axis=1)

    def learn(self, sums: tf.Tensor) -> None:
        """Takes the `sums` of a batch into the statistics; frozen ones rest."""
        kept = self.decay is not None or self.normalize
        if not kept or not self.trainable:
            return
        if _saving.is_tried() or _saving.is_rematerialised():
            return
        total, first, second = tf.unstack(sums)
        # A batch without a usable signal leaves everything as it was.
        decay = 0.99 if self.decay is None else self.decay
        keep = tf.where(total > 0, decay, 1.0)
        values = [(self._mean, first), (self._weight, total)]
        if self.normalize:
            values.append((self._square, second))
        for statistic, value in values:
            batch = tf.math.divide_no_nan(value, total)
            old = tf.convert_to_tensor(statistic)
            statistic.assign(keep * old + (1.0 - keep) * batch)

    def attach(
        self,
        cost: tf.Tensor,
        log_prob: tf.Tensor,
        learned: tf.Tensor,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the cost with the score-function gradient; then observes.

        For an incoming gradient g the log-probability receives g (f - b) /
        scale and the network its squared error's, as in
        `ops.score_function_cost`.

        Args:
            cost: f(z), `[B]`.
            log_prob: log q(z), `[B]`.
            learned: What calling the baseline gave for this batch, `[B]`.
            weights: Weights of the examples in the statistics; `None` for
                ones.
        """
        surrogate, signal = self.attached(
            cost, log_prob, learned, weights, self.statistics()
        )
        self.observe(signal, weights)
        return surrogate

    def attached(
        self,
        cost: tf.Tensor,
        log_prob: tf.Tensor,
        learned: tf.Tensor,
        weights: tf.Tensor | None,
        statistics: tuple[tf.Tensor, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `attach` does, and the signal to observe, `[B]`.

        Several draws for one batch of costs must all be given the
        `statistics` of before the first is observed.
        """
        centre, scale = statistics
        signal = tf.stop_gradient(tf.cast(cost, tf.float32) - learned)
        if self.leave_one_out:
            centre = _mean_of_others(signal, weights)
        surrogate = ops.score_function_cost(
            cost,
            log_prob / tf.cast(scale, log_prob.dtype),
            baseline=learned + centre,
        )
        return surrogate, signal

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        network = None
        if self.network is not None:
            network = keras.saving.serialize_keras_object(self.network)
        return {
            **super().get_config(),
            "network": network,
            "decay": self.decay,
            "normalize": self.normalize,
            "leave_one_out": self.leave_one_out,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Baseline:
        """Returns the baseline that `get_config` describes."""
        config = dict(config)
        if config["network"] is not None:
            config["network"] = _saving.deserialize(
                "network", config["network"], (keras.layers.Layer,)
            )
        return cls(**config)


def get_baseline(identifier: Any, normalize: bool = False) -> Baseline | None:
    """Returns the baseline that `identifier` stands for.

    Args:
        identifier: `None`; `"moving_average"` (running mean, decay 0.9);
            `"nvil"` (a network of one hidden layer of 100 tanh units, and a
            running mean with decay 0.8); `"leave_one_out"` (the mean cost of
            the other rows of the batch); a Keras layer that maps the context
            to one value per example; a `Baseline`; or a serialised one.
        normalize: As in `Baseline`.

    Returns:
        A `Baseline`, or `None`.
    """
    if isinstance(identifier, dict):
        kinds = (keras.layers.Layer,)
        identifier = _saving.deserialize("baseline", identifier, kinds)
    if isinstance(identifier, Baseline):
        if normalize and not identifier.normalize:
            raise ValueError(
                "Argument `normalize` is one of the baseline's own where a "
                "`Baseline` is given. Received: normalize=True with a Baseline "
                "of normalize=False"
            )
        return identifier
    if isinstance(identifier, keras.layers.Layer):
        return Baseline(identifier, normalize=normalize)
    if isinstance(identifier, (str, type(None))):
        _checks.choice("baseline", identifier, NAMES)
        if identifier is None:
            return Baseline(normalize=True) if normalize else None
        if identifier == "moving_average":
            return Baseline(decay=0.9, normalize=normalize)
        if identifier == "leave_one_out":
            return Baseline(leave_one_out=True, normalize=normalize)
        return Baseline(_nvil_network(), decay=0.8, normalize=normalize)
    raise TypeError(
        "Argument `baseline` must be None, 'moving_average', 'nvil', "
        "'leave_one_out', or a Keras layer that maps the context to one value "
        f"per example. Received: baseline={identifier!r}"
    )


def _finite(signal: tf.Tensor, weights: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The signals and their weights, both zero where one is not finite."""
    finite = tf.math.is_finite(signal)
    weights = tf.cast(finite, tf.float32) * (
        1.0 if weights is None else tf.cast(weights, tf.float32)
    )
    return tf.where(finite, signal, tf.zeros_like(signal)), weights


def _mean_of_others(signal: tf.Tensor, weights: Any) -> tf.Tensor:
    """Each row's weighted mean of the other, finite signals, `[B]`."""
    signal, weights = _finite(signal, weights)
    # Centred first: what is left out is found by subtraction.
    middle = tf.math.divide_no_nan(
        tf.reduce_sum(weights * signal), tf.reduce_sum(weights)
    )
    excess = weights * (signal - middle)
    rest = tf.reduce_sum(weights) - weights
    others = tf.math.divide_no_nan(tf.reduce_sum(excess) - excess, rest)
    alone = rest <= 1e-6 * weights
    return tf.where(alone, tf.zeros_like(others), middle + others)


def _nvil_network() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.layers.Flatten(dtype="float32"),
            keras.layers.Dense(100, activation="tanh", dtype="float32"),
            keras.layers.Dense(1, dtype="float32"),
        ],
        name="nvil",
    )


def serialize_baseline(baseline: Baseline | None) -> dict[str, Any] | None:
    """Returns what `get_baseline` turns into `baseline` again."""
    if baseline is None:
        return None
    return keras.saving.serialize_keras_object(baseline)
