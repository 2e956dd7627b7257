"""One estimator, measured, for as many draws as it takes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import estimates
from tfgumbel.diagnostics.chunks import Chunks
from tfgumbel.diagnostics.estimates import Advance, Draws
from tfgumbel.estimators import CostFn, Estimator

_LEARNING_ROWS = 100
"""Draws per step when control variates are trained."""
_OF_EXACT = 50
"""Draws of what enumerates: all are alike."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """Settings shared by all estimators of a comparison, as in `compare`."""

    cost_fn: CostFn
    logits: Any
    context: Any
    draws: int
    train_steps: int
    learning_rate: float
    seed: int

    @property
    def batch(self) -> int:
        """B."""
        return int(tf.nest.flatten(self.logits)[0].shape[0])


class Measurement:
    """Trains an estimator's control variate, then draws, again and again.

    Between its calls the estimator has the weights that it had before.

    Args:
        estimator: What is measured; built if it is not yet.
        setup: The problem.
        seed: Of the draws.

    Attributes:
        chunks: What was drawn.
        seconds: Wall time of a draw, one figure per call.
    """

    def __init__(self, estimator: Estimator, setup: Setup, seed: int) -> None:
        self.estimator = estimator
        self.chunks: Chunks
        self.seconds: list[float] = []
        self._setup = setup
        self._seed = seed
        self._trained: list[np.ndarray] = []
        self._draw: Draws

    def start(self, advance: Advance) -> None:
        """Trains the control variate and compiles the function that draws."""
        setup, estimator = self._setup, self.estimator
        with estimates.seeded(setup.seed):
            _build(estimator, setup.logits, setup.context)
        self._trained = [weight.numpy() for weight in estimator.variables]
        with self._active():
            rows = max(1, _LEARNING_ROWS // setup.batch)
            estimates.learn(
                self._draws(rows, rows),
                *(setup.train_steps, setup.learning_rate, setup.seed + 1),
                advance,
            )
            self._compile(self._draws(*self._layout()))

    def again(self, seed: int) -> Measurement:
        """Another one of the same trained estimator, with other draws."""
        other = Measurement(self.estimator, self._setup, seed)
        other._trained = self._trained
        with other._active():
            other._compile(self._draw)
        return other

    @np.errstate(invalid="ignore")  # inf - inf is said in words.
    def draw_until(self, draws: int, advance: Advance) -> None:
        """Draws until there are `draws` in all, or just more."""
        if self.estimator.exact:
            draws = min(draws, _OF_EXACT)
        with self._active():
            while self.chunks.count < draws:
                start = time.perf_counter()
                found = self._call(len(self.seconds))
                spent = time.perf_counter() - start
                self.seconds.append(spent / self._draw.repeats)
                self.chunks.add(*found)
                advance(self._draw.repeats)
        if not math.isfinite(self.chunks.variance):
            raise ValueError("some estimates are not finite")

    def _layout(self) -> tuple[int, int]:
        draws, logits = self._setup.draws, self._setup.logits
        if self.estimator.exact:
            draws = min(draws, _OF_EXACT)
        return estimates.layout(self.estimator, logits, draws)

    def _draws(self, repeats: int, size: int) -> Draws:
        setup = self._setup
        problem = (setup.cost_fn, setup.logits, setup.context)
        return Draws(self.estimator, *problem, repeats, size)

    @np.errstate(invalid="ignore")
    def _compile(self, draw: Draws) -> None:
        """One call, uncounted; it also gives a running baseline a past."""
        self._draw = draw
        means, *_ = draw(estimates.step_seed(self._seed, -1))
        self.chunks = Chunks(np.mean(means, axis=0))

    def _call(self, index: int) -> tuple[Any, float, float, int]:
        seed = estimates.step_seed(self._seed, index)
        return self._draw(seed, self.chunks.centre)

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        """Gives the estimator its trained weights for the while."""
        weights = self.estimator.variables
        with estimates.unchanged(weights):
            for weight, value in zip(weights, self._trained, strict=True):
                weight.assign(value)
            try:
                yield
            finally:
                self._trained = [weight.numpy() for weight in weights]


def _build(estimator: Estimator, logits: Any, context: Any) -> None:
    """Makes the weights, if there are none yet."""
    if estimator.built:
        return
    if context is None:
        context = estimator.default_context(tuple(tf.nest.flatten(logits)))
    shapes = tf.nest.map_structure(lambda part: part.shape, logits)
    estimator.build(shapes, context.shape)
