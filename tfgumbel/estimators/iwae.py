"""The importance-weighted bound, by reparameterisation."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions import Parameters, Reparameterized
from tfgumbel.estimators._multi_sample import MultiSampleBound
from tfgumbel.estimators.algebra import log_mean_exp, repeat
from tfgumbel.estimators.estimator import CostFn, register
from tfgumbel.estimators.pathwise import ThroughTheSample


@register("iwae")
class IWAE(MultiSampleBound, ThroughTheSample):
    """The importance-weighted bound, through the sample.

    **This changes what is minimised**: f is read as -log p(x, z), in nats, and
    the value is not its mean but the negative bound

        -L̂ = -log 1/S Σ_s w_s,  w_s = exp(-f(z_s)) / q(z_s),

    which is the negative ELBO for S = 1 and falls to -log p(x) as S grows. The
    gradient is that of the formula, at samples z_s that are differentiable
    functions of the parameters φ of q and of noise:

        -Σ_s w̃_s (∂log w_s/∂z_s · ∂z_s/∂φ - ∂log q(z_s)/∂φ),

    with the normalised weights w̃. Unbiased for the bound. In φ its
    signal-to-noise ratio falls as 1/√S; `DReG` has one that rises. f must be
    differentiable in z. S evaluations of f, in one batch.

    Args:
        distribution: A reparameterised one, such as `"gaussian"`, that of q.
        samples: S.
        add_log_prob: Whether to divide the weights by q. `False` for an f that
            is -log w already, or where q is no proposal but part of the model:
            then w = exp(-f), and nothing but the samples depends on φ.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution is not reparameterised, or at the call
            if the cost has no gradient in z.

    Example:

    >>> import math
    >>> import tensorflow as tf, tfgumbel as tg
    >>> iwae = tg.estimators.IWAE("gaussian", samples=5)
    >>> posterior = tf.zeros([1, 1]), tf.fill([1, 1], math.log(0.5))
    >>> def f(z):  # -log N(z; 0, 1) N(0; z, 1): the posterior is N(0, 1/2)
    ...     return tf.reduce_sum(z**2, axis=1) + math.log(2 * math.pi)
    >>> round(float(iwae(f, posterior, [1, 2])[0]), 4)  # -log N(0; 0, 2)
    1.2655

    Reference:
        Burda, Grosse, Salakhutdinov. Importance weighted autoencoders. ICLR
        2016. Rainforth et al. Tighter variational bounds are not necessarily
        better. ICML 2018.
    """

    needs: ClassVar = (Reparameterized,)

    def pathwise(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns one sample per row, with its gradient."""
        distribution = self.distribution
        assert isinstance(distribution, Reparameterized)
        return distribution.reparameterize(parameters, seed)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns -L̂, the negative bound."""
        repeated = repeat(parameters, self.samples)
        sample = self.pathwise(repeated, seed)
        cost = self._cost(cost_fn, sample)
        scored = self._scored(repeated)
        return -log_mean_exp(self.log_weight(cost, scored, sample))

    def _scored(self, parameters: Parameters) -> Parameters:
        """Parameters of log q, by which the bound depends on them directly."""
        return parameters
