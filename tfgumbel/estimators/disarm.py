"""The antithetic estimator that averages ARM's noise away."""

from __future__ import annotations

import tensorflow as tf

from tfgumbel.estimators.arm import ARM
from tfgumbel.estimators.estimator import register


@register("disarm")
class DisARM(ARM):
    """DisARM, or U2G: ½ [f(b) - f(b')] (-1)^{b'} 1[b ≠ b'] σ(|φ|).

    ARM's estimate, averaged over all noise that gives the same pair (b, b'):
    the variance is never above ARM's. Unbiased, with nothing to learn; f may
    be anything. Two evaluations of f per pair, in one batch.

    Args:
        distribution: `"bernoulli"`, or another one with antithetic samples.
        samples: S, number of pairs.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution has no antithetic samples.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> disarm = tg.estimators.DisARM()
    >>> logits = tf.zeros([1, 1])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = disarm(lambda z: z[:, 0], logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()
    array([[0.25]], dtype=float32)

    Reference:
        Dong, Mnih, Tucker. DisARM: an antithetic gradient estimator for
        binary latent variables. NeurIPS 2020. Yin, Ho, Yan, Qian, Zhou.
        Probabilistic best subset selection via gradient-based optimization.
        2020.
    """

    def direction(
        self,
        logits: tf.Tensor,
        uniform: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tf.Tensor:
        """½ (-1)^{b'} 1[b ≠ b'] σ(|φ|), where b - b' is ±1 or 0."""
        return 0.5 * (first - second) * tf.sigmoid(tf.abs(logits))
