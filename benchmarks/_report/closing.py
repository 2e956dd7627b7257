"""The closing table, and how the runs were made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run
from benchmarks._report.semi_supervised import name

HEAD = ["task", "estimator", "optimizer", "ours", "best published"]
HEAD += ["difference", "steps", "evaluations", "ms a step", "seconds"]


def best(reports: dict[str, list[Run]]) -> list[str]:
    """The closing table."""
    runs, rows = reports["jang_table1"], []
    for task, several in itertools.product(published.JANG, (False, True)):
        alike = [
            run
            for run in facts.of(runs, task=task)
            if (run["train_samples"] > 1) == several
        ]
        kinds = {run["estimator"] for run in alike}
        found = [facts.chosen(alike, estimator=kind) for kind in kinds]
        rows += _row(task, "test", [run for run in found if run], runs)
    for setup in ("8x4", "32x16"):
        family = facts.of(reports["straight_through_vae"], setup=setup)
        rows += _row(setup, "train", family)
    rows += _semi_supervised(reports["semi_supervised"])
    return facts.table(HEAD, rows)


def _row(
    task: str, figure: str, runs: list[Run], others: Sequence[Run] = ()
) -> list[list[Any]]:
    """The run of the lowest figure, if there is one.

    With `others`, its figure is the mean over its seeds among these.
    """
    done = facts.done(runs)
    if not done:
        return []
    run = min(done, key=lambda run: run["results"][figure])
    ours = facts.mean_test(run, others) if others else run["results"][figure]
    theirs = published.BEST.get(task)
    row: list[Any] = [task, facts.label(run), facts.rate(run), f"{ours:.2f}"]
    row += [theirs or "-", facts.difference(ours, theirs), *_cost(run)]
    return [row]


def _cost(run: Run) -> list[Any]:
    seconds = run["seconds"] / max(1, run["timed_steps"]) * run["steps"]
    steps, evaluations = f"{run['steps']:,}", run["evaluations"]
    return [steps, evaluations, facts.milliseconds(run), f"{seconds:,.0f}"]


def _semi_supervised(runs: list[Run]) -> list[list[Any]]:
    """The row of the best accuracy, if there is one."""
    done = facts.done(runs)
    if not done:
        return []
    run = max(done, key=lambda run: run["results"]["accuracy"])
    ours = run["results"]["accuracy"]
    theirs = max(value for _, value in published.SEMI_SUPERVISED.values())
    row = ["semi-supervised, accuracy", name(run), "adam 0.001"]
    row += [f"{100 * ours:.1f} %", f"{100 * theirs:.1f} %"]
    return [[*row, f"{100 * (ours - theirs):+.1f}", *_cost(run)]]


def commands(reports: dict[str, list[Run]]) -> list[str]:
    """What made the runs, and on what."""
    every = [
        run
        for run in itertools.chain(*reports.values())
        if run.get("results") or "times" in run
    ]
    lines = ["```", *sorted({run["command"] for run in every}), "```", ""]
    return lines + [f"- {place}" for place in sorted({*map(_place, every)})]


def _place(run: Run) -> str:
    where = run["environment"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    device = ", ".join([*where.get("gpus", []), where["cpu"]])
    return f"{device}, Python {where['python']}, {versions}"
