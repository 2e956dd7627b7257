"""Training runs that take hours: compiled, resumable, recorded as they go.

Many steps run in one call of one compiled function, on data that lies on the
device. After every interval the weights are kept in a file and the curve in
the JSON: an interrupted run goes on where it stopped, with the noise it would
have had, since all noise is a function of seed and step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _runner
from benchmarks._runner import Options, Parser, Row, environment
from tfgumbel.diagnostics.estimates import gradients

STATE = Path("out") / "benchmarks"
NO_TIME = {"timed_steps": 0, "seconds": 0.0, "cpu_seconds": 0.0}


class Trainer:
    """Runs steps of descent of a loss.

    Args:
        loss: Maps a batch and the step to the loss, a scalar in nats.
        batch: Maps the step to a batch. It is not compiled by XLA.
        groups: Optimizers, each with the weights that it trains, if any.
        others: Further variables that change: running statistics.
        xla: Whether XLA compiles the step.
    """

    def __init__(
        self,
        loss: Callable[[Any, tf.Tensor], tf.Tensor],
        batch: Callable[[tf.Tensor], Any],
        groups: Sequence[tuple[Any, Sequence[keras.Variable]]],
        others: Sequence[keras.Variable] = (),
        xla: bool = True,
    ) -> None:
        self._loss, self._batch, self.groups = loss, batch, groups
        state: list[Any] = []
        for optimizer, weights in groups:
            if weights:
                optimizer.build(weights)
            state += [*weights, *optimizer.variables]
        state += others
        self.state = list({id(value): value for value in state}.values())
        self._step = tf.function(
            self._descend, autograph=False, jit_compile=xla
        )
        self._run = tf.function(self._steps, autograph=False)

    def advance(self, first: int, last: int) -> float:
        """Does the steps from `first` to `last`; returns their mean loss."""
        step = tf.constant(first, tf.int64), tf.constant(last, tf.int64)
        return float(self._run(*step)) / (last - first)

    def _steps(self, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        def more(step: tf.Tensor, total: tf.Tensor) -> Any:
            return step < last

        def body(step: tf.Tensor, total: tf.Tensor) -> Any:
            loss = self._step(self._batch(step), step)
            return step + 1, total + tf.cast(loss, tf.float64)

        start = first, tf.constant(0.0, tf.float64)
        return tf.while_loop(more, body, start, parallel_iterations=1)[1]

    def _descend(self, batch: Any, step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            loss = self._loss(batch, step)
        for optimizer, weights in self.groups:
            if weights:
                optimizer.apply(gradients(tape, loss, weights), weights)
        return loss

    def save(self, path: Path) -> None:
        """Writes all that changes to a file, at once."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, *[variable.numpy() for variable in self.state])
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Takes up what `save` wrote."""
        with np.load(path) as file:
            for variable, name in zip(self.state, file.files, strict=True):
                variable.assign(file[name])


def recorded(options: Options, key: str) -> Row | None:
    """The run of this name in the JSON, if there is one."""
    return _runner.read(options.out, {"runs": {}})["runs"].get(key)


def record(options: Options, key: str, entry: Row) -> None:
    """Puts the run into the JSON, with what it was made with.

    Other processes may write other runs of the same file between two writes:
    it is read again before each.
    """
    made = {"command": options.command, "environment": environment()}
    report = _runner.read(options.out, {"runs": {}})
    runs = {**report["runs"], key: {**entry, **made}}
    report["runs"] = dict(sorted(runs.items()))
    _runner.write(options.out, report)


def parser(
    name: str,
    text: str,
    estimators: Iterable[str],
    steps: int | None,
    every: int,
    xla: bool = True,
    seeds: Sequence[int] = (0,),
) -> Parser:
    """The options of a benchmark that trains, to be added to."""
    made = _runner.parser(name, text)
    add = made.add_argument
    add("--mnist", metavar="FILE", help="in Keras's layout; or Keras's own")
    made.add_choices(estimators=estimators)
    made.add_defaults(seeds=list(seeds))
    add("--steps", type=int, default=steps, help="of the optimizer, in all")
    made.add_defaults(every=every)
    add("--xla", action=argparse.BooleanOptionalAction, default=xla)
    add("--state", type=Path, default=STATE / name, help="folder of weights")
    return made


def train(
    trainer: Trainer,
    key: str,
    facts: Row,
    options: Options,
    evaluate: Callable[[], Row],
    final: Callable[[Row], Row],
    enough: Callable[[Row], bool] = lambda results: True,
) -> Row:
    """Trains up to `options.steps`, from where an earlier call stopped.

    Args:
        trainer: A fresh trainer.
        key: The name of the run in the JSON; the entry is returned.
        facts: What else is to be said of the run.
        options: Those of `parser`; the run goes to `options.out`.
        evaluate: Called at every point; its figures join the curve.
        final: Maps the curve, at the end, to the results.
        enough: Whether the results of an earlier call will do.
    """
    name = key.replace("/", "-").replace(" ", "_") + ".npz"
    path, steps = options.state / name, options.steps
    entry = recorded(options, key)
    if entry and entry["steps"] >= steps and "results" in entry:
        if enough(entry["results"]):
            return entry
    if entry and path.exists():
        trainer.load(path)
        entry = moved(entry)
    else:
        entry = {"steps": 0, **NO_TIME, "curve": {"step": []}}
    entry |= facts
    first, start = entry["steps"], time.monotonic()
    while (begin := entry["steps"]) < steps:
        end = min(steps, (begin // options.every + 1) * options.every)
        wall, cpu = time.perf_counter(), time.process_time()
        loss = trainer.advance(begin, end)
        if begin > first:  # The first interval compiles.
            entry["seconds"] += time.perf_counter() - wall
            entry["cpu_seconds"] += time.process_time() - cpu
            entry["timed_steps"] += end - begin
        entry["steps"] = end
        entry.pop("results", None)
        point = _short({"step": end, "train": loss, **evaluate()})
        for name, value in point.items():
            entry["curve"].setdefault(name, []).append(value)
        trainer.save(path)
        record(options, key, entry)
        pace = (time.monotonic() - start) / (end - first)
        left = f"{pace * (steps - end) / 60:.0f} min left"
        print(f"{key}: {point} of {steps}, {left}", flush=True)
    entry["results"] = _short(final(entry["curve"]))
    record(options, key, entry)
    print(f"{key}: {entry['results']}", flush=True)
    keras.backend.clear_session()  # Lest the models of all runs pile up.
    return entry


def moved(entry: Row) -> Row:
    """The entry, with the machine that made it so far if it was another.

    Times are those of the last machine.
    """
    before, here = entry["environment"], environment()
    if all(before.get(k, []) == here[k] for k in ("cpu", "gpus")):
        return entry
    earlier = {"steps": entry["steps"], "environment": before}
    others = entry.get("earlier", [])
    return {**entry, **NO_TIME, "earlier": [*others, earlier]}


def _short(point: Row) -> Row:
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in point.items()
    }
