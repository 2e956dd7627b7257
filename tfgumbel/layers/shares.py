"""What examples, and their steps, contribute to the loss of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import ops


@dataclass
class Shares:
    """What examples, and their steps, contribute to the total of a batch.

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
        size = tf.shape(self.example)[0] * replicas
        self.batch = tf.cast(size, tf.float32)

    def steps_to_go(self, discount: float, correct: Any) -> tf.Tensor:
        """Returns the share of each step and all later ones, `[B, T]`.

        Not a number, if what should be `correct` is not: under XLA nothing
        else would tell.
        """
        to_go = ops.cost_to_go(self.steps, discount=discount)
        return tf.where(correct, to_go, tf.fill(tf.shape(to_go), np.nan))

    def weights_to_go(self) -> tf.Tensor:
        """Returns the weights of the examples, as of each step, `[B, T]`.

        Zero for what is drawn after the last step that counts.
        """
        weights = self.weights[:, None] * tf.ones_like(self.steps)
        if self.step_weights is None:
            return weights
        left = tf.cumsum(self.step_weights, axis=1, reverse=True) > 0.0
        return weights * tf.cast(left, tf.float32)

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
