"""Record of a draw, to which the cost of its examples is attached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfgumbel import ops


@dataclass(eq=False)
class Draw:
    """Record of a draw that a `ReinforceSampler` leaves with a `CostCollector`.

    Attributes:
        sampler: The layer.
        sample: What it returned.
        log_prob: log q(sample) per example, `[B]`.
        learned: What its baseline's network says, `[B]`; `None` if it has no
            baseline.
        count: How often it had drawn before, where that matters.
        loop: The graph of the loop in which it drew; the collector sets it.
        step: Which step of the sequence it drew for; likewise.
        nodes: Those of functional models that it drew in, outermost first,
            where its order among others matters.
        before: The statistics of baselines before this training step, of
            those that were asked; the collector's.
    """

    sampler: Any
    sample: tf.Tensor
    log_prob: tf.Tensor
    learned: tf.Tensor | None = None
    count: tf.Tensor | None = None
    loop: Any = None
    step: Any = None
    nodes: list[Any] = field(default_factory=list)
    before: dict[Any, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.sampler.name

    def surrogate(self, cost: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the costs with the score-function gradient attached.

        The baseline then observes them, for the training steps that follow.

        Args:
            cost: Cost of each example, `[B]`.
            weights: Weight of each example, `[B]`.
        """
        baseline = self.sampler.baseline
        if baseline is not None and baseline not in self.before:
            self.before[baseline] = baseline.statistics()
        statistics = self.before.get(baseline)
        surrogate, signal = self.attached(cost, weights, statistics)
        if baseline is not None:
            baseline.observe(signal, weights)
        return surrogate

    def attached(
        self, cost: tf.Tensor, weights: tf.Tensor, statistics: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `surrogate` does, and the signal to observe.

        Args:
            cost: Cost of each example, `[B]`.
            weights: Weight of each example, `[B]`.
            statistics: Those of the baseline before this batch.
        """
        baseline = self.sampler.baseline
        if baseline is None:
            return ops.score_function_cost(cost, self.log_prob), cost
        return baseline.attached(
            cost, self.log_prob, self.learned, weights, statistics
        )
