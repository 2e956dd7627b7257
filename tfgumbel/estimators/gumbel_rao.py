"""The Rao-Blackwellised straight-through Gumbel estimator."""

from __future__ import annotations

from typing import Any, ClassVar

from tfgumbel import _checks
from tfgumbel.estimators._relaxation import StraightThrough
from tfgumbel.estimators.estimator import register


@register("gumbel_rao")
class GumbelRao(StraightThrough):
    """Gumbel-Rao: 1/M Σ_m J(y_m) f'(D) / τ at an exact sample D.

    y_m are Gumbel-softmax samples drawn given that their argmax is D: the
    estimate of `STGumbel`, averaged over the noise that D leaves free. The
    same **bias**, less variance; f must be differentiable. The value is f(D).
    One evaluation of f per sample, whatever M is.

    Args:
        distribution: `"categorical"`, `"bernoulli"` (as two categories), or
            another one of categories.
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0 of the backward pass; assign to it to anneal it.
        noise_samples: M, conditional noises per sample.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.GumbelRao("bernoulli", noise_samples=4)
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Paulus, Maddison, Krause. Rao-Blackwellizing the straight-through
        Gumbel-softmax gradient estimator. ICLR 2021.
    """

    surrogate: ClassVar[str] = "gumbel_rao"

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        *,
        temperature: Any = 1.0,
        noise_samples: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            distribution, samples, temperature=temperature, **kwargs
        )
        self.noise_samples = _checks.positive_integer(
            "noise_samples", noise_samples
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "noise_samples": self.noise_samples}
