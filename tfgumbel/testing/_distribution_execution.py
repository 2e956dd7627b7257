"""Checks of a distribution's parameters, seeds, precision and graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.distributions import Distribution
from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    check,
    packed,
    shortened,
)
from tfgumbel.testing._samples import Samples

EXTREMES = (-1e4, -30.0, 0.0, 30.0, 1e4)


@check(
    "extremes",
    "Extreme parameters give finite samples and log-probabilities",
    "map each parameter by a bijection that has no infinity: "
    "`distributions.positive`, `from_log`, `real`",
)
def extremes(subject: Samples) -> Finding:
    distribution = subject.distribution
    picks = subject.random.choice(EXTREMES, size=(256, len(subject.raw)))
    arrays = [np.repeat(a[None], 256, axis=0) for a in subject.raw]
    for i, name in enumerate(distribution.parameters):
        if name not in distribution.constants:
            arrays[i].T[...] = picks[:, i]
    parameters = distribution.constrain(packed(arrays))
    sample = distribution.sample(parameters, subject.seed())
    log_probs = distribution.log_probs(parameters, sample)
    for name, tensor in (("a sample", sample), ("log q", log_probs)):
        bad = ~np.isfinite(_measure.rows(tensor)).all(axis=1)
        if np.any(bad):
            raise Fault(
                f"for inputs {picks[bad][0].tolist()} {name} is not finite"
            )
    return Finding(f"inputs up to ±{EXTREMES[-1]:g}")


@check(
    "seeds",
    "The same seed gives the same sample, and another seed another",
    "draw by `tfgumbel.random` from the seed that is given",
)
def seeds(subject: Samples) -> Finding:
    draw, parameters = subject.distribution.sample, subject.parameters(512)
    one, again, other = (draw(parameters, s) for s in ([1, 2], [1, 2], [1, 3]))
    if not np.array_equal(one, again):
        raise Fault("one seed gave two samples")
    if np.array_equal(one, other):
        raise Fault("two seeds gave one sample")
    return Finding("512 examples")


@check(
    "half precision",
    "Half-precision inputs are computed in float32",
    "leave `constrain` to the base class, which casts first",
)
def half_precision(subject: Samples) -> Finding:
    distribution = subject.distribution
    for dtype in ("float16", "bfloat16"):
        inputs = subject.inputs(2, dtype)
        found = distribution.constrain(inputs)
        wide = tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), inputs)
        for one, other in zip(found, distribution.constrain(wide), strict=True):
            if one.dtype != tf.float32 or not np.array_equal(one, other):
                raise Fault(f"{dtype} inputs give {one.dtype.name} parameters")
    return Finding("float16 and bfloat16")


def _differs(subject: Samples, jit: bool) -> Finding:
    """log q in a graph of unknown batch size, against eager."""
    sample = subject.drawn[:64]

    def log_probs(*given: tf.Tensor) -> Any:
        parameters = subject.distribution.constrain(packed(given[:-1]))
        subject.distribution.sample(parameters, [1, 2])
        return subject.distribution.log_probs(parameters, given[-1])

    given = [*tf.nest.flatten(subject.inputs(64)), sample]
    graph = tf.function(
        log_probs,
        input_signature=None
        if jit
        else [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in given],
        jit_compile=jit,
        autograph=False,
    )
    exact = log_probs(*given)
    differs = np.abs(graph(*given) - exact) / (1.0 + np.abs(exact))
    return Finding("relative difference of log q", float(differs.max()), 1e-3)


@check(
    "graph",
    "A graph of any batch size gives the log-probability of eager mode",
    "take sizes from `tf.shape`, and compute with TensorFlow alone",
)
def graph(subject: Samples) -> Finding:
    return _differs(subject, jit=False)


@check(
    "xla",
    "XLA gives the log-probability of eager mode",
    "say `compiles = False` where a sampler has no kernel under XLA",
    quick=False,
)
def xla(subject: Samples) -> Finding:
    if not subject.distribution.compiles:
        raise NotApplicable("it says `compiles = False`")
    return _differs(subject, jit=True)


@check(
    "configuration",
    "The configuration makes the same distribution",
    "return every argument of the constructor from `get_config`, and name it "
    "in `options`",
)
def configuration(subject: Samples) -> Finding:
    distribution = subject.distribution
    config = distribution.get_config()
    again = type(distribution).from_config(config)
    if again != distribution or hash(again) != hash(distribution):
        raise Fault("from_config(get_config()) is another distribution")

    def result(one: Distribution, name: str) -> tf.Tensor:
        parameters = one.constrain(subject.inputs(64))
        if name == "log_probs":
            return one.log_probs(parameters, subject.drawn[:64])
        return one.infer(parameters, name, lambda: [1, 2])

    for name in (*distribution.inference, "sample", "log_probs"):
        if not np.array_equal(result(distribution, name), result(again, name)):
            raise Fault(f"the one that is made from it has another {name}")
    try:
        named = distributions.get(distributions.serialize(distribution))
    except (TypeError, ValueError) as error:
        raise NotApplicable(
            f"it is not registered: {shortened(error, 60)}"
        ) from error
    if named != distribution:
        raise Fault("its serialised form is another distribution")
    return Finding(f"{len(config)} entries")


CHECKS = (extremes, seeds, half_precision, graph, xla, configuration)
