"""The closing table, and how the runs were made."""

from __future__ import annotations

from typing import Any

from benchmarks import _published as published
from benchmarks._report.runs import (
    Run,
    chosen,
    difference,
    label,
    mean_test,
    milliseconds,
    of,
    paragraphs,
    rate,
    table,
    train_samples,
)
from benchmarks._report.semi_supervised import name

BEST_TEXT = """
Of each estimator the run chosen as above, of these the one with the lowest
figure, as the best published one is the lowest of a row (VAEs of the
straight-through family: on the training images; semi-supervised: the highest
accuracy on the test images), with the estimator's evaluations of the cost per
example and step. `seconds` is its pace on the clock times its steps; of a run
that moved, the pace on the last machine. "Best published" is the best figure
known for the same data treatment and bound: for `sbn-bernoulli` that of ARM,
trained longer than Jang et al. The published runs train on one sample; where
ours train on several they descend another loss, and have a row of their own.
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
        for several in (False, True):
            alike = [run for run in runs if (train_samples(run) > 1) == several]
            kinds = {run["estimator"] for run in alike}
            best_of = (chosen(alike, estimator=kind) for kind in kinds)
            groups.append((task, "test", [run for run in best_of if run]))
    groups += [
        (
            setup,
            "train",
            of(reports["straight_through_vae"].values(), "setup", setup),
        )
        for setup in ("8x4", "32x16")
    ]
    rows: list[list[Any]] = []
    for task, figure, runs in groups:
        done = [run for run in runs if run.get("results")]
        if not done:
            continue
        run = min(done, key=lambda run: run["results"][figure])
        ours, theirs = run["results"][figure], published.BEST.get(task)
        if task in published.JANG:
            ours = mean_test(run, reports["jang_table1"].values())
        rows.append(
            [
                task,
                label(run),
                rate(run),
                f"{ours:.2f}",
                theirs or "-",
                difference(ours, theirs),
                *_cost(run),
            ]
        )
    rows += _semi_supervised(reports["semi_supervised"])
    return [*lines, *table(head, rows), ""]


def _cost(run: Run) -> list[Any]:
    seconds = run["seconds"] / max(1, run["timed_steps"]) * run["steps"]
    steps, evaluations = f"{run['steps']:,}", run["evaluations"]
    return [steps, evaluations, milliseconds(run), f"{seconds:,.0f}"]


def _semi_supervised(runs: dict[str, Run]) -> list[list[Any]]:
    """The row of the best accuracy, if there is one."""
    done = [run for run in runs.values() if run.get("results")]
    if not done:
        return []
    run = max(done, key=lambda run: run["results"]["accuracy"])
    ours = run["results"]["accuracy"]
    theirs = max(value for _, value in published.SEMI_SUPERVISED.values())
    row = ["semi-supervised, accuracy", name(run), "adam 0.001"]
    row += [f"{100 * ours:.1f} %", f"{100 * theirs:.1f} %"]
    return [[*row, f"{100 * (ours - theirs):+.1f}", *_cost(run)]]


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
    device = ", ".join([*where.get("gpus", []), where["cpu"]])
    return f"{device}, Python {where['python']}, {versions}"
