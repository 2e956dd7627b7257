"""The closing table, and how the runs were made."""

from __future__ import annotations

from benchmarks import _published as published
from benchmarks._report.runs import (
    Run,
    difference,
    label,
    milliseconds,
    of,
    paragraphs,
    table,
    train_samples,
)

BEST_TEXT = """
The run above with the lowest bound on the validation images (of the VAEs of the
straight-through family: on the training images), with the estimator's
evaluations of the cost per example and step. `seconds` is the time of its
training on the clock. "Best published" is the best figure known for the same
data treatment and bound: for `sbn-bernoulli` that of ARM, trained longer than
Jang et al. The published runs train on one sample; where ours train on several
they descend another loss, and have a row of their own.
"""


COMMANDS = """
Each command goes on where it was stopped, and keeps what is done. Add
`--mnist FILE` for a local copy of MNIST in Keras's layout.
"""


def best(reports: dict[str, dict[str, Run]]) -> list[str]:
    """The closing table."""
    lines = ["## Best estimator of this package per task", ""]
    lines += paragraphs(BEST_TEXT)
    head = ["task", "estimator", "optimizer", "ours", "best published"]
    head += ["difference", "steps", "evaluations", "ms a step", "seconds"]
    groups: list[tuple[str, str, list[Run]]] = []
    for task in published.JANG:
        runs = of(reports["jang_table1"].values(), "task", task)
        one = [run for run in runs if train_samples(run) == 1]
        several = [run for run in runs if train_samples(run) > 1]
        groups += [(task, "test", one), (task, "test", several)]
    groups += [
        (
            setup,
            "train",
            of(reports["straight_through_vae"].values(), "setup", setup),
        )
        for setup in ("8x4", "32x16")
    ]
    rows = []
    for task, figure, runs in groups:
        done = [run for run in runs if run.get("results")]
        if not done:
            continue
        run = min(done, key=_bound)
        ours, theirs = run["results"][figure], published.BEST.get(task)
        seconds = run["seconds"] / max(1, run["timed_steps"]) * run["steps"]
        rows.append(
            [
                task,
                label(run),
                f"{run.get('optimizer', 'adam')} {run['learning_rate']:g}",
                f"{ours:.2f}",
                theirs or "-",
                difference(ours, theirs),
                f"{run['steps']:,}",
                run["evaluations"],
                milliseconds(run),
                f"{seconds:,.0f}",
            ]
        )
    return [*lines, *table(head, rows), ""]


def _bound(run: Run) -> float:
    """On the validation images where there are some."""
    if "validation" in run["curve"]:
        return run["curve"]["validation"][-1]
    return run["results"]["train"]


def commands(reports: dict[str, dict[str, Run]]) -> list[str]:
    """What made the runs, and on what."""
    lines = ["## How the runs were made", ""]
    lines += paragraphs(COMMANDS)
    every = [
        run
        for runs in reports.values()
        for run in runs.values()
        if run.get("results") or "times" in run
    ]
    lines += ["```", *sorted({run["command"] for run in every}), "```", ""]
    for place in sorted({_place(run) for run in every}):
        lines += [f"- {place}"]
    return lines


def _place(run: Run) -> str:
    where = run["environment"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    return f"{where['cpu']}, Python {where['python']}, {versions}"
