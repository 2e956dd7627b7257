"""The antithetic estimator that averages ARM's noise away."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel._precision import from_last, to_last
from tfgumbel.distributions import Antithetic, Categories, Parameters
from tfgumbel.estimators._categories import logits_and_axis, sample_of
from tfgumbel.estimators._category_tree import antithetic_pair, direction
from tfgumbel.estimators.algebra import repeat
from tfgumbel.estimators.arm import ARM
from tfgumbel.estimators.estimator import CostFn, register


@register("disarm")
class DisARM(ARM):
    """DisARM, or U2G: ½ [f(b) - f(b')] (-1)^{b'} 1[b ≠ b'] σ(|φ|).

    ARM's estimate, averaged over all noise that gives the same pair (b, b'):
    the variance is never above ARM's. Unbiased, with nothing to learn; f may
    be anything. Two evaluations of f per pair, in one batch.

    A variable of K categories is drawn by a balanced binary tree, whose leaves
    are the categories in their order and whose nodes are Bernoulli variables
    with antithetic noise. Where z and z' part, the node has the log-odds φ and
    the categories A and A' on its two sides, and the estimate in the logits is

        ½ [f(z) - f(z')] [e_z - e_{z'} - σ(-|φ|) (π_A - π_{A'})],

    with e_z a one-hot and π_A the softmax over A alone (DisARM-Tree). With K =
    2 it is the formula above.

    Args:
        distribution: `"bernoulli"`, `"categorical"`, or another one with
            antithetic samples or with categories.
        samples: S, number of pairs.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If the distribution has neither antithetic samples nor
            categories, or their number is unknown.

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
        binary latent variables. NeurIPS 2020. Coupled gradient estimators for
        discrete latent variables. NeurIPS 2021. Yin, Ho, Yan, Qian, Zhou.
        Probabilistic best subset selection via gradient-based optimization.
        2020.
    """

    needs: ClassVar = (Categories,)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of all samples."""
        if isinstance(self.distribution, Antithetic):
            return super().estimate(cost_fn, parameters, seed, context)
        logits, axis = logits_and_axis(self.distribution, parameters)
        repeated = repeat(tf.stop_gradient(logits), self.samples)
        rows = to_last(repeated, axis)
        pair = antithetic_pair(rows, seed)
        first, second = (
            sample_of(self.distribution, index, repeated, axis)
            for index in (pair.first, pair.second)
        )
        factor = from_last(direction(rows, pair), axis)
        return self._of_pairs(cost_fn, (first, second), factor, (logits,))

    def direction(
        self,
        logits: tf.Tensor,
        uniform: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
    ) -> tf.Tensor:
        """½ (-1)^{b'} 1[b ≠ b'] σ(|φ|), where b - b' is ±1 or 0."""
        return 0.5 * (first - second) * tf.sigmoid(tf.abs(logits))
