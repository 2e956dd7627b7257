"""Shares of examples, and of their steps, in the loss of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfgumbel import ops


@dataclass
class Shares:
    """Shares of examples, and of their steps, in the total of a batch.

    The share of an example is its weight times ∂total/∂weight: sample weights,
    class weights, masks, loss weights and 1/B are in it.

    Attributes:
        example: Shares of the examples, `[B]`.
        weights: Weights of the examples, `[B]`.
        terms: For each of several losses, the tensors that it is computed
            from, and the examples' shares of it, `[B]`; for `credit="local"`.
        steps: Shares of the steps, `[B, T]`; for `credit="to_go"`.
        step_weights: Weights of the steps, `[B, T]`, if they have any.
    """

    example: tf.Tensor
    weights: tf.Tensor
    terms: list[tuple[list[tf.Tensor], tf.Tensor]] = field(default_factory=list)
    steps: tf.Tensor | None = None
    step_weights: tf.Tensor | None = None

    def __post_init__(self) -> None:
        # Now, outside any loop. Those of other replicas count.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        size = tf.size(self.example) * replicas
        self.batch = tf.cast(size, tf.float32)

    def steps_to_go(self, discount: float) -> tf.Tensor:
        """Returns the share of each step and all later ones, `[B, T]`."""
        return ops.cost_to_go(self.steps, discount=discount)

    def weights_to_go(self, discount: float) -> tf.Tensor:
        """Returns the weights of what is left at each step, `[B, T]`.

        A share to go, divided by these, is the mean cost of the steps that
        are left: of one size at every step, so that a baseline which knows
        nothing of the step can learn it. Zero after the last that counts.
        """
        weights = self.step_weights
        if weights is None:
            weights = self.weights[:, None] * tf.ones_like(self.steps)
        steps = tf.cast(tf.shape(weights)[1], tf.float32)
        return ops.cost_to_go(weights, discount=discount) / steps

    def local(self, depends: Any) -> tf.Tensor:
        """Returns the examples' shares of the losses that depend on a draw.

        Args:
            depends: Says whether a tensor does.
        """
        return tf.add_n(
            [tf.zeros_like(self.example)]
            + [
                share
                for tensors, share in self.terms
                if any(depends(tensor) for tensor in tensors)
            ]
        )
