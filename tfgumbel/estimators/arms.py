"""The antithetic estimator of Bernoulli variables with n samples."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import nan_values
from tfgumbel.distributions import Antithetic, Parameters
from tfgumbel.estimators import _copulas
from tfgumbel.estimators.algebra import attach, fold, weigh
from tfgumbel.estimators.estimator import CostFn, Estimator, register

COPULAS = {"dirichlet": _copulas.dirichlet, "gaussian": _copulas.gaussian}


@register("arms")
class ARMS(Estimator):
    """ARMS: 1/(n-1) Σ_i (f(b_i) - f̄) (b_i - p) / (1 - ρ).

    Of each variable n exact samples b_1, …, b_n are drawn, any two with the
    same negative correlation ρ; f̄ is the mean cost. With ρ = 0 it would be
    `rloo`, and with n = 2 it is `disarm`. Unbiased, with nothing to learn; f
    may be anything. n evaluations of f, in one batch.

    b_i = 1[u_i < p], or 1[u_i ≥ 1 - p] where p > ½, with uniform u_i that
    are coupled by one of two copulas:

    - `"dirichlet"`: u_i = (1 - d_i)^{n-1}, d uniform on the simplex;
    - `"gaussian"`: u_i = Φ(x_i), x normal with correlations of -1/(n-1).

    Args:
        distribution: `"bernoulli"`, or another one with antithetic samples.
        samples: n, at least 2.
        copula: `"dirichlet"` or `"gaussian"`.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample, the distribution has no
            antithetic samples, or the copula is unknown.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> arms = tg.estimators.ARMS(samples=4)
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = arms(lambda z: 0.0 * z[:, 0] + 3.0, logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[0., 0.]], dtype=float32)

    Reference:
        Dimitriev, Zhou. ARMS: antithetic-REINFORCE-multi-sample gradient for
        binary variables. ICML 2021.
    """

    needs: ClassVar = (Antithetic,)
    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "bernoulli",
        samples: int = 4,
        *,
        copula: str = "dirichlet",
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self.copula = _checks.choice("copula", copula, list(COPULAS))

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        logits = tf.stop_gradient(parameters[0])
        log_q = tf.math.log_sigmoid(-tf.abs(logits))  # of the rarer value
        rare, factor = COPULAS[self.copula](self.samples, log_q, seed)
        ones = tf.cast(tf.not_equal(rare, logits > 0), tf.float32)
        samples = ones + nan_values(logits)
        samples.set_shape([self.samples, *logits.shape])
        rows = tf.concat(tf.unstack(samples, num=self.samples), 0)
        cost = fold(self.evaluate(cost_fn, rows), self.samples)
        value = tf.reduce_mean(cost, axis=0)
        advantage = (cost - value) / (self.samples - 1)
        # Σ_i (f(b_i) - f̄) = 0: there is nothing to subtract p from.
        (gradient,) = weigh(advantage, [rows])
        return attach(value, parameters, [factor * gradient])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "copula": self.copula}
