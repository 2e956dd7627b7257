"""The Rao-Blackwellised straight-through Gumbel estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.estimators import draws
from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.relaxation import Relaxation


@register("gumbel_rao")
class GumbelRao(Relaxation):
    """Gumbel-Rao: 1/M Σ_m J(y_m) f'(D) / τ at an exact sample D.

    y_m are Gumbel-softmax samples drawn given that their argmax is D: the
    estimate of `StGumbel`, averaged over the noise that D leaves free. The
    same **bias**, less variance; f must be differentiable. The value is f(D).
    One evaluation of f per sample, whatever M is.

    Args:
        distribution: `"categorical"` or `"bernoulli"` (as two categories).
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0 of the backward pass. Kept as a weight that is not
            trained.
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

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 1,
        temperature: float = 1.0,
        noise_samples: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, temperature, **kwargs)
        self.noise_samples = _checks.positive_integer(
            "noise_samples", noise_samples
        )

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns exact samples with the averaged gradient."""
        tau = tf.convert_to_tensor(self.temperature)
        draw = draws.Draw(seed, tau, samples=self.noise_samples)
        return draws.draw("gumbel_rao", self.distribution, logits, draw)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "noise_samples": self.noise_samples}
