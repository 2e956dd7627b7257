"""The costs that are still to come at each step of a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision


def cost_to_go(cost: Any, *, discount: Any = 1.0) -> tf.Tensor:
    r"""The discounted sum of the costs of this step and all later ones.

    $$g_t = \sum_{t' \ge t} \gamma^{t' - t} c_{t'}$$

    A sample drawn at step t cannot change what was paid before, so that
    g_t ∇log q(z_t) is, with γ = 1, an estimate of the same gradient as
    (Σ_t c_t) ∇log q(z_t), and one of less variance. γ < 1 lowers the variance
    further, and is a bias: late costs count for less.

    Args:
        cost: c, of shape `[B, T]`, B examples of T steps.
        discount: γ, in (0, 1].

    Returns:
        g, of shape `[B, T]`.

    Raises:
        TypeError: If cost is not floating.
        ValueError: If cost is not of shape `[B, T]`, or the discount is not
            in (0, 1].

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.cost_to_go([[1.0, 2.0, 4.0]], discount=0.5).numpy()
    array([[3., 4., 4.]], dtype=float32)

    Reference:
        Sutton, McAllester, Singh, Mansour. Policy gradient methods for
        reinforcement learning with function approximation. NIPS 1999.
    """
    cost = _checks.of_steps("cost", cost)
    discount = _checks.discount(discount)
    working = in_working_precision(cost)
    if discount == 1.0:
        return tf.cast(tf.cumsum(working, axis=1, reverse=True), cost.dtype)
    return tf.cast(_discounted(working, discount), cost.dtype)


def _discounted(cost: tf.Tensor, discount: float) -> tf.Tensor:
    """Sums over 1, 2, 4, ... steps, each made of two of the last.

    As exact as one step after the other, in the logarithm of their number, and
    what one of them costs reaches no later one.
    """
    count = tf.shape(cost)[1]

    def double(reach: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        later = tf.roll(total, -reach, axis=1)
        later = tf.where(tf.range(count) < count - reach, later, 0.0)
        power = tf.pow(
            tf.cast(discount, total.dtype), tf.cast(reach, total.dtype)
        )
        return 2 * reach, total + power * later

    # The gradient of a loop cannot leave XLA; that of a sum over later steps
    # is one over earlier steps.
    @tf.custom_gradient
    def summed(cost: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return tf.reverse(summed(tf.reverse(upstream, [1])), [1])

        _, total = tf.while_loop(
            lambda reach, _: reach < count, double, (1, cost)
        )
        return total, grad

    return summed(cost)
