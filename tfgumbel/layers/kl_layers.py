"""The KL layers of the distributions that are used most."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.layers.kl_divergence import KLDivergence


@keras.saving.register_keras_serializable(package="tfgumbel")
class CategoricalKL(KLDivergence):
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
        **kwargs: `free_bits`, `groups` and `capacity` of `KLDivergence`, and
            those of `keras.layers.Layer`.

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

    prior_arguments: ClassVar = {"logits": "prior_logits"}

    def __init__(
        self,
        prior_logits: Any = None,
        weight: Any = 1.0,
        *,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        _refuse_prior(kwargs, "`prior_logits`")
        categorical = distributions.Categorical(axis=axis)
        prior = None if prior_logits is None else (prior_logits,)
        super().__init__(categorical, prior, weight=weight, **kwargs)
        self.axis = categorical.axis

    def _require_fit(self, q: Any, p: Any) -> None:
        super()._require_fit(q, p)
        rank = tf.TensorShape(q.shape).rank
        if rank is not None and self.axis % rank == 0:
            raise ValueError(
                "Argument `axis` must not be the axis of the batch, over "
                "which the divergence is averaged. Received: "
                f"axis={self.axis} for logits of rank {rank}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = _without_distribution(super().get_config())
        (prior,) = config.pop("prior")
        return {**config, "prior_logits": prior, "axis": self.axis}


@keras.saving.register_keras_serializable(package="tfgumbel")
class BernoulliKL(KLDivergence):
    """Adds weight · Σ KL(Bernoulli(sigmoid(logits)) ‖ prior) to the loss.

    Summed over the variables of an example, averaged over the batch, in nats.

    Args:
        prior_logits: Log-odds of the prior, a number or an array that
            broadcasts to the logits; 0 is the uniform prior.
        weight: Factor, at least 0: a number or a schedule.
        **kwargs: `free_bits`, `groups` and `capacity` of `KLDivergence`, and
            those of `keras.layers.Layer`.

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

    prior_arguments: ClassVar = {"logits": "prior_logits"}

    def __init__(
        self, prior_logits: Any = 0.0, weight: Any = 1.0, **kwargs: Any
    ) -> None:
        _refuse_prior(kwargs, "`prior_logits`")
        bernoulli = distributions.Bernoulli()
        super().__init__(bernoulli, (prior_logits,), weight=weight, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = _without_distribution(super().get_config())
        (prior,) = config.pop("prior")
        return {**config, "prior_logits": prior}


@keras.saving.register_keras_serializable(package="tfgumbel")
class GaussianKL(KLDivergence):
    """Adds weight · Σ KL(N(μ, σ²) ‖ N(μ₀, σ₀²)), in nats, to the loss.

    Summed over the coordinates of an example, averaged over the batch. With
    `parameterization="tril"`, KL(N(μ, L Lᵀ) ‖ N(μ₀, σ₀² I)). Closed forms.

    Args:
        parameterization: What the second input is, as in `ReparamGaussian`.
        prior_mean: μ₀.
        prior_stddev: σ₀ > 0.
        weight: Factor, at least 0: a number or a schedule.
        **kwargs: `free_bits`, `groups` and `capacity` of `KLDivergence`, and
            those of `keras.layers.Layer`.

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

    prior_arguments: ClassVar = {
        "mean": "prior_mean",
        "scale": "prior_stddev",
    }

    def __init__(
        self,
        parameterization: str = "log_variance",
        prior_mean: Any = 0.0,
        *,
        prior_stddev: Any = 1.0,
        weight: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        _refuse_prior(kwargs, "`prior_mean` and `prior_stddev`")
        gaussian = distributions.Gaussian(parameterization=parameterization)
        prior = (prior_mean, prior_stddev)
        super().__init__(gaussian, prior, weight=weight, **kwargs)
        self.parameterization = parameterization

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = _without_distribution(super().get_config())
        mean, stddev = config.pop("prior")
        return {
            **config,
            "parameterization": self.parameterization,
            "prior_mean": mean,
            "prior_stddev": stddev,
        }


def _refuse_prior(options: dict[str, Any], names: str) -> None:
    """Raises for the argument by which `KLDivergence` takes the prior."""
    if "prior" in options:
        raise TypeError(
            f"The prior is given here as {names}. "
            f"Received: prior={options['prior']!r}"
        )


def _without_distribution(config: dict[str, Any]) -> dict[str, Any]:
    """The config of `KLDivergence` without what a subclass fixes."""
    return {
        name: value
        for name, value in config.items()
        if name not in ("distribution", "samples")
    }
