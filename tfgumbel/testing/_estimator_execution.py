"""Checks of an estimator's shapes, seeds, graphs, weights and saving."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.testing._problem import EXAMPLES, Estimates, Problem, quadratic
from tfgumbel.testing._run import Fault, Finding, NotApplicable, check


@check(
    "shapes",
    "Variables may have any axes",
    "reduce over all axes but the first, by `algebra.per_example` or "
    "`weigh`, and no fixed number of them",
)
def shapes(problem: Problem) -> Finding:
    distribution = problem.distribution
    last = [3] if distribution.event_rank else []
    tried = []
    for axes in ([], [2], [2, 2]):
        size = [4, *axes, *last]
        inputs = tuple(
            tf.fill([4] + [1] * len(axes), 2.0)
            if name in distribution.constants
            else tf.constant(
                problem.random.uniform(-0.5, 0.5, size), tf.float32
            )
            for name in distribution.parameters
        )
        inputs = inputs if len(inputs) > 1 else inputs[0]
        try:
            distribution.constrain(inputs)
        except ValueError:  # The distribution's own refusal.
            continue
        estimator = type(problem.estimator).from_config(
            problem.estimator.get_config()
        )
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = estimator(_of_any_shape, inputs, [1, 2])
        if value.shape != (4,) or value.dtype != tf.float32:
            raise Fault(
                f"for inputs of shape {size} the value is {value.dtype.name} "
                f"of shape {tuple(value.shape)}, not float32 [B]"
            )
        for one in tf.nest.flatten(tape.gradient(value, inputs)):
            if one is not None and not np.all(np.isfinite(one)):
                raise Fault(f"for inputs of shape {size} it is not finite")
        tried.append(str(size))
    return Finding(", ".join(tried))


def _of_any_shape(z: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.reshape(z, [tf.shape(z)[0], -1]) ** 2, axis=1)


@check(
    "evaluations",
    "The cost is evaluated as often as `evaluations` says",
    "return from `evaluations` how many rows the cost gets for an example",
)
def evaluations(problem: Problem) -> Finding:
    rows: list[int] = []

    def counted(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        rows.append(len(z))
        return quadratic(z, w)

    estimator = problem.make()
    problem.estimates(estimator, 2, cost=counted)
    each = sum(rows) / (2 * EXAMPLES)
    if each != estimator.evaluations:
        raise Fault(
            f"{each:g} for each example, where it says {estimator.evaluations}"
        )
    return Finding(f"{estimator.evaluations} for each example")


@check(
    "seeds",
    "The same seed gives the same estimate, and another seed another",
    "draw by `tfgumbel.random` from the seed that is given; `split` it where "
    "you draw more than once",
)
def seeds(problem: Problem) -> Finding:
    one, again, other = (
        problem.estimates(problem.make(), 64, seed=seed)
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    if not np.array_equal(one.parameters, again.parameters):
        raise Fault("one seed gave two estimates")
    if problem.estimator.exact:
        return Finding("it is exact")
    if np.array_equal(one.parameters, other.parameters):
        raise Fault("two seeds gave one estimate")
    return Finding("64 of each example")


@check(
    "control variates",
    "What the estimator learns gets a gradient, and nothing that is not finite",
    "attach the objective of a control variate by `algebra.attach_weights`",
)
def control_variates(problem: Problem) -> Finding:
    estimator = problem.make()
    if not estimator.trainable_variables:
        raise NotApplicable("it has nothing to learn")
    with tf.GradientTape() as tape:
        value = problem.call(
            estimator, problem.inputs(16), problem.tiled(problem.weights, 16)
        )
    sources = [v.value for v in estimator.trainable_variables]
    for variable, one in zip(
        estimator.trainable_variables,
        tape.gradient(value, sources),
        strict=True,
    ):
        if one is None:
            raise Fault(f"{variable.path} gets none")
        if not np.all(np.isfinite(one)):
            raise Fault(f"that of {variable.path} is not finite")
    return Finding(f"{len(sources)} weights")


@check(
    "extremes",
    "Extreme inputs give finite estimates",
    "compute log-probabilities from logits, never as the log of a probability",
)
def extremes(problem: Problem) -> Finding:
    signs = problem.random.choice([-1.0, 0.0, 1.0], size=(8, 64))
    inputs = tuple(
        tf.constant(a[[0] * 8])
        if name in problem.distribution.constants
        else tf.reshape(
            1e4 * tf.constant(signs[:, : a[0].size], tf.float32),
            [8, *a.shape[1:]],
        )
        for name, a in zip(
            problem.distribution.parameters, problem.raw, strict=True
        )
    )
    inputs = inputs if len(inputs) > 1 else inputs[0]
    weights = tf.constant(problem.weights[[0] * 8])
    estimator = problem.make()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = problem.call(estimator, inputs, weights)
    for one in [value, *tf.nest.flatten(tape.gradient(value, inputs))]:
        if one is not None and not np.all(np.isfinite(one)):
            raise Fault("for inputs of ±10000 it is not finite")
    return Finding("inputs of ±10000")


@check(
    "half precision",
    "Half-precision inputs are computed in float32",
    "leave `__call__` to the base class, which casts first",
)
def half_precision(problem: Problem) -> Finding:
    weights = problem.tiled(problem.weights, 8)

    def run(dtype: str) -> Any:
        half = tf.nest.map_structure(
            lambda t: tf.cast(t, "bfloat16"), problem.inputs(8)
        )
        inputs = tf.nest.map_structure(lambda t: tf.cast(t, dtype), half)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = problem.call(problem.make(), inputs, weights)
        return value, tf.nest.flatten(tape.gradient(value, inputs))

    (half, narrow), (full, wide) = run("bfloat16"), run("float32")
    if half.dtype != tf.float32 or not np.array_equal(half, full):
        raise Fault("the value is another than that of float32")
    for one, other in zip(narrow, wide, strict=True):
        if one is not None and not np.allclose(
            tf.cast(one, tf.float32), other, rtol=0.02, atol=0.01
        ):
            raise Fault("the gradient is another than that of float32")
    return Finding("bfloat16")


def _compiled(problem: Problem, jit: bool) -> Estimates:
    estimator = problem.make()
    inputs, weights = problem.inputs(8), problem.tiled(problem.weights, 8)
    learned = problem.learned(tf.nest.flatten(inputs))
    places = [
        i
        for i, t in enumerate(tf.nest.flatten(inputs))
        if any(t is one for one in learned)
    ]

    @tf.function(jit_compile=jit, autograph=False)
    def run(inputs: Any, weights: tf.Tensor, seed: tf.Tensor) -> Any:
        flat = tf.nest.flatten(inputs)
        sources = [flat[i] for i in places]
        with tf.GradientTape() as tape:
            tape.watch([*sources, weights])
            value = problem.call(estimator, inputs, weights, seed)
        zero = tf.UnconnectedGradients.ZERO
        found = tape.gradient(
            value, [*sources, weights], unconnected_gradients=zero
        )
        return value, found

    value, found = run(inputs, weights, tf.constant([1, 2]))
    rows = [np.reshape(g, [len(value), -1]) for g in found]
    return Estimates(
        np.asarray(value)[:, None], np.concatenate(rows[:-1], 1), rows[-1]
    )


@check(
    "graph",
    "A graph gives the estimate of eager mode",
    "compute with TensorFlow alone, and take sizes from `tf.shape`",
)
def graph(problem: Problem) -> Finding:
    eager = problem.estimates(problem.make(), 8, seed=[1, 2])
    differs = [
        np.max(np.abs(one - other)) / (np.max(np.abs(one)) + 1e-3)
        for one, other in zip(eager, _compiled(problem, False), strict=True)
    ]
    return Finding("relative difference", float(max(differs)), 1e-3)


@check(
    "xla",
    "It compiles under XLA, with finite estimates",
    "leave out what XLA cannot compile, as `tf.py_function`",
    quick=False,
)
def xla(problem: Problem) -> Finding:
    if not problem.distribution.compiles:
        raise NotApplicable("the sampler of its distribution has no kernel")
    found = _compiled(problem, True)
    if not all(np.all(np.isfinite(part)) for part in found):
        raise Fault("it is not finite")
    if not np.any(found.parameters):
        raise Fault("the gradient is zero")
    return Finding("finite")


@check(
    "configuration",
    "Configuration and weights give the same estimate",
    "return every argument of the constructor from `get_config`, next to "
    "those of `super()`",
)
def configuration(problem: Problem) -> Finding:
    estimator = problem.make()
    config = estimator.get_config()
    again = type(estimator).from_config(config)
    if again.get_config() != config:
        raise Fault("the one that is made from it has another configuration")
    problem.call(again, problem.inputs(4), problem.tiled(problem.weights, 4))
    for one, other in zip(again.variables, estimator.variables, strict=True):
        one.assign(other)
    found, expected = (
        problem.estimates(e, 8, seed=[1, 2]) for e in (again, estimator)
    )
    if not np.array_equal(found.parameters, expected.parameters):
        raise Fault("the one that is made from it gives another estimate")
    try:
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(estimator)
        )
    except (TypeError, ValueError) as error:
        raise NotApplicable(
            f"the same estimate, but it is not registered: {error}"
        ) from error
    return Finding(f"{len(config)} entries")


CHECKS = (
    shapes,
    evaluations,
    seeds,
    control_variates,
    extremes,
    half_precision,
    graph,
    xla,
    configuration,
)
