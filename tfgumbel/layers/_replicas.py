"""What layers need to know of the replicas of a strategy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _saving
from tfgumbel.layers import _graphs


def replica() -> tuple[Any, int]:
    """The number of this replica, and how many there are."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


class OwnLosses:
    """The losses that a layer has added, each replica's by itself.

    Keras 3.12 to 3.15 keep them in one list, `Layer._losses`, that all replicas
    of a strategy fill and clear. Where replicas wait for each other in the
    forward pass, as for sums over the batch, one would meet another's losses
    in it, or find its own gone.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._of_replicas: dict[int, list[Any]] = {}
        self._weights: dict[int, Any] = {}
        self._of_masked_steps = False

    @staticmethod
    def _number() -> int:
        return int(tf.get_static_value(replica()[0]) or 0)

    def _own(self) -> list[Any]:
        return self._of_replicas.setdefault(self._number(), [])

    def weight(self, size: tf.Tensor) -> tf.Tensor:
        """The examples that the first of these losses was taken over.

        Args:
            size: Those of the next one, which may be the first.
        """
        known = self._weights.get(self._number())
        here = getattr(known, "graph", None) is _graphs.current()
        if known is None or not (here and self._own()):
            known = self._weights[self._number()] = tf.cast(size, tf.float32)
        return known

    def extend(self, losses: Any) -> None:
        """Adds losses of this replica."""
        self._own().extend(losses)
        self._of_masked_steps |= _saving.is_masked_step()

    def clear(self) -> None:
        """Forgets those of this replica."""
        self._own().clear()
        self._of_masked_steps = False

    def __getitem__(self, key: slice) -> list[Any]:
        """Those of this replica.

        Raises:
            ValueError: If one was added inside a loop, and is read outside, or
                in the cell of an RNN with a mask.
        """
        found = self._own()[key]
        if found and self._of_masked_steps:
            raise ValueError(
                f"Layer {self._layer.name!r} adds a loss, and was called in "
                "the cell of an RNN with a mask, which cells do not see, so "
                "that masked steps would count. Call the layer outside of the "
                "RNN, on the sequence of what the cell returns"
            )
        for loss in found:
            if _graphs.is_out_of_reach(loss):
                raise ValueError(
                    f"Layer {self._layer.name!r} adds a loss, and was called "
                    "inside a loop or a branch of a graph, such as the cell "
                    "of an RNN, which the loss cannot leave. Call the layer "
                    "on the whole sequence outside of the loop, or use an RNN "
                    "with unroll=True"
                )
        return found

    def __len__(self) -> int:
        """How many this replica has."""
        return len(self._own())


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
