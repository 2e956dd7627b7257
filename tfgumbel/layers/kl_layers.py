"""Layers that add a closed-form KL divergence to the model's loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, ops
from tfgumbel.layers._kl import KLLayer
from tfgumbel.layers.reparam_gaussian import (
    PARAMETERIZATIONS,
    gaussian_parameters,
)

# Of a Gaussian prior, so that squares of quotients are finite.
_FAR = 1e15


@keras.saving.register_keras_serializable(package="tfgumbel")
class CategoricalKL(KLLayer):
    """Adds weight · Σ KL(softmax(logits) ‖ prior), in nats, to the loss.

    Summed over the categorical variables of an example, averaged over the
    batch. Put it on the logits, before the sampling layer.

    With a mask, both q and the prior are restricted to the legal categories
    and normalised there; a variable with none has no divergence.

    Args:
        prior_logits: Logits of the prior, an array that broadcasts to the
            logits; `None` for the uniform prior.
        weight: Factor, at least 0 (β of a β-VAE): a number or a schedule
            `step -> weight`. `TemperatureScheduler(..., attribute="weight")`
            anneals `layer.weight`.
        axis: Axis of the categories; not that of the batch.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Logits `[B, ..., K]`, returned unchanged.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`.
        training: Whether a schedule takes a step.

    Input shape:
        `[B, ..., K]`.

    Output shape:
        That of the input.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.CategoricalKL()
    >>> logits = layer(np.array([[0.0, 0.0], [100.0, 0.0]], "float32"))
    >>> round(float(layer.losses[0]), 4)  # (0 + log 2) / 2
    0.3466

    Reference:
        Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
    """

    def __init__(
        self,
        prior_logits: Any = None,
        weight: Any = 1.0,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight=weight, **kwargs)
        self.prior_logits = None
        if prior_logits is not None:
            self.prior_logits = _as_list("prior_logits", prior_logits)
            if np.any(np.isposinf(self.prior_logits)):
                raise ValueError(
                    "Argument `prior_logits` must be finite, or -inf. "
                    f"Received: prior_logits={prior_logits!r}"
                )
        self.axis = _checks.axis(axis, None)

    def check(self, inputs: Any) -> None:
        """Raises unless `inputs` are logits with categories on the axis."""
        _checks.floating("logits", inputs.dtype)
        _checks.categorical_shape(inputs.shape, self.axis)
        rank = tf.TensorShape(inputs.shape).rank
        if rank is not None and self.axis % rank == 0:
            raise ValueError(
                "Argument `axis` must not be the axis of the batch, over "
                "which the divergence is averaged. Received: "
                f"axis={self.axis} for logits of rank {rank}"
            )
        _check_prior(self.prior_logits, inputs.shape)

    def divergence(
        self, inputs: tf.Tensor, category_mask: Any = None
    ) -> tf.Tensor:
        """Returns KL per variable, `[B, ...]`."""
        prior = self.prior_logits
        if prior is None and category_mask is not None:
            prior = 0.0
        if prior is not None:
            # The axis counts the axes of the logits.
            prior = tf.constant(prior, tf.float32)
            prior = tf.broadcast_to(prior, tf.shape(inputs))
            prior = tf.ensure_shape(prior, inputs.shape)
            prior = ops.mask_logits(prior, category_mask, self.axis)
            inputs = ops.mask_logits(inputs, category_mask, self.axis)
        return ops.categorical_kl(inputs, prior, self.axis)

    def call(  # type: ignore[override]
        self, inputs: Any, category_mask: Any = None, training: Any = None
    ) -> Any:
        """Returns `inputs`, having added the divergence to the losses."""
        self.check(inputs)
        self.add_divergence(self.divergence(inputs, category_mask), training)
        return inputs

    def compute_output_spec(  # type: ignore[override]
        self, inputs: Any, category_mask: Any = None, training: Any = None
    ) -> Any:
        """Returns the shape and dtype of the input."""
        return super().compute_output_spec(inputs, training)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "prior_logits": self.prior_logits,
            "axis": self.axis,
        }


@keras.saving.register_keras_serializable(package="tfgumbel")
class BernoulliKL(KLLayer):
    """Adds weight · Σ KL(Bernoulli(sigmoid(logits)) ‖ prior) to the loss.

    Summed over the bits of an example, averaged over the batch, in nats.

    Args:
        prior_logits: Log-odds of the prior, a number or an array that
            broadcasts to the logits; 0 is the uniform prior.
        weight: Factor, at least 0: a number or a schedule.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Log-odds `[B, ...]`, returned unchanged.
        training: Whether a schedule takes a step.

    Input shape:
        `[B, ...]`.

    Output shape:
        That of the input.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.BernoulliKL()
    >>> logits = layer(np.array([[100.0, -100.0]], "float32"))
    >>> round(float(layer.losses[0]), 4)  # 2 log 2
    1.3863
    """

    def __init__(
        self, prior_logits: Any = 0.0, weight: Any = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(weight=weight, **kwargs)
        self.prior_logits = _as_list("prior_logits", prior_logits)

    def check(self, inputs: Any) -> None:
        """Raises unless `inputs` are log-odds, with an axis for the batch."""
        _checks.floating("logits", inputs.dtype)
        _checks.batched("logits", inputs.shape)
        _check_prior(self.prior_logits, inputs.shape)

    def divergence(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns KL per bit, `[B, ...]`."""
        prior = tf.constant(self.prior_logits, tf.float32)
        return ops.bernoulli_kl(inputs, prior)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "prior_logits": self.prior_logits}


@keras.saving.register_keras_serializable(package="tfgumbel")
class GaussianKL(KLLayer):
    """Adds weight · Σ KL(N(μ, σ²) ‖ N(μ₀, σ₀²)), in nats, to the loss.

    Summed over the coordinates of an example, averaged over the batch. With
    `parameterization="tril"`, KL(N(μ, L Lᵀ) ‖ N(μ₀, σ₀² I)). Closed forms.

    Args:
        parameterization: What the second input is, as in `ReparamGaussian`.
        prior_mean: μ₀.
        prior_stddev: σ₀ > 0.
        weight: Factor, at least 0: a number or a schedule.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Pair `(mean, scale)`, returned unchanged.
        training: Whether a schedule takes a step.

    Input shape:
        Two tensors `[B, ...]`.

    Output shape:
        That of the inputs.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.GaussianKL()
    >>> mean, log_variance = np.ones((2, 3), "float32"), np.zeros((2, 3), "f")
    >>> _ = layer((mean, log_variance))
    >>> float(layer.losses[0])
    1.5

    Reference:
        Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
    """

    def __init__(
        self,
        parameterization: str = "log_variance",
        prior_mean: float = 0.0,
        prior_stddev: float = 1.0,
        weight: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight=weight, **kwargs)
        self.parameterization = _checks.choice(
            "parameterization", parameterization, PARAMETERIZATIONS
        )
        self.prior_mean = _checks.number_between(
            "prior_mean", prior_mean, -_FAR, _FAR
        )
        _checks.positive_number("prior_stddev", prior_stddev)
        self.prior_stddev = _checks.number_between(
            "prior_stddev", prior_stddev, 1.0 / _FAR, _FAR
        )

    def check(self, inputs: Any) -> None:
        """Raises unless `inputs` is a pair with an axis for the batch."""
        mean, _ = gaussian_parameters(inputs, self.parameterization == "tril")
        _checks.batched("mean", mean.shape)

    def divergence(self, inputs: Any) -> tf.Tensor:
        """Returns KL per coordinate, `[B, ...]`; with `"tril"` per vector."""
        tril = self.parameterization == "tril"
        mean, scale = gaussian_parameters(inputs, tril)
        if tril:
            return ops.gaussian_tril_kl(
                mean,
                ops.gaussian_tril(scale),
                self.prior_mean,
                self.prior_stddev,
            )
        stddev = ops.gaussian_stddev(scale, self.parameterization)
        return ops.gaussian_kl(mean, stddev, self.prior_mean, self.prior_stddev)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "parameterization": self.parameterization,
            "prior_mean": self.prior_mean,
            "prior_stddev": self.prior_stddev,
        }


def _as_list(name: str, value: Any) -> Any:
    # Nested lists of floats, as JSON wants them.
    if tf.is_tensor(value) or isinstance(value, keras.Variable):
        value = keras.ops.convert_to_numpy(value)
    return _checks.array(name, value).tolist()


def _check_prior(prior_logits: Any, shape: Any) -> None:
    if prior_logits is not None:
        _checks.broadcastable("prior_logits", np.shape(prior_logits), shape)
