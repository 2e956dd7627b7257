"""The gapped straight-through estimator."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.estimators import draws
from tfgumbel.estimators.estimator import register
from tfgumbel.estimators.relaxation import Relaxation


@register("gapped")
class Gapped(Relaxation):
    """Gapped straight-through: J(y) f'(D) / τ at an exact sample D.

    y = softmax of the logits over τ, moved until D leads by 1. **Biased**; f
    must be differentiable. The value is f(D). One evaluation of f per sample.
    `ops.gapped_straight_through` has the details.

    Args:
        distribution: `"categorical"` or `"bernoulli"` (as two categories).
        samples: S, samples per example; the estimate is their mean.
        temperature: τ > 0 of the backward pass. Kept as a weight that is not
            trained.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: At the call, if the cost has no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> estimator = tg.estimators.Gapped("bernoulli")
    >>> cost = estimator(lambda z: z[:, 0], tf.zeros([1, 2]), [1, 2])
    >>> float(cost[0]) in (0.0, 1.0)
    True

    Reference:
        Fan, Chi, Rudnicky, Ramadge. Training discrete deep generative models
        via gapped straight-through estimator. ICML 2022.
    """

    def pathwise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns exact samples with the surrogate gradient."""
        tau = tf.convert_to_tensor(self.temperature)
        draw = draws.Draw(seed, tau)
        return draws.draw("gapped", self.distribution, logits, draw)
