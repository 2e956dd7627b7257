"""The KL divergence of any distribution of `ImplicitReparam`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.layers import _continuous
from tfgumbel.layers._kl import KLLayer
from tfgumbel.layers._stochastic import StochasticLayer


@keras.saving.register_keras_serializable(package="tfgumbel")
class KLDivergence(KLLayer, StochasticLayer):
    """Adds weight · Σ KL(q ‖ prior), in nats, to the model's loss.

    q and the prior are of one family, a name of the table in
    `ImplicitReparam`, which says whether the divergence is in closed form.
    Where it is not (`"kumaraswamy"`, `"student_t"`, `"truncated_normal"`,
    `"mixture"`) it is the mean of log q(z) - log p(z) over `samples` samples
    z of q, drawn by this layer with pathwise gradients: unbiased in value and
    gradient, and for one draw maybe below zero.

    Summed over the variables of an example, averaged over the batch.

    Args:
        distribution: A name of the table in `ImplicitReparam`.
        prior: The prior's parameters themselves, not mapped by the softplus:
            one number or array that broadcasts to each input, in the order
            of the inputs. The default has unit scale around zero where there
            is such a one, and is uniform on (0, 1), the simplex or the
            circle; for `"truncated_normal"`, around the middle of the bounds,
            as wide as they. The prior of a mixture may have components of
            its own number; the default is N(0, 1).
        weight: Factor, at least 0: a number or a schedule.
        samples: Samples of a Monte Carlo estimate.
        bounds: Pair `(low, high)` of a truncated normal, one maybe infinite.
        seed: An integer makes the estimate reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: What `ImplicitReparam` takes, returned unchanged.
        training: Whether a schedule takes a step.

    Input shape:
        Tensors `[B, ...]`.

    Output shape:
        That of the inputs.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.KLDivergence("laplace", prior=(0.0, 2.0))
    >>> one = np.log(np.expm1(np.ones((2, 3), "f")))  # softplus gives 1
    >>> _ = layer((np.zeros((2, 3), "f"), one))
    >>> round(float(layer.losses[0]), 4)  # 3 (log 2 - 1/2)
    0.5794
    """

    def __init__(
        self,
        distribution: str,
        prior: Any = None,
        weight: Any = 1.0,
        samples: int = 1,
        bounds: tuple[float, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight=weight, seed=seed, **kwargs)
        self._distribution = _continuous.get(distribution, bounds)
        self.distribution = distribution
        self.prior = _checked_prior(self._distribution, prior)
        self.samples = _checks.positive_integer("samples", samples)
        self.bounds = getattr(self._distribution, "bounds", None)

    def check(self, inputs: Any) -> None:
        """Raises unless the inputs are parameters with a batch axis."""
        for tensor in self._distribution.check(inputs):
            _checks.batched("inputs", tensor.shape)
            if not self._distribution.component_axis:
                for value in self.prior:
                    shape = np.shape(value)
                    _checks.broadcastable("prior", shape, tensor.shape)

    def divergence(self, inputs: Any) -> tf.Tensor:
        """Returns KL per variable, `[B, ...]`."""
        q = self._distribution.constrain(inputs)
        prior = [tf.constant(value, q[0].dtype) for value in self.prior]
        if not self._distribution.component_axis:
            prior = [tf.broadcast_to(value, tf.shape(q[0])) for value in prior]
        if self._distribution.analytic:
            return self._distribution.kl(q, prior)
        return self._estimate(q, prior)

    def _estimate(self, q: list[Any], prior: list[Any]) -> tf.Tensor:
        shape = tf.concat([[self.samples], tf.shape(q[0])], axis=0)
        many = [tf.broadcast_to(tensor, shape) for tensor in q]
        log_ratio = self._distribution.log_ratio(many, prior, self.next_seed())
        return tf.reduce_mean(log_ratio, axis=0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": self.distribution,
            "prior": self.prior,
            "samples": self.samples,
            "bounds": self.bounds,
        }


def _checked_prior(distribution: Any, prior: Any) -> list[Any]:
    """The prior's parameters, as nested lists of floats."""
    names = distribution.parameters
    given = distribution.standard if prior is None else prior
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        raise ValueError(
            f"Argument `prior` must be a tuple of {len(names)} parameters, "
            f"({', '.join(names)}). Received: prior={prior!r}"
        )
    arrays = [_checks.array("prior", value) for value in given]
    for name, array in zip(names, arrays, strict=True):
        if not np.all(np.isfinite(array)) or (
            name in distribution.positive and not np.all(array > 0)
        ):
            kind = "positive" if name in distribution.positive else "finite"
            raise ValueError(
                f"Parameter {name} of argument `prior` must be {kind}. "
                f"Received: prior={prior!r}"
            )
    return [array.tolist() for array in arrays]
