"""Checks of an estimator's shapes, seeds, graphs, weights and saving."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.estimators import algebra
from tfgumbel.testing import _measure
from tfgumbel.testing._problem import EXAMPLES, Estimates, Problem, quadratic
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    changed,
    check,
    in_errors,
    packed,
    shortened,
)

ROWS = 1024
"""How many of each example the check of shapes takes."""


@check(
    "shapes",
    "Variables may have any axes",
    "reduce over all axes but the first, by `algebra.per_example` or "
    "`weigh`, and no fixed number of them",
)
def shapes(problem: Problem) -> Finding:
    distribution = problem.distribution
    vectors = distribution.event_rank
    unbiased = problem.estimator.unbiased
    known = unbiased and problem.estimator.objective == "expected cost"
    tried, worst = [], (0.0, "")
    # One of two categories may be computed in another way.
    for *axes, last in ([3], [2, 3], [2, 2, 3], [2, 2])[: 4 if vectors else 3]:
        size = [4, *axes, *([last] if vectors else [])]
        inputs = [
            tf.fill([4] + [1] * len(axes), 2.0)
            if name in distribution.constants
            else tf.constant(
                problem.random.uniform(-0.5, 0.5, size), tf.float32
            )
            for name in distribution.parameters
        ]
        try:
            distribution.constrain(inputs)
        except ValueError:  # The distribution's own refusal.
            continue
        estimator = type(problem.estimator).from_config(
            problem.estimator.get_config()
        )
        found = _of_this_shape(estimator, inputs, ROWS)
        if known:
            reference = problem.reference
            rows = 1 if reference.exact else ROWS
            exact = _of_this_shape(reference, inputs, rows)
            worst = max(worst, (_mean_distance(found, exact), str(size)))
        tried.append(str(size))
    figure, where = worst
    at = f", for {where}" if figure > 0.0 else ""
    return Finding(
        f"{', '.join(tried)}; standard errors{at}",
        figure,
        _measure.STANDARD_ERRORS,
    )


def _of_this_shape(
    estimator: Any, inputs: list[tf.Tensor], count: int
) -> np.ndarray:
    """Gradients of this many of each of four examples, `[4 · count, n]`."""
    size = inputs[-1].shape
    repeated = algebra.repeat(tuple(inputs), count)
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        value = estimator(_of_any_shape, packed(repeated), [1, 2])
    if value.shape != (4 * count,) or value.dtype != tf.float32:
        raise Fault(
            f"for inputs of shape {size} the value is {value.dtype.name} "
            f"of shape {tuple(value.shape)}, not float32 [B]"
        )
    rows = [
        np.reshape(gradient, [4 * count, -1])
        for gradient in tape.gradient(value, repeated)
        if gradient is not None
    ]
    if not np.all(np.isfinite(np.concatenate(rows, axis=1))):
        raise Fault(f"for inputs of shape {size} it is not finite")
    return np.concatenate(rows, axis=1)


def _of_any_shape(z: tf.Tensor) -> tf.Tensor:
    flat = tf.reshape(z, [tf.shape(z)[0], -1])
    weights = tf.cos(2.0 * tf.range(tf.shape(flat)[1], dtype=flat.dtype))
    return tf.square(tf.reduce_sum(tf.tanh(flat) * weights, axis=1) + 0.4)


def _mean_distance(found: np.ndarray, exact: np.ndarray) -> float:
    """Of the means, where the exact ones may be one of each example."""
    if len(exact) < len(found):
        return _measure.from_mean(found, exact.mean(axis=0))
    return _measure.between_means(found, exact)


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

    said = []
    for more in ({}, {"samples": problem.estimator.samples + 2}):
        estimator = problem.make(**more)
        number = estimator.samples
        rows.clear()
        problem.estimates(estimator, 2, cost=counted)
        each = sum(rows) / (2 * EXAMPLES)
        if each != estimator.evaluations:
            raise Fault(
                f"{each:g} for each example, where it says "
                f"{estimator.evaluations} with samples={number}"
            )
        said.append(f"{estimator.evaluations} with samples={number}")
    return Finding(f"{' and '.join(said)} for each example")


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
    sources: list[tf.Variable] = []
    for estimator, where in (
        (problem.make(), ""),
        (problem.begun(), " where it begins"),
    ):
        if not estimator.trainable_variables:
            raise NotApplicable("it has nothing to learn")
        with tf.GradientTape() as tape:
            value = problem.call(
                estimator,
                problem.inputs(16),
                problem.tiled(problem.weights, 16),
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
                raise Fault(f"that of {variable.path} is not finite{where}")
    return Finding(f"{len(sources)} weights")


@check(
    "extremes",
    "Extreme inputs give finite estimates",
    "compute log-probabilities from logits, never as the log of a probability",
)
def extremes(problem: Problem) -> Finding:
    signs = problem.random.choice([-1.0, 0.0, 1.0], size=(8, 64))
    arrays = changed(
        problem.distribution,
        [a[[0] * 8] for a in problem.raw],
        lambda a: 1e4 * signs[:, : a[0].size].reshape(a.shape).astype("f"),
    )
    inputs = packed(list(map(tf.constant, arrays)))
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
    "Half-precision inputs are computed in float32, mixed precision too",
    "leave `__call__` to the base class, which casts first, and cast what "
    "layers of the estimator return",
)
def half_precision(problem: Problem) -> Finding:
    weights = problem.tiled(problem.weights, 8)
    before = keras.config.dtype_policy()

    def run(dtype: str, policy: Any = before) -> Any:
        keras.config.set_dtype_policy(policy)
        half = tf.nest.map_structure(
            lambda t: tf.cast(t, "bfloat16"), problem.inputs(8)
        )
        inputs = tf.nest.map_structure(lambda t: tf.cast(t, dtype), half)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = problem.call(problem.make(), inputs, weights)
        return value, tf.nest.flatten(tape.gradient(value, inputs))

    (full, wide), mixed = run("float32"), "mixed_float16"
    try:
        found = {"bfloat16": run("bfloat16"), mixed: run("float32", mixed)}
    finally:
        keras.config.set_dtype_policy(before)
    for kind, (half, narrow) in found.items():
        if half.dtype != tf.float32 or not np.array_equal(half, full):
            raise Fault(f"in {kind} the value is another than in float32")
        for one, other in zip(narrow, wide, strict=True):
            if one is not None and not np.allclose(
                tf.cast(one, tf.float32), other, rtol=0.02, atol=0.01
            ):
                raise Fault(
                    f"in {kind} the gradient is another than in float32"
                )
    return Finding("bfloat16, and a policy of mixed_float16")


def _compiled(problem: Problem, jit: bool, count: int = 8) -> Estimates:
    signature = None
    if not jit:
        signature = tf.nest.map_structure(
            lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype),
            (problem.inputs(1), tf.constant(problem.weights)),
        )
        signature += (tf.TensorSpec([2], tf.int32),)
    wrap = functools.partial(
        tf.function,
        jit_compile=jit,
        autograph=False,
        input_signature=signature,
    )
    seed = tf.constant([1, 2])
    return problem.estimates(problem.make(), count, seed=seed, wrap=wrap)


@check(
    "graph",
    "A graph of any batch size gives the estimate of eager mode",
    "compute with TensorFlow alone, and take sizes from `tf.shape`",
)
def graph(problem: Problem) -> Finding:
    eager = problem.estimates(problem.make(), 8, seed=[1, 2])
    differs = [
        _measure.relative(found, exact, 1e-3)
        for found, exact in zip(_compiled(problem, False), eager, strict=True)
    ]
    return Finding("relative difference", max(differs), 1e-3)


@check(
    "xla",
    "XLA gives the mean estimate of eager mode",
    "leave out what XLA cannot compile, as `tf.py_function`, and what it "
    "computes otherwise",
    quick=False,
)
def xla(problem: Problem) -> Finding:
    if not problem.distribution.compiles:
        raise NotApplicable("the sampler of its distribution has no kernel")
    count = problem.many // 16
    found = _compiled(problem, True, count)
    if not all(np.all(np.isfinite(part)) for part in found):
        raise Fault("it is not finite")
    if not np.any(found.parameters):
        raise Fault("the gradient is zero")
    eager = problem.estimates(problem.make(), count)
    # Their noise differs: the same seed gives other numbers.
    figures = [
        _measure.between_means(one, other, rounding=1e-4)
        for example in range(EXAMPLES)
        for one, other in zip(found.of(example), eager.of(example), strict=True)
    ]
    return in_errors(figures)


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
    _require_kept(problem.given)
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
            "the same estimate, but it is not registered: "
            f"{shortened(error, 60)}"
        ) from error
    return Finding(f"{len(config)} entries")


def _require_kept(given: Any) -> None:
    """Raises if an argument is lost where the checks cannot see it.

    They make new estimators from the configuration of one that is given.
    """
    if given.built:
        return
    again = type(given).from_config(given.get_config())
    for name, value in vars(given).items():
        plain = isinstance(value, int | float | str)
        if plain and getattr(again, name, None) != value:
            raise Fault(
                f"`{name}` is {value!r}, and {getattr(again, name, None)!r} "
                "in the one that is made from it"
            )


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
