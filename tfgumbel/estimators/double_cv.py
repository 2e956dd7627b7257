"""Leave-one-out REINFORCE with a linear control variate on top."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.distributions import Mean, Parameters, per_example
from tfgumbel.estimators.algebra import (
    NOTHING_BY_ITSELF,
    attach,
    attach_weights,
    fold,
    mean_of_others,
    mean_of_samples,
    repeat,
    score,
    squared_norm,
    weigh,
)
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("double_cv")
class DoubleCV(Estimator):
    """Double control variates: RLOO of a cost with a linear term.

        1/S Σ_s (h_s - mean_{t≠s} h_t) ∇log q(z_s) - α ḡᵀ ∇μ,
        h_s = f(z_s) + α g_sᵀ (z_s - μ)

    μ = E z, g_s is the mean of ∇f over the *other* samples and ḡ that over
    all. The linear term enters twice: as a control variate of every cost, whose
    expectation the last term takes away again, and in the baselines of the
    others, where its mean is zero. Unbiased for every α, which is learned by
    descending the mean square of the estimate; α = 0 is RLOO, and α = -1 is
    without variance where f is linear. f must be differentiable. S evaluations
    of f, in one batch, with their gradient.

    Args:
        distribution: One with a mean, such as `"categorical"`.
        samples: S, at least 2.
        alpha: α to begin with.
        learn_alpha: Whether α is learned.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample; at the call, if the cost has
            no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> double_cv = tg.estimators.DoubleCV("bernoulli", alpha=-1.0)
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = double_cv(lambda z: 4.0 * z[:, 0], logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[1., 0.]], dtype=float32)

    Reference:
        Titsias, Shi. Double control variates for gradient estimation in
        discrete latent variable models. AISTATS 2022.
    """

    needs: ClassVar = (Mean,)
    needs_gradient: ClassVar[bool] = True
    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        *,
        alpha: float = 0.0,
        learn_alpha: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self._arguments = {
            "alpha": _checks.finite_number("alpha", alpha),
            "learn_alpha": learn_alpha,
        }
        self.alpha = self.add_scalar("alpha", alpha, learn_alpha)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        count, weights = self.samples, self.trainable_weights
        repeated = repeat(parameters, count)
        sample = self.draw(repeated, seed)
        cost, slope = self.evaluate_with_slope(cost_fn, sample)
        scores = score(self.distribution, repeated, sample)
        mean, pull = self._mean(parameters)
        others = mean_of_others(slope, count)
        linear = per_example(others * (sample - repeat(mean, count)))
        path = pull(mean_of_samples(slope, count))
        with tf.GradientTape(persistent=True, **NOTHING_BY_ITSELF) as learning:
            learning.watch([weight.value for weight in weights])
            alpha = tf.convert_to_tensor(self.alpha)
            signal = tf.stop_gradient(cost) + alpha * linear
            signal = fold(signal - mean_of_others(signal, count), count)
            noisy = weigh(signal / count, scores)
            gradients = [
                a - alpha * b for a, b in zip(noisy, path, strict=True)
            ]
            square = squared_norm(gradients)
        value = mean_of_samples(cost, count)
        value = attach_weights(value, weights, learning, square)
        return attach(value, parameters, gradients)

    def _mean(self, parameters: Parameters) -> tuple[tf.Tensor, Any]:
        """μ, and the function that maps g to gᵀ ∇μ in each parameter."""
        distribution = self.distribution
        assert isinstance(distribution, Mean)
        parameters = tuple(map(tf.stop_gradient, parameters))
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(parameters)
            mean = distribution.mean(parameters)

        def pull(slope: tf.Tensor) -> list[tf.Tensor]:
            return tape.gradient(
                mean,
                parameters,
                output_gradients=slope,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return tf.stop_gradient(mean), pull

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **self._arguments}
