"""Checks of a layer in graphs and under XLA."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    check,
    in_errors,
)
from tfgumbel.testing._subject import CALLS, Subject, bits


def _compiled(subject: Subject, jit: bool) -> Finding:
    """Two calls of one graph: other noise, the distribution of eager calls."""
    layer = subject.make()

    @tf.function(jit_compile=jit, autograph=False)
    def draw(batch: Any) -> tuple[Any, ...]:
        call = subject.call(layer, batch)
        # The cost of samplers is part of what must compile.
        return call.sample, subject.linear(call), *call.losses

    shares = subject.shares_noise
    batch = subject.batch if shares else subject.rows(256)
    prints = {bits(draw(batch)) for _ in range(CALLS if shares else 2)}
    if len(prints) == 1:
        raise Fault("two calls of one graph gave the same values")
    count = 6 if subject.drifts else 2
    samples = [subject.collected(lambda b: draw(b)[0]) for _ in range(count)]
    if subject.drifts:
        ends = (samples[0] ** 2, samples[-1] ** 2)
        if _measure.between_means(*ends) <= _measure.STANDARD_ERRORS:
            raise Fault(
                "what eager calls draw changes from call to call, as by a "
                "schedule, and what a graph draws does not"
            )
        return subject.most_dependent(samples)
    eager = subject.samples(subject.make())
    figures = [
        _measure.between_means(samples[1], eager),
        subject.most_dependent(samples).figure or 0.0,
    ]
    return in_errors(figures, "distance from eager calls")


@check(
    "graph",
    "A graph draws anew at each call, as eager calls do",
    "draw by TensorFlow, and count in variables: NumPy and Python act once, "
    "while the graph is traced",
)
def graph(subject: Subject) -> Finding:
    return _compiled(subject, jit=False)


@check(
    "xla",
    "Compiled by XLA it draws anew at each call, as eager calls do",
    "leave out what XLA cannot compile, as `tf.numpy_function`; where a "
    "sampler has no kernel, say `self.supports_jit = False`",
    quick=False,
)
def xla(subject: Subject) -> Finding:
    if not getattr(subject.layer, "supports_jit", True):
        raise NotApplicable("it says `supports_jit = False`")
    return _compiled(subject, jit=True)


CHECKS = (graph, xla)
