"""What layers need to know of the replicas of a strategy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def replica() -> tuple[Any, int]:
    """The number of this replica, and how many there are."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def summed(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The sums over the replicas, with their gradients.

    The gradient of a sum over replicas is the sum of the gradients that come
    back to them. Keras divides what each replica adds to the loss by their
    number, so that a function of these sums that all replicas add counts once.
    """
    if replica()[1] == 1:
        return values
    names = list(values)
    context = tf.distribute.get_replica_context()
    sums = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [values[name] for name in names]
    )
    return dict(zip(names, sums, strict=True))
