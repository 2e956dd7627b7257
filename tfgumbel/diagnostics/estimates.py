"""Many independent estimates of one gradient, in one compiled function."""

from __future__ import annotations

import contextlib
import random as _python_random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.chunks import MOST
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
    own, so one call gives `repeats` independent estimates. A gradient is
    flat, `[B, C]`; where there are several parameters, one after the other.

    Args:
        estimator: A built estimator.
        cost_fn: f, for `[n·B, ...]` samples, any n.
        logits: `[B, ...]`, of known shape, or a tuple of such parameters.
        context: `[B, ...]` or `None`.
        repeats: Draws per call.
        size: Draws per mean that a call returns; divides `repeats`.
    """

    def __init__(
        self,
        estimator: Estimator,
        cost_fn: CostFn,
        logits: Any,
        context: Any,
        repeats: int,
        size: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.repeats = repeats
        self.size = size or repeats
        self.batch = int(tf.nest.flatten(logits)[0].shape[0])
        self._cost_fn = cost_fn
        self._run: Any = None
        self._inputs = (logits, context)

    def __call__(
        self, seed: Any, centre: Any = 0.0, inputs: Any = None
    ) -> tuple[Any, float, float, int]:
        """Returns what `Chunks.add` takes.

        Args:
            seed: Integer tensor of shape `[2]`.
            centre: That of the `Chunks`.
            inputs: Logits and context in place of the first ones.
        """
        centre = tf.constant(centre, tf.float64)
        centre = tf.broadcast_to(centre, self._shape())
        arguments = (seed, centre, *(inputs or self._inputs))
        self._run = self._run or _traced(self._estimates, *arguments)
        means, squares, fourths, _ = self._run(*arguments)
        return (
            means.numpy(),
            float(squares.numpy()),
            float(fourths.numpy()),
            self.repeats,
        )

    def _estimates(
        self, seed: Any, centre: Any, logits: Any, context: Any
    ) -> Any:
        tiled, wide = self.tiled(logits, context)
        weights = [w.value for w in self.estimator.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(tiled)
            cost = self.estimator(self._cost_fn, tiled, seed, wide)
        wrt_logits, learning = tape.gradient(
            cost,
            [tiled, weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        draws = self._flat(wrt_logits)
        squares = tf.reduce_sum(tf.square(draws - centre), axis=[1, 2])
        parts = self.repeats // self.size
        parts = tf.reshape(draws, [parts, self.size, *draws.shape[1:]])
        # The gradient of the control variate is part of the cost: it is
        # asked for, so that it is not pruned from the graph.
        rest = [tf.reduce_sum(part) for part in learning]
        return (
            tf.reduce_mean(parts, axis=1),
            tf.reduce_sum(squares),
            tf.reduce_sum(tf.square(squares)),
            rest,
        )

    def _shape(self) -> list[int]:
        """[B, C]."""
        parts = tf.nest.flatten(self._inputs[0])
        numbers = sum(int(np.prod(part.shape)) for part in parts)
        return [self.batch, numbers // self.batch]

    def tiled(self, logits: Any, context: Any) -> tuple[Any, Any]:
        """Logits and context, a row for every draw and example."""
        logits, context = tf.nest.map_structure(
            lambda part: None if part is None else repeat(part, self.repeats),
            (logits, context),
        )
        return logits, context

    def _flat(self, gradient: Any) -> tf.Tensor:
        shape = [self.repeats, self.batch, -1]
        parts = [tf.reshape(part, shape) for part in tf.nest.flatten(gradient)]
        return tf.cast(tf.concat(parts, axis=-1), tf.float64)


def layout(
    estimator: Estimator, logits: Any, draws: int, calls: int = 8
) -> tuple[int, int]:
    """Draws per call and per mean: what memory allows, in `calls` or more.

    The means come to 128 or more if the draws do.
    """
    parts = tf.nest.flatten(logits)
    copies = max(1, estimator.evaluations)
    rows = copies * int(parts[0].shape[0])
    numbers = copies * sum(int(np.prod(part.shape)) for part in parts)
    fit = max(1, min(_MAX_ROWS // rows, _MAX_NUMBERS // numbers))
    repeats = -(-draws // max(calls, -(-draws // fit)))
    most = max(1, min(fit, repeats * (MOST - 1) // draws))
    # As many means as there may be, or half of that, with the least waste.
    means = min(range(most, most // 2, -1), key=lambda parts: -repeats % parts)
    size = -(-repeats // means)
    return means * size, size


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
    tiled, wide = draw.tiled(*draw._inputs)

    def body(step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            cost = draw.estimator(
                draw._cost_fn, tiled, step_seed(seed, step), wide
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

    step = tf.TensorSpec([], tf.int32)
    return _traced(loop, step, step)


def _traced(function: Callable, *arguments: Any) -> Callable:
    """The graph for arguments of these shapes.

    Called directly, a `tf.function` for every estimator would be taken for
    one function that is traced too often, and TensorFlow would warn.
    """
    compiled = tf.function(function, autograph=False)
    return compiled.get_concrete_function(*arguments)


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
    # Keras 3.12 to 3.15 list nested layers by no public method.
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
