"""Cross-entropies of subset distributions, on tilted log-odds.

-log q(z) is that of independent Bernoulli variables, less what is known of
their number. All terms are of the result's own size, however large the logits.
"""

from __future__ import annotations

import tensorflow as tf

from tfgumbel.ops._tilt import Tilt


def cross_entropy(
    logits: tf.Tensor, found: Tilt, log_total: tf.Tensor, means: tf.Tensor
) -> tf.Tensor:
    """-E log q(z), `[R]`, for z with these means `[R, n]`, or a z itself.

    The logits may have one row for all.
    """
    log_odds = found.log_odds(logits)
    if logits.shape[0] == 1:
        log_odds = tf.broadcast_to(log_odds, tf.shape(means))
    of_items = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=means, logits=log_odds
    )
    entropy = tf.reduce_sum(of_items, axis=-1)
    if not found.size.fixed:
        extra = tf.reduce_sum(means, axis=-1) - found.centre[:, 0]
        entropy += found.amount[:, 0] * extra
    return entropy + tf.cast(log_total, logits.dtype)
