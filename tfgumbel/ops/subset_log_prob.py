"""Log-probability of a subset of exactly k of n."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision
from tfgumbel.ops._bernoulli_sum import log_total
from tfgumbel.ops._subset_entropies import cross_entropy
from tfgumbel.ops._subset_size import (
    SubsetSize,
    per_row,
    rows,
    subset_logits,
    subset_size,
)
from tfgumbel.ops._tilt import tilt
from tfgumbel.ops.subset_marginals import row_marginals


def subset_log_prob(
    logits: Any, sample: Any, *, k: Any, axis: int = -1
) -> tf.Tensor:
    """log q(z) = z · logits - log Z of a subset of exactly k of n.

    q is the conditional Bernoulli distribution: of independent Bernoulli
    variables with these log-odds, given that exactly k of them are one;
    `sample_subset` draws from it. The k largest of logits plus Gumbel noise
    follow another one (Plackett-Luce): to score such a sample here is wrong.
    The gradient is the score z - μ.

    Args:
        logits: Log-odds of the items, with n items on `axis`.
        sample: z, zeros and ones of the same shape. Receives no gradient.
        k: Size of the subset, as in `subset_marginals`.
        axis: Axis of the items.

    Returns:
        Log-probability in nats, of the shape of the logits without `axis`, in
        float32 or wider. -inf for a sample of another size.

    Raises:
        TypeError: If the logits are not floating or k holds no integers.
        ValueError: If the axis is out of range, k is, or is of a wrong shape,
            n is not known, or the sample is not of the logits' shape.

    Example:

    >>> import tfgumbel as tg
    >>> z = [1.0, 0.0, 0.0, 1.0]
    >>> log_prob = tg.ops.subset_log_prob([0.0, 0.0, 0.0, 0.0], z, k=2)
    >>> round(float(log_prob), 4)  # -log 6
    -1.7918

    Reference:
        Ahmed, Zeng, Niepert, Van den Broeck. SIMPLE: a gradient estimator for
        k-subset sampling. ICLR 2023.
    """
    logits = subset_logits(logits, axis)
    size = subset_size(k, logits, axis)
    working = in_working_precision(logits)
    sample = _checks.of_logits("sample", sample, working)
    log_prob = _log_prob(rows(working, axis), rows(sample, axis), size)
    return per_row(log_prob, logits, axis)


def _log_prob(
    logits: tf.Tensor, sample: tf.Tensor, size: SubsetSize
) -> tf.Tensor:
    sample = tf.stop_gradient(sample)
    number = tf.reduce_sum(sample, axis=-1)
    low, high = (tf.cast(k, sample.dtype)[:, 0] for k in (size.low, size.high))
    of_size = (number > low - 0.5) & (number < high + 0.5)

    @tf.custom_gradient
    def log_prob(logits: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[:, None] * (sample - row_marginals(logits, size))

        found = tilt(logits, size)
        total = log_total(logits, found)
        value = -cross_entropy(logits, found, total, sample)
        return value + tf.math.log(tf.cast(of_size, value.dtype)), grad

    return log_prob(logits)
