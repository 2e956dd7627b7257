"""The straight-through Gumbel-softmax estimator."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters, Relaxed
from tfgumbel.estimators._relaxation import Relaxation
from tfgumbel.estimators._surrogate import surrogate_sample
from tfgumbel.estimators.estimator import register


@register("st_gumbel", "gumbel")
class STGumbel(Relaxation):
    """Straight-through Gumbel-softmax: J(y) f'(z) / τ, z = one-hot(argmax y).

    y is the Gumbel-softmax sample (for Bernoulli variables the binary concrete
    one), z the exact sample that it points at. **Biased**; f must be
    differentiable. The value is f(z). One evaluation of f per sample.

    Args:
        distribution: One with a relaxation: `"categorical"`, `"bernoulli"`.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0: a number or a schedule. Assign to it to anneal it.
        backward_temperature: Another τ > 0 for the gradient (decoupled); the
            value, which is hard, depends on neither. `None` for the same.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.STGumbel("bernoulli", temperature=0.5)
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
        ICLR 2017. Shah, Yan, Mozer, Liu. Improving discrete optimisation via
        decoupled straight-through Gumbel-softmax. 2024.
    """

    needs: ClassVar = (Relaxed,)

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        temperature: Any = 1.0,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            distribution, samples, temperature=temperature, **kwargs
        )
        self._backward = self._temperature
        self._decoupled = backward_temperature is not None
        if self._decoupled:
            self._backward = self.add_annealed(
                "backward_temperature", backward_temperature
            )

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns exact samples with the gradient of the relaxed ones."""
        return surrogate_sample(
            "st_gumbel",
            self.distribution,
            parameters,
            seed,
            temperature=self._backward(training=True),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        backward = self._backward.get_config() if self._decoupled else None
        return {**super().get_config(), "backward_temperature": backward}
