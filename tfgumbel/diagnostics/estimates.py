"""Many independent estimates of one gradient, in one compiled function."""

from __future__ import annotations

import contextlib
import random as _python_random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.moments import Moments
from tfgumbel.estimators import Baseline, CostFn, Estimator
from tfgumbel.estimators.algebra import repeat

Advance = Callable[[int], None]

# Rows that go through f at once, and numbers in their logits.
_MAX_ROWS = 4096
_MAX_NUMBERS = 2**18


class Draws:
    """Draws estimates of ∇E[f(z)] for logits `[B, ...]`.

    The logits are tiled over the batch: row t·B + i is the t-th draw for
    example i. An estimator treats rows as examples, each with noise of its
    own, so one call gives `repeats` independent estimates.

    Args:
        estimator: A built estimator.
        cost_fn: f, for `[n·B, ...]` samples, any n.
        logits: `[B, ...]`, of known shape.
        context: `[B, ...]` or `None`.
        repeats: Draws per call.
    """

    def __init__(
        self,
        estimator: Estimator,
        cost_fn: CostFn,
        logits: tf.Tensor,
        context: Any,
        repeats: int,
    ) -> None:
        self.estimator = estimator
        self.repeats = repeats
        self.batch = int(logits.shape[0])
        self._cost_fn = cost_fn
        self._run = tf.function(self._estimates, autograph=False)
        self._inputs = (logits, context)

    def __call__(self, seed: Any, inputs: Any = None) -> tuple[Any, Any]:
        """Returns the mean gradient and Σ |gradient - mean|², as NumPy.

        Args:
            seed: Integer tensor of shape `[2]`.
            inputs: Logits and context in place of the first ones.
        """
        mean, squares, _ = self._run(seed, *(inputs or self._inputs))
        return mean.numpy(), squares.numpy()

    def _estimates(self, seed: Any, logits: tf.Tensor, context: Any) -> Any:
        tiled = repeat(logits, self.repeats)
        if context is not None:
            context = repeat(context, self.repeats)
        weights = [w.value for w in self.estimator.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(tiled)
            parameters = unpacked(self.estimator, tiled)
            cost = self.estimator(self._cost_fn, parameters, seed, context)
        gradient, *learning = tape.gradient(
            cost,
            [tiled, *weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        gradient = tf.cast(gradient, tf.float64)
        gradient = tf.reshape(gradient, [self.repeats, -1])
        mean = tf.reduce_mean(gradient, axis=0)
        # The gradient of the control variate is part of the price: it is
        # asked for, so that it is not pruned from the graph.
        rest = [tf.reduce_sum(part) for part in learning]
        return mean, tf.reduce_sum(tf.square(gradient - mean)), rest


def packed(parameters: Any) -> tf.Tensor:
    """Several parameters of one shape, as one tensor, on a last axis."""
    return tf.stack([tf.cast(p, tf.float32) for p in parameters], axis=-1)


def unpacked(estimator: Estimator, tensor: tf.Tensor) -> Any:
    """What the estimator takes, from one tensor of all parameters."""
    count = len(estimator.distribution.parameters)
    return tensor if count == 1 else tuple(tf.unstack(tensor, count, axis=-1))


def repeats_for(estimator: Estimator, logits: tf.Tensor, draws: int) -> int:
    """Draws per call that memory allows, and that leave five calls or more."""
    rows = int(logits.shape[0]) * max(1, estimator.evaluations)
    numbers = max(1, estimator.evaluations) * int(np.prod(logits.shape))
    fit = min(_MAX_ROWS // rows, _MAX_NUMBERS // numbers, -(-draws // 5))
    return max(1, fit)


def collect(
    draw: Draws, draws: int, seed: int, advance: Advance
) -> tuple[Moments, float]:
    """Draws until `draws` are reached or just passed.

    One call before the first compiles the function, and gives a running
    baseline a past; it is not counted.

    Returns:
        The moments over draws, and the median seconds per draw.
    """
    moments, seconds = Moments(), []
    draw(step_seed(seed, -1))
    for index in range(-(-draws // draw.repeats)):
        start = time.perf_counter()
        mean, squares = draw(step_seed(seed, index))
        seconds.append((time.perf_counter() - start) / draw.repeats)
        moments.add(mean, squares, draw.repeats)
        advance(draw.repeats)
    return moments, statistics.median(seconds)


def learn(
    draw: Draws, steps: int, learning_rate: float, seed: int, advance: Advance
) -> None:
    """Trains the estimator's own weights, with Adam, at fixed logits.

    The learning rate falls to zero on a cosine. Each step descends the mean
    over `draw.repeats` draws. Running statistics of baselines move, too. An
    estimator with nothing to learn is left alone.
    """
    if not (steps and learns(draw.estimator)):
        return advance(steps)
    weights = draw.estimator.trainable_variables
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    )
    optimizer.build(weights)
    logits, context = draw._inputs
    tiled = repeat(logits, draw.repeats)
    wide = None if context is None else repeat(context, draw.repeats)

    def body(step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            parameters = unpacked(draw.estimator, tiled)
            cost = draw.estimator(
                draw._cost_fn, parameters, step_seed(seed, step), wide
            )
            cost = tf.reduce_mean(cost)
        if weights:
            optimizer.apply(gradients(tape, cost, weights), weights)
        return step + 1

    run = compiled_loop(body)
    for first in range(0, steps, 100):
        last = min(steps, first + 100)
        run(tf.constant(first), tf.constant(last))
        advance(last - first)


def compiled_loop(body: Callable[[tf.Tensor], tf.Tensor]) -> Callable:
    """A compiled function (first, last) that runs `body` from step to step."""

    def loop(first: tf.Tensor, last: tf.Tensor) -> Any:
        return tf.while_loop(lambda step: step < last, body, [first])

    return tf.function(loop, autograph=False)


def gradients(
    tape: tf.GradientTape, loss: tf.Tensor, weights: Sequence[keras.Variable]
) -> list[tf.Tensor]:
    """Gradients with respect to Keras variables; zeros where there are none."""
    return tape.gradient(
        loss,
        [weight.value for weight in weights],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def learns(estimator: Estimator) -> bool:
    """Whether training the estimator would change anything."""
    return bool(estimator.trainable_variables) or any(
        isinstance(layer, Baseline) for layer in estimator._flatten_layers()
    )


def step_seed(seed: int, step: Any) -> tf.Tensor:
    """The seed of one step, independent of those of other steps."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])


@contextlib.contextmanager
def unchanged(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Gives the variables their values back at the end."""
    values = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes initial weights a function of `seed`; Python's state is kept.

    Keras takes the seeds of its initializers from Python's generator.
    """
    state = _python_random.getstate()
    _python_random.seed(seed)
    try:
        yield
    finally:
        _python_random.setstate(state)
