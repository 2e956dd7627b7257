"""The score-function (REINFORCE) estimator as an op on per-example costs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision


def score_function_cost(
    cost: Any, log_prob: Any, *, baseline: Any = 0.0
) -> tf.Tensor:
    r"""The cost, unchanged, with the score-function gradient attached.

    Estimates ∇_φ E_{z~q_φ} f(z) by (f(z) - b) ∇_φ log q_φ(z), without bias
    as long as the baseline b does not depend on z. f need not be
    differentiable. For an incoming gradient g (which carries 1/B, sample
    weights and loss scale) the gradients are

    | input | gradient |
    |---|---|
    | cost | g |
    | log_prob | g · (cost - baseline) |
    | baseline | -2 · \|g\| · (cost - baseline) |

    so that the same backward pass trains a learned baseline by least squares.
    A second derivative taken through this op is an unbiased estimate too, also
    where the cost itself depends on φ (as in DiCE, Foerster et al. 2018).
    Half precision is computed in float32.

    Args:
        cost: f(z) per example, float tensor of shape `[B]`.
        log_prob: log q(z) per example in nats, shape `[B]`.
        baseline: b, of shape `[B]` or a scalar. What it is not to train,
            such as a decoder whose cost at the mode is b, is kept out by
            `tf.stop_gradient`.

    Returns:
        `cost`, of shape `[B]`.

    Raises:
        TypeError: If cost or log_prob is not floating.
        ValueError: If cost or log_prob is not of shape `[B]`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> log_prob = tf.constant([-0.7])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(log_prob)
    ...     cost = tg.ops.score_function_cost([5.0], log_prob, baseline=3.0)
    >>> tape.gradient(cost, log_prob).numpy()
    array([2.], dtype=float32)

    Reference:
        Williams. Simple statistical gradient-following algorithms for
        connectionist reinforcement learning. 1992.
    """
    cost = _checks.per_example("cost", cost)
    log_prob = _checks.per_example("log_prob", log_prob)
    if not cost.shape.is_compatible_with(log_prob.shape):
        raise ValueError(
            "Arguments `cost` and `log_prob` must hold one value per example "
            f"each. Received: cost of shape {cost.shape} and log_prob of "
            f"shape {log_prob.shape}"
        )
    working = in_working_precision(cost)
    shape = tf.shape(working)
    baseline = tf.cast(baseline, working.dtype)
    _checks.broadcastable("baseline", baseline.shape, working.shape)
    baseline = tf.broadcast_to(baseline, shape)
    # Sizes unknown until now meet here, and must agree.
    log_prob = tf.reshape(tf.cast(log_prob, working.dtype), shape)
    return tf.cast(_surrogate(working, log_prob, baseline), cost.dtype)


@tf.custom_gradient
def _surrogate(*tensors):
    def grad(upstream):
        # Those of this graph: a second derivative is taken in another one, from
        # where the first is out of reach.
        cost, log_prob, baseline = map(tf.identity, tensors)
        # Not `cost` but the surrogate again: its own dependence on log_prob
        # is what a second derivative needs.
        advantage = _surrogate(cost, log_prob, baseline) - tf.stop_gradient(
            baseline
        )
        # One, whose derivative is that of the sample's own probability.
        one = _surrogate(tf.ones_like(cost), log_prob, tf.zeros_like(cost))
        return (
            upstream * one,
            upstream * advantage,
            -2.0 * tf.abs(upstream) * (cost - baseline),
        )

    # A derivative inside would be taken for that of the whole, forwards.
    return tf.stop_gradient(tensors[0]), grad
