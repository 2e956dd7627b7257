"""The closing table, and how the runs were made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

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
        if run := _lowest("test", (run for run in found if run)):
            rows.append(_row(task, run, facts.mean_test(run, runs)))
    for setup in published.STEPS:
        family = facts.done(reports["straight_through_vae"], setup=setup)
        if run := _lowest("train", family):
            rows.append(_row(setup, run, run["results"]["train"]))
    if done := facts.done(reports["semi_supervised"]):
        run = max(done, key=lambda run: run["results"]["accuracy"])
        row = _row("semi-supervised, accuracy", run, 0.0)
        ours = 100 * run["results"]["accuracy"]
        theirs = 100 * max(x for _, x in published.SEMI_SUPERVISED.values())
        row[3:6] = f"{ours:.1f} %", f"{theirs:.1f} %", f"{ours - theirs:+.1f}"
        rows.append(row)
    return facts.table(HEAD, rows)


def _lowest(figure: str, runs: Iterable[Run]) -> Run | None:
    return min(runs, key=lambda run: run["results"][figure], default=None)


def _row(task: str, run: Run, ours: float) -> list[Any]:
    """What stands beside the best published figure of a task."""
    theirs = published.BEST.get(task)
    row: list[Any] = [task, facts.label(run), facts.rate(run), f"{ours:.2f}"]
    row += [theirs or "-", facts.difference(ours, theirs), f"{run['steps']:,}"]
    seconds = run["seconds"] / max(1, run["timed_steps"]) * run["steps"]
    return [*row, *facts.pace(run), f"{seconds:,.0f}"]


def commands(reports: dict[str, list[Run]]) -> list[str]:
    """What made the runs, and on what."""
    commands, places = set(), set()
    for run in itertools.chain(*reports.values()):
        if run.get("results") or "times" in run:
            commands.add(run["command"])
            where = run["environment"]
            words = [*where.get("gpus", []), where["cpu"]]
            words.append(f"Python {where['python']}")
            words += [f"{k} {v}" for k, v in where["versions"].items()]
            places.add("- " + ", ".join(words))
    return ["```", *sorted(commands), "```", "", *sorted(places)]
