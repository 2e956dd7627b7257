"""Feature selection by concrete nodes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, _saving, ops, random
from tfgumbel._precision import in_working_precision
from tfgumbel.layers._stochastic import StochasticLayer, TemperatureLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class ConcreteSelector(TemperatureLayer, StochasticLayer):
    """Learns which k of d features to keep: k concrete nodes.

    Node j holds logits of its own over the d features. In training it passes
    on a random blend of them, in inference the one feature that leads:

        training   u_j = Σ_i m_{ji} x_i,  m_j = softmax((logits_j + G) / τ)
        inference  u_j = x_i,             i = argmax logits_j

    One draw of m serves the whole batch, as in the authors' code, so that the
    blend is one matrix product. As τ falls from high (blends, all features
    are tried) to low (nearly one-hot choices), training turns into inference;
    anneal it with a schedule or a `TemperatureScheduler`. The paper goes from
    10 to 0.01 by a constant factor per epoch, and trains on until
    `mean_max_probability` comes near 1.

    The gradient is pathwise: unbiased for the blend, biased for the choice.
    Two nodes may choose the same feature, so that `selected` may hold
    duplicates; fewer than k features then do as well.

    Args:
        k: Number of nodes, 1 ≤ k ≤ d.
        temperature: τ > 0: a number, or a schedule `step -> τ`, as in
            `GumbelSoftmax`.
        initializer: Of the logits, a weight of shape `[k, d]`.
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient, as in
            `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: The features, floating.
        training: Whether to blend rather than to choose.

    Input shape:
        `[B, ..., d]` with d ≥ 2.

    Output shape:
        `[B, ..., k]`, in the layer's compute dtype. Noise, softmax and blend
        are computed in float32 whatever the policy.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.ConcreteSelector(k=2, seed=1)
    >>> x = np.arange(8.0, dtype="float32").reshape(2, 4)
    >>> np.array_equal(layer(x), x[:, layer.selected])
    True

    Reference:
        Balın, Abid, Zou. Concrete autoencoders: differentiable feature
        selection and reconstruction. ICML 2019.
    """

    def __init__(
        self,
        k: int,
        temperature: Any = 1.0,
        *,
        initializer: Any = "glorot_normal",
        seed: int | None = None,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.k = _checks.positive_integer("k", k)
        self.initializer = _saving.initializer("initializer", initializer)
        self.add_temperatures(temperature, backward_temperature)
        self.logits: keras.Variable | None = None

    def build(self, inputs_shape: Any) -> None:
        """Makes the logits, `[k, d]`."""
        self.logits = self.add_weight(
            shape=(self.k, self._features(inputs_shape)),
            initializer=self.initializer,
            dtype="float32",
            autocast=False,
            name="logits",
        )
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
        """Returns k blended, or chosen, features."""
        inputs = _checks.floating_tensor("inputs", inputs)
        logits = tf.convert_to_tensor(self.logits)
        if not inputs.shape[-1:].is_compatible_with(logits.shape[1:]):
            raise ValueError(
                f"Argument `inputs` must have {logits.shape[1]} features on "
                "the last axis, as those that the layer was built for. "
                f"Received: inputs of shape {inputs.shape}"
            )
        self.warn_if_recorded(training, [inputs, logits])
        if not training:
            chosen = tf.argmax(logits, axis=-1, output_type=tf.int32)
            selection = tf.gather(inputs, chosen, axis=-1)
        else:
            selection = self._blend(in_working_precision(inputs), logits)
        return tf.cast(selection, self.compute_dtype)

    def _blend(self, inputs: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        temperature, backward = self.temperatures(training=True)
        shares = ops.gumbel_softmax(
            logits,
            random.gumbel(tf.shape(logits), self.next_seed()),
            temperature=temperature,
            backward_temperature=backward,
        )
        return tf.einsum("...d,kd->...k", inputs, tf.cast(shares, inputs.dtype))

    @property
    def selected(self) -> np.ndarray:
        """Index of the feature that each node chooses, int32 `[k]`."""
        return np.argmax(self._built_logits(), axis=-1).astype(np.int32)

    @property
    def mean_max_probability(self) -> float:
        """Mean over nodes of the largest probability, 1/d to 1."""
        probabilities = tf.nn.softmax(self._built_logits())
        return float(tf.reduce_mean(tf.reduce_max(probabilities, axis=-1)))

    def _built_logits(self) -> np.ndarray:
        if self.logits is None:
            raise ValueError(
                f"Layer {self.name!r} has no logits yet: call it on features, "
                "or build it, first"
            )
        return np.asarray(self.logits)

    def _features(self, shape: Any) -> int:
        """The number of features, checked."""
        _checks.batched("inputs", shape)
        features = tf.TensorShape(shape)[-1]
        if features is None or features < max(2, self.k):
            raise ValueError(
                "Argument `inputs` must have a known number of features on "
                f"the last axis, at least 2 and k={self.k}. "
                f"Received: inputs of shape {tuple(shape)}"
            )
        return features

    def compute_output_spec(
        self, inputs: Any, training: Any = None
    ) -> keras.KerasTensor:
        """Returns k features, in the compute dtype."""
        _checks.floating("inputs", inputs.dtype)
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, inputs_shape: Any) -> tuple:
        """Returns the shape of the inputs with k features."""
        self._features(inputs_shape)
        return (*inputs_shape[:-1], self.k)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "k": self.k,
            "initializer": keras.initializers.serialize(self.initializer),
        }
