"""Perturb-and-MAP subsets with the implicit maximum likelihood gradient."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision
from tfgumbel.ops._subset_size import subset_logits
from tfgumbel.ops.subset_mode import subset_mode


def implicit_mle(
    logits: Any, noise: Any, *, k: Any, step: Any = 1.0, axis: int = -1
) -> tf.Tensor:
    """The k largest of logits + noise, with the I-MLE gradient.

    Forward z = MAP(θ + ε), the k-hot of the k largest; backward, for an
    incoming gradient g,

        (MAP(θ + ε) - MAP(θ - λ g + ε)) / λ:

    what a small step against g would change in the sample. It is biased, with
    many zeros for a small λ. It is not linear in g, so that there is no
    derivative in forward mode: that is zero. With standard Gumbel noise z is
    `gumbel_top_k`'s, a Plackett-Luce subset. f must be differentiable.

    Args:
        logits: θ, scores of the items, with n items on `axis`.
        noise: ε, of the same shape.
        k: Size of the subset, as in `subset_marginals`, but no range.
        step: λ > 0, a number or a scalar tensor. It is for the g that comes
            in: a mean over a batch divides that by B, and a loss scale (of
            `mixed_float16`) multiplies it, which moves θ as much farther.
        axis: Axis of the items.

    Returns:
        Zeros and ones of the shape and dtype of the logits. An example with
        NaN is NaN.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If λ is not positive (a bad one inside a graph gives a NaN
            gradient), the axis or k is out of range, or the noise is not of
            the logits' shape.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> logits = tf.constant([1.0, 0.5, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     z = tg.ops.implicit_mle(logits, tf.zeros(3), k=1, step=2.0)
    >>> tape.gradient(z, logits, tf.constant([1.0, 0.0, 0.0])).numpy()
    array([ 0.5, -0.5,  0. ], dtype=float32)

    Reference:
        Niepert, Minervini, Franceschi. Implicit MLE: backpropagating through
        discrete exponential family distributions. NeurIPS 2021.
    """
    logits = subset_logits(logits, axis)
    if isinstance(k, tuple):
        raise ValueError(
            f"Argument `k` must be one size, no range, here. Received: k={k!r}"
        )
    working = in_working_precision(logits)
    noise = _checks.noise(noise, working)
    step = _checks.guarded_temperature(step, working.dtype, "step")

    @tf.custom_gradient
    def sample(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            keys = logits + noise
            # After `tf.py_function` it tells no shape.
            upstream = _checks.of_logits("upstream", upstream, logits)
            moved = subset_mode(keys - step * upstream, k=k, axis=axis)
            return (subset_mode(keys, k=k, axis=axis) - moved) / step

        return subset_mode(logits + noise, k=k, axis=axis), grad

    return tf.cast(sample(working), logits.dtype)
