"""Training runs that take hours: compiled, resumable, recorded as they go.

Many steps run in one call of one compiled function, on data that lies on the
device. After every interval the weights are kept in a file and the curve in
the JSON: an interrupted run goes on where it stopped, with the noise it would
have had, since all noise is a function of seed and step.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _runner
from benchmarks._timing import environment

STATE = Path("out") / "benchmarks"
NO_TIME = {"timed_steps": 0, "seconds": 0.0, "cpu_seconds": 0.0}


class Group:
    """Weights, and the optimizer that trains them, if there are any."""

    def __init__(self, optimizer: Any, weights: Sequence[Any]) -> None:
        self.optimizer, self.weights = optimizer, list(weights)
        if self.weights:
            optimizer.build(self.weights)


class Trainer:
    """Runs steps of descent of a loss.

    Args:
        loss: Maps a batch and the step to the loss, a scalar in nats.
        batch: Maps the step to a batch. It is not compiled by XLA.
        groups: What is trained.
        others: Further variables that change: running statistics.
        xla: Whether XLA compiles the step.
    """

    def __init__(
        self,
        loss: Callable[[Any, tf.Tensor], tf.Tensor],
        batch: Callable[[tf.Tensor], Any],
        groups: Sequence[Group],
        others: Sequence[keras.Variable] = (),
        xla: bool = True,
    ) -> None:
        self._loss, self._batch, self.groups = loss, batch, groups
        state: list[Any] = []
        for group in groups:
            state += [*group.weights, *group.optimizer.variables]
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
        def body(step: tf.Tensor, total: tf.Tensor) -> Any:
            loss = self._step(self._batch(step), step)
            return step + 1, total + tf.cast(loss, tf.float64)

        zero = tf.constant(0.0, tf.float64)
        _, total = tf.while_loop(
            lambda step, total: step < last,
            body,
            [first, zero],
            parallel_iterations=1,
        )
        return total

    def _descend(self, batch: Any, step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            loss = self._loss(batch, step)
        for group in self.groups:
            if group.weights:
                gradients = tape.gradient(
                    loss,
                    [weight.value for weight in group.weights],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                group.optimizer.apply(gradients, group.weights)
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
            values = [file[name] for name in file.files]
        for variable, value in zip(self.state, values, strict=True):
            variable.assign(value)


@dataclasses.dataclass
class Record:
    """The JSON of one benchmark, one entry a run.

    Other processes may write other entries of the same file between two
    writes: it is read again before each.
    """

    path: Path
    command: str

    def read(self) -> dict[str, Any]:
        """The file as it is, or an empty report."""
        return _runner.read(self.path, {"runs": {}})

    def entry(self, key: str) -> dict[str, Any] | None:
        """The run of this name, if there is one."""
        return self.read()["runs"].get(key)

    def write(self, key: str, entry: dict[str, Any]) -> None:
        """Puts the run in, with what it was made with."""
        made = {"command": self.command, "environment": environment()}
        report = self.read()
        runs = {**report["runs"], key: {**entry, **made}}
        report["runs"] = dict(sorted(runs.items()))
        _runner.write(self.path, report)


def parser(
    name: str,
    text: str,
    estimators: Iterable[str],
    steps: int | None,
    every: int,
    seeds: Sequence[int] = (0,),
    xla: bool = True,
) -> argparse.ArgumentParser:
    """The options of a benchmark that trains, to be added to."""
    made, names = _runner.parser(name, text), list(estimators)
    add = made.add_argument
    add("--mnist", metavar="FILE", help="in Keras's layout; or Keras's own")
    add("--estimators", nargs="+", choices=names, default=names, metavar="NAME")
    add("--seeds", nargs="+", type=int, default=list(seeds))
    add("--steps", type=int, default=steps, help="of the optimizer, in all")
    add("--every", type=int, default=every, help="steps between two points")
    add("--xla", action=argparse.BooleanOptionalAction, default=xla)
    add("--state", type=Path, default=STATE / name, help="folder of weights")
    return made


def train(
    trainer: Trainer,
    key: str,
    facts: dict[str, Any],
    options: argparse.Namespace,
    evaluate: Callable[[], dict[str, float]],
    final: Callable[[dict[str, Any]], dict[str, float]],
    enough: Callable[[dict[str, float]], bool] = lambda results: True,
) -> dict[str, Any]:
    """Trains up to `options.steps`, from where an earlier call stopped.

    Args:
        trainer: A fresh trainer.
        key: The name of the run in the JSON.
        facts: What else is to be said of the run.
        options: Those of `parser`; the run goes to `options.out`.
        evaluate: Called at every point; its figures join the curve.
        final: Maps the curve, at the end, to the results.
        enough: Whether the results of an earlier call will do.

    Returns:
        The entry of the record.
    """
    name = key.replace("/", "-").replace(" ", "_") + ".npz"
    path, steps = options.state / name, options.steps
    record = Record(options.out, options.command)
    entry = record.entry(key)
    if entry is not None and entry["steps"] >= steps:
        if "results" in entry and enough(entry["results"]):
            return entry
    if entry is None or not path.exists():
        entry = {"steps": 0, **NO_TIME, "curve": {"step": []}}
    else:
        trainer.load(path)
        entry = moved(entry)
    entry = {**entry, **facts}
    first = entry["steps"]
    start = time.monotonic()
    while entry["steps"] < steps:
        begin = entry["steps"]
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
        record.write(key, entry)
        pace = (time.monotonic() - start) / (end - first)
        left = f"{pace * (steps - end) / 60:.0f} min left"
        print(f"{key}: {point} of {steps}, {left}", flush=True)
    entry["results"] = _short(final(entry["curve"]))
    record.write(key, entry)
    print(f"{key}: {entry['results']}", flush=True)
    keras.backend.clear_session()  # Lest the models of all runs pile up.
    return entry


def moved(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry, with the machine that made it so far if it was another.

    Times are those of the last machine.
    """
    before, here = entry["environment"], environment()
    if all(before.get(k, []) == here[k] for k in ("cpu", "gpus")):
        return entry
    earlier = {"steps": entry["steps"], "environment": before}
    others = entry.get("earlier", [])
    return {**entry, **NO_TIME, "earlier": [*others, earlier]}


def _short(point: dict[str, float]) -> dict[str, float]:
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in point.items()
    }
