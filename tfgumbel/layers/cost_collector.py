"""Brings each example's cost to the samplers that drew for it.

A sampler cannot see the cost in its own backward pass: what arrives there is
∂L/∂z. So each `ReinforceSampler` that draws in a training step leaves its
log-probabilities with the collector of that step, and the model, once it
knows the cost of each example, settles them.

The collector is local to the thread: under a distribution strategy each
replica runs its step in a thread of its own, and a state kept on the layer
would mix the replicas' steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

_local = threading.local()


@dataclass
class Draw:
    """What a sampler leaves with the collector.

    Attributes:
        name: Name of the layer.
        sample: What it returned.
        log_prob: log q(sample) per example, `[B]`.
        surrogate: Maps costs `[B]` and weights `[B]` to the same costs with
            the score-function gradient attached.
    """

    name: str
    sample: tf.Tensor
    log_prob: tf.Tensor
    surrogate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class CostCollector:
    """Collects the draws of one training step; a context manager.

    Args:
        watch: Whether to record what is computed from the samples, so that
            `depends_on_sample` can answer.
    """

    def __init__(self, watch: bool = False) -> None:
        self.draws: list[Draw] = []
        self.returned: dict[str, tf.Tensor] = {}
        self.settled = False
        self._graph = _graph()
        self._tape = None
        if watch:
            self._tape = tf.GradientTape(
                persistent=True, watch_accessed_variables=False
            )

    def __enter__(self) -> CostCollector:
        self._outer = self.current()
        _local.collector = self
        if self._tape is not None:
            self._tape.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._tape is not None:
            self._tape.__exit__(*error)
        _local.collector = self._outer

    @staticmethod
    def current() -> CostCollector | None:
        """The collector of the training step that this thread is in."""
        return getattr(_local, "collector", None)

    def add(self, draw: Draw) -> None:
        """Takes a draw.

        One that Keras makes to learn shapes, while it builds a subclassed
        model inside its first training step, is no draw of the step.
        """
        if in_symbolic_scope():
            return
        if _graph() is not self._graph:
            raise ValueError(
                f"ReinforceSampler {draw.name!r} drew inside a `tf.function` "
                "or a loop of its own within the training step, where the "
                "cost of each example cannot reach it. Call it in the model's "
                "`call` itself, or set `return_log_prob=True`, return the "
                "log-probability, and join it with the cost by "
                "`ScoreFunctionCost`."
            )
        if self._tape is not None:
            self._tape.watch(draw.sample)
        self.draws.append(draw)

    def add_returned(self, name: str, log_prob: tf.Tensor) -> None:
        """Takes a log-probability that the sampler returned to the model."""
        if self._tape is not None and not in_symbolic_scope():
            self._tape.watch(log_prob)
            self.returned[name] = log_prob

    def depends_on_sample(self, value: tf.Tensor) -> bool:
        """Whether `value` was computed from some sample.

        In a graph by its operations, those without a gradient among them; in
        eager mode by the gradient alone.
        """
        return self.depends(value, [draw.sample for draw in self.draws])

    def depends(self, value: tf.Tensor, sources: list[tf.Tensor]) -> bool:
        """Whether `value` was computed from one of the tensors."""
        if self._tape is None or not (tf.is_tensor(value) and sources):
            return False
        if self._graph is not None:
            return _descends(value, sources)
        with self._tape.stop_recording():
            gradients = self._tape.gradient(value, sources)
        return any(gradient is not None for gradient in gradients)


def _descends(value: tf.Tensor, sources: list[tf.Tensor]) -> bool:
    """Whether one of the tensors is an ancestor of `value` in the graph."""
    wanted = {id(source.op) for source in sources}
    seen: set[int] = set()
    left = [value.op]
    while left:
        op = left.pop()
        if id(op) in wanted:
            return True
        if id(op) not in seen:
            seen.add(id(op))
            left += [tensor.op for tensor in op.inputs]
    return False


def _graph() -> Any:
    """The graph that is being built; `None` in eager mode."""
    if tf.executing_eagerly():
        return None
    return tf.compat.v1.get_default_graph()
