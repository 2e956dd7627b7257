"""Cost and gradient variance of an estimator over a training run."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import estimates
from tfgumbel.diagnostics.chunks import Chunks
from tfgumbel.diagnostics.problems import Problem
from tfgumbel.estimators import Estimator


@dataclasses.dataclass
class Curve:
    """Course of one estimator in training, at steps 0, `every`, 2 `every`, ...

    Attributes:
        step: Steps of the optimizer.
        cost: The problem's cost.
        variance: Variance of the gradient in the logits, summed over
            coordinates, averaged over the probe's examples. Measured at the
            run's own parameters, which are not those of another run.
        milliseconds: Wall time of a training step, measurements and
            compilation left out; `None` if there was a single call.
        unbiased: Whether the estimator is, by construction.
        note: Why it could not be trained, or nothing.
    """

    step: list[int] = dataclasses.field(default_factory=list)
    cost: list[float] = dataclasses.field(default_factory=list)
    variance: list[float] = dataclasses.field(default_factory=list)
    milliseconds: float | None = None
    unbiased: bool = True
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON can hold: `None` for what is not finite."""
        series = {
            key: [v if math.isfinite(v) else None for v in getattr(self, key)]
            for key in ("cost", "variance")
        }
        return {**dataclasses.asdict(self), **series}


def train(
    problem: Problem,
    estimator: Estimator,
    steps: int,
    every: int,
    seed: int = 0,
    draws: int = 1000,
    advance: estimates.Advance = lambda steps: None,
) -> Curve:
    """Trains a problem with an estimator; both are left as trained.

    Model and control variates are trained together, each with its own Adam.
    To measure the variance changes neither weights nor running baselines.

    Args:
        problem: A fresh problem.
        estimator: A built estimator.
        steps: Steps of the optimizer.
        every: Steps between two measurements.
        seed: Of the noise.
        draws: Estimates per measured variance.
        advance: Called with the number of steps done since the last call.
    """
    curve, seconds = Curve(unbiased=estimator.unbiased), 0.0
    run = estimates.compiled_loop(_step(problem, estimator, seed))
    probe = _probe(problem, estimator, draws)
    marks = [*range(0, steps, every), steps]
    for index, mark in enumerate(marks):
        if index:
            start = time.perf_counter()
            run(tf.constant(marks[index - 1]), tf.constant(mark))
            seconds += time.perf_counter() - start if index > 1 else 0.0
            advance(mark - marks[index - 1])
        curve.step.append(mark)
        curve.cost.append(problem.evaluate())
        curve.variance.append(probe(estimates.step_seed(seed + 1, mark)))
    if len(marks) > 2:
        curve.milliseconds = 1e3 * seconds / (steps - marks[1])
    return curve


def _step(problem: Problem, estimator: Estimator, seed: int) -> Any:
    groups = [
        (problem.variables, problem.learning_rate),
        (estimator.trainable_variables, problem.control_rate),
    ]
    trained = []
    for weights, rate in groups:
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(weights)
        trained.append((optimizer, weights))

    def step(index: tf.Tensor) -> tf.Tensor:
        examples = problem.batch(index)
        with tf.GradientTape(persistent=True) as tape:
            logits = problem.logits(examples)
            cost = estimator(
                problem.cost_fn(examples),
                logits,
                estimates.step_seed(seed, index),
                problem.context(examples),
            )
            loss = tf.reduce_mean(cost + problem.penalty(logits))
        found = [estimates.gradients(tape, loss, w) for _, w in trained]
        for (optimizer, weights), values in zip(trained, found, strict=True):
            if weights:
                optimizer.apply(values, weights)
        return index + 1

    return step


def _probe(problem: Problem, estimator: Estimator, draws: int) -> Any:
    logits = problem.logits(problem.probe)
    context = problem.context(problem.probe)
    repeats, _ = estimates.layout(estimator, logits, draws, calls=1)
    draw = estimates.Draws(
        estimator, problem.cost_fn(problem.probe), logits, context, repeats
    )

    def variance(seed: tf.Tensor) -> float:
        inputs = (problem.logits(problem.probe), context)
        with estimates.unchanged(estimator.non_trainable_variables):
            found = draw(seed, inputs=inputs)
        chunks = Chunks(np.zeros(found[0].shape[1:]))
        chunks.add(*found)
        return chunks.variance / draw.batch

    return variance
