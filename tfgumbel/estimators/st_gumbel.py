"""The straight-through Gumbel-softmax estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.relaxation import Relaxation


@register("st_gumbel")
class StGumbel(Relaxation):
    """Straight-through Gumbel-softmax: J(y) f'(z) / τ, z = one-hot(argmax y).

    y is the Gumbel-softmax sample (for bits, the binary concrete one), z the
    exact sample that it points at. **Biased**; f must be differentiable. The
    value is f(z). One evaluation of f per sample.

    Args:
        distribution: `"categorical"` or `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0. Kept as a weight that is not trained.
        backward_temperature: Another τ > 0 for the gradient (decoupled), a
            weight too; the value, which is hard, depends on neither. `None`
            for the same.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.StGumbel("bernoulli", temperature=0.5)
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017. Shah, Yan, Mozer, Liu. Improving discrete optimisation via
        decoupled straight-through Gumbel-softmax. 2024.
    """

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 1,
        temperature: float = 1.0,
        backward_temperature: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, temperature, **kwargs)
        self._initial_backward = backward_temperature
        self.backward_temperature = None
        if backward_temperature is not None:
            self.backward_temperature = self.add_temperature(
                "backward_temperature", backward_temperature
            )

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns exact samples with the gradient of the relaxed ones."""
        noise = self.law.noise(logits, seed)
        tau = self.temperature
        if self.backward_temperature is not None:
            tau = self.backward_temperature
        tau = tf.convert_to_tensor(tau)
        return self.law.relax(logits, noise, tau, hard=True)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "backward_temperature": self._initial_backward,
        }
