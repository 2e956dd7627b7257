"""Brings each example's cost to the samplers that drew for it.

A sampler cannot see the cost in its own backward pass: what arrives there is
∂L/∂z. So each `ReinforceSampler` that draws in a training step leaves its
log-probabilities with the collector of that step, and the model, once it
knows the cost of each example, settles them.

What is drawn inside a loop, such as a rolled `keras.layers.RNN`, cannot be
left with anyone: its log-probability exists in the loop only. There the cost
goes to the draw instead. Its gradient function is called when the gradient of
the loop is built, by which time the costs are known, and a tensor from outside
may be used inside.

The collector is local to the thread: under a distribution strategy each
replica runs its step in a thread of its own, and a state kept on the layer
would mix the replicas' steps.
"""

from __future__ import annotations

import threading
from typing import Any

import tensorflow as tf

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from tfgumbel._saving import is_tried, running_nodes
from tfgumbel.layers import _graphs, sampling_scope
from tfgumbel.layers._credit import Credit
from tfgumbel.layers.draw import Draw
from tfgumbel.layers.shares import Shares

_local = threading.local()


class CostCollector:
    """Collects the draws of one training step; a context manager.

    Args:
        watch: Whether to record what is computed from the samples, so that
            `depends_on_sample` can answer.

    Attributes:
        draws: The draws outside loops.
        looped: Those inside.
        settled: Whether the costs are known.
    """

    def __init__(self, watch: bool = False) -> None:
        self.draws: list[Draw] = []
        self.looped: list[Draw] = []
        self.returned: dict[str, tf.Tensor] = {}
        self.settled = False
        self._graph = _graphs.current()
        self._credit: Credit | None = None
        # Of what a baseline is asked for before it observes this batch.
        self._statistics: dict[Any, tuple[tf.Tensor, tf.Tensor]] = {}
        # Of loops alone: draws before each; the gradient that comes into the
        # total; draws that a gradient has reached; what baselines observe.
        self._starts: dict[Any, tf.Tensor] = {}
        self._upstream: tf.Tensor | None = None
        self._reached: set[Draw] = set()
        self._probes: dict[Any, tf.Tensor] = {}
        self._sums: dict[Any, list[tf.Tensor]] = {}
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

    @property
    def all_draws(self) -> list[Draw]:
        """The draws outside loops, then those inside."""
        return [*self.draws, *self.looped]

    def add(self, draw: Draw) -> tf.Tensor:
        """Takes a draw; returns its sample, to be used in its place.

        One that Keras makes to learn shapes, as of a cell, is no draw of the
        step.
        """
        if is_tried():
            return draw.sample
        draw.before = self._statistics
        inner = self._graphs_inside(draw)
        if inner:
            return self._add_in_loop(draw, inner[-1])
        if self._tape is not None:
            self._tape.watch(draw.sample)
        if draw.sampler.credit == "to_go":
            draw.nodes = running_nodes()
        self.draws.append(draw)
        return draw.sample

    def _graphs_inside(self, draw: Draw) -> list[Any]:
        """The graphs from here to the training step's, innermost first."""
        graph, inner = _graphs.current(), []
        while graph is not self._graph:
            if self._graph is None or not _graphs.is_control_flow(graph):
                raise ValueError(
                    f"ReinforceSampler {draw.name!r} drew inside a "
                    "`tf.function` of its own within the training step, where "
                    "the cost of each example cannot reach it. Call it in the "
                    "model's `call` itself, or in a loop there, or set "
                    "`return_log_prob=True`, return the log-probability, and "
                    "join it with the cost by `ScoreFunctionCost`."
                )
            inner.append(graph)
            graph = graph.outer_graph
        return inner

    def _add_in_loop(self, draw: Draw, loop: Any) -> tf.Tensor:
        draw.loop = loop
        if draw.count is not None:
            draw.step = draw.count - self._start(draw)
        self.looped.append(draw)
        inputs = [draw.log_prob]
        if draw.sampler.baseline is not None:
            inputs += [draw.learned, self._probe(draw.sampler.baseline)]

        @tf.custom_gradient
        def credited(sample, *inputs):
            def grad(_):
                return None, *self._gradients(draw, *inputs)

            return tf.identity(sample), grad

        return credited(draw.sample, *inputs)

    def _start(self, draw: Draw) -> tf.Tensor:
        """How often a sampler had drawn before the loop."""
        scope = sampling_scope.current()
        if scope is not None and scope.seed is not None:
            raise ValueError(
                f'ReinforceSampler {draw.name!r} with credit="to_go" counts '
                "the steps of a loop by its own seed, and cannot in a "
                "SamplingScope that has one. Train without the scope."
            )
        key = draw.sampler, draw.loop
        if key not in self._starts:
            with self._graph.as_default():
                self._starts[key] = draw.sampler.count_draws()
        return self._starts[key]

    def _probe(self, baseline: Any) -> tf.Tensor:
        """Zeros from outside all loops, whose gradient is to be observed."""

        @tf.custom_gradient
        def heard(zeros):
            def grad(sums):
                self._sums.setdefault(baseline, []).append(sums)
                return tf.zeros_like(sums)

            return tf.identity(zeros), grad

        if baseline not in self._probes:
            with self._graph.as_default():
                self._probes[baseline] = heard(baseline.probe())
        return self._probes[baseline]

    def _gradients(
        self, draw: Draw, log_prob: Any, learned: Any = None, probe: Any = None
    ) -> list[tf.Tensor]:
        """The gradients of a draw; called in the loop of the gradient."""
        if self._upstream is None:
            raise ValueError(
                f"ReinforceSampler {draw.name!r} drew inside a loop, and "
                "another loss than the model's own is computed from it, whose "
                "gradient comes first. Only what `compile(loss=...)` was given "
                "can be brought to a draw inside a loop."
            )
        self._reached.add(draw)
        sources = [log_prob] if learned is None else [log_prob, learned]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            value, sums = self._value(draw, log_prob, learned)
        found = tape.gradient(value, sources, output_gradients=self._upstream)
        return found if probe is None else [*found, sums]

    def settle(self, shares: Shares, total: tf.Tensor) -> tf.Tensor:
        """Returns the total with the gradients of all draws attached.

        Args:
            shares: What each example contributes to the total.
            total: The loss of the batch, a scalar.
        """
        self.settled = True
        counts: dict[Any, int] = {}
        for draw in self.draws:
            draw.step = counts.get(draw.sampler, 0)
            counts[draw.sampler] = draw.step + 1
        self._credit = Credit(shares, self.all_draws, self._graph, self._starts)
        for draw in self.all_draws:
            baseline = draw.sampler.baseline
            if baseline is not None and baseline not in self._statistics:
                self._statistics[baseline] = baseline.statistics()
        zero = tf.zeros([])
        for draw in self.draws:
            value, sums = self._value(draw, draw.log_prob, draw.learned)
            zero += value - tf.stop_gradient(value)
            if sums is not None:
                self._sums.setdefault(draw.sampler.baseline, []).append(sums)
        total += tf.cast(zero, total.dtype)
        if not self.looped:
            self._observe()
            return total
        return self._heard(total)

    def _value(
        self, draw: Draw, log_prob: tf.Tensor, learned: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """A scalar with the draw's gradient, and what its baseline observes.

        Inside the loop of a gradient, log q and the baseline have other
        tensors than in the draw.
        """
        assert self._credit is not None
        cost, weights = self._credit.cost_of(draw)
        baseline = draw.sampler.baseline
        surrogate, signal = Draw(
            draw.sampler, draw.sample, log_prob, learned
        ).attached(cost, weights, self._statistics.get(baseline))
        value = tf.reduce_sum(weights / self._credit.batch * surrogate)
        return value, baseline and baseline.sums(signal, weights)

    def _heard(self, total: tf.Tensor) -> tf.Tensor:
        """The total, whose incoming gradient is kept for the loops.

        It carries what comes after the loss: the scale of a loss in half
        precision, the share of a replica. The loops are given a gradient of
        zeros, for that of the loss need not reach them: it may have none.
        """
        leaving = [
            tensor
            for loop in {draw.loop for draw in self.looped}
            for tensor in _graphs.leaving(self._graph, loop)
        ]

        @tf.custom_gradient
        def heard(total, *leaving):
            def grad(upstream):
                self._upstream = tf.cast(upstream, tf.float32)
                return upstream, *map(tf.zeros_like, leaving)

            return tf.identity(total), grad

        return heard(total, *leaving)

    def _observe(self) -> None:
        for baseline, sums in self._sums.items():
            baseline.learn(tf.add_n(sums))

    def finish(self) -> None:
        """Ends a training step whose gradient has been computed.

        Raises:
            ValueError: If a draw in a loop was not reached by it.
        """
        lost = {d.name for d in self.looped if d not in self._reached}
        if lost:
            raise ValueError(
                f"The samplers {sorted(lost)} drew inside a loop, and the "
                "gradient of the loop does not reach their samples there, so "
                "that they would not learn. A sample must leave the loop by "
                "operations that have a gradient: use the one-hot sample "
                "itself rather than its `argmax`, or return it from the loop "
                "and add zero times its sum to the output. (If nothing before "
                "the sampler is to learn, set its `trainable=False`.)"
            )
        if self.looped:
            self._observe()

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
        return self.depends(value, [draw.sample for draw in self.all_draws])

    def may_depend_on_sample(self, value: tf.Tensor) -> bool:
        """Whether `value` is not known to be independent of the samples."""
        samples = [draw.sample for draw in self.all_draws]
        return self._graph is None or _graphs.descends(
            self._graph, value, samples
        )

    def depends(self, value: tf.Tensor, sources: list[tf.Tensor]) -> bool:
        """Whether `value` was computed from one of the tensors."""
        if self._tape is None or not (tf.is_tensor(value) and sources):
            return False
        if self._graph is not None:
            return _graphs.descends(self._graph, value, sources)
        with self._tape.stop_recording():
            gradients = self._tape.gradient(value, sources)
        return any(gradient is not None for gradient in gradients)
