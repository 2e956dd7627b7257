"""The section of Jang, Gu & Poole's table, with its figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

# Where a panel ends, beside its lowest bound; a curve above is not seen.
TOP = 1.35

HEAD = ["estimator", "optimizer", "steps", "seed", "ours", "published"]
HEAD += ["difference", "evaluations", "ms a step", "where it is going"]
PROBE_HEAD = ["task", "estimator", "optimizer", "steps", "validation"]


def section(runs: dict[str, Run]) -> list[str]:
    """Table 1 of Jang et al."""
    lines: list[str] = []
    for task, cells in published.JANG.items():
        rows = list(_rows(task, cells, runs))
        found = facts.table(HEAD, rows) if rows else ["Not run yet."]
        lines += [f"### {task}", "", *found, ""]
        lines += list(_orders(task, cells, runs))
    rerun = {
        (run["task"], published.method(run["estimator"]))
        for run in runs.values()
        if run.get("results") and run["optimizer"] == "sgd"
    }
    missing = sorted(
        f"{task} {name}"
        for task, cells in published.JANG.items()
        for name in cells
        if (task, name) not in rerun
    )
    if missing:
        text = "Published cells not rerun with the paper's optimizer: "
        lines += [text + ", ".join(missing) + ".", ""]
    title = "Runs without a test figure: learning rates tried, runs stopped"
    lines += [f"### {title}", "", *facts.table(PROBE_HEAD, _probes(runs)), ""]
    return [*lines, f"A panel ends at {TOP} times its lowest bound."]


def _orders(
    task: str, cells: dict[str, float], runs: dict[str, Run]
) -> Iterable[str]:
    """The published estimators, best first, by ours and by the paper."""
    of_task = [
        run
        for run in facts.of(runs.values(), task=task)
        if facts.train_samples(run) == 1
    ]
    for optimizers in (["sgd"], ["adam"], ["sgd", "adam"]):
        found = {}
        for name in cells:
            alike = [
                run
                for run in of_task
                if published.method(run["estimator"]) == name
                and run["optimizer"] in optimizers
            ]
            if run := facts.chosen(alike):
                found[name] = facts.mean_test(run, alike)
        if len(found) > 2:
            ours = ", ".join(sorted(found, key=found.__getitem__))
            theirs = ", ".join(sorted(found, key=cells.__getitem__))
            which = " or ".join(optimizers)
            yield f"Best first, {which}: {ours}. Published: {theirs}."
            yield ""


def _rows(
    task: str, cells: dict[str, float], runs: dict[str, Run]
) -> Iterable[list[Any]]:
    of_task = facts.of(runs.values(), task=task)
    names = dict.fromkeys([*cells, *(run["estimator"] for run in of_task)])
    samples = sorted({facts.train_samples(run) for run in of_task})
    for optimizer, count, name in itertools.product(
        ("sgd", "adam"), samples, names
    ):
        alike = [run for run in of_task if facts.train_samples(run) == count]
        run = facts.chosen(alike, estimator=name, optimizer=optimizer)
        if run is not None:
            method = published.method(name)
            theirs = cells.get(method) if count == 1 else None
            yield _row(task, run, facts.seeds_of(run, alike), theirs)


def _row(
    task: str, run: Run, seeds: list[Run], theirs: float | None
) -> list[Any]:
    values = [other["results"]["test"] for other in seeds]
    ours = float(np.mean(values))
    return [
        facts.label(run),
        facts.rate(run),
        f"{run['steps']:,}",
        ", ".join(str(other["seed"]) for other in seeds),
        _figure(run, values),
        theirs or "-",
        facts.difference(ours, theirs),
        run["evaluations"],
        facts.milliseconds(run),
        facts.reason(task, run["estimator"], run, ours, theirs)
        or facts.trend(run),
    ]


def _figure(run: Run, values: list[float]) -> str:
    """The mean over the seeds, and what it is a mean of."""
    text = f"{np.mean(values):.2f} ± {run['results']['test_se']:.2f}"
    if len(values) > 1:
        text += f", seeds ± {np.std(values, ddof=1):.2f}"
    count = run["results"]["test_images"]
    return text + (f" ({count:,} images)" if count < 10_000 else "")


def plot(runs: dict[str, Run], path: Path) -> None:
    """Validation bounds over the steps, a panel a task."""
    done = facts.done(runs.values())
    tasks = [task for task in published.JANG if facts.of(done, task=task)]
    names = sorted({run["estimator"] for run in done})
    colours = plt.get_cmap("tab20").colors
    rows = max(1, -(-len(tasks) // 2))
    figure, axes = facts.panels(rows, 2, (10, 4 * rows + 1))
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        found = facts.of(done, task=task)
        for run in _lines(found):
            facts.draw(
                axis,
                run,
                "validation",
                f"{facts.label(run)}, {run['optimizer']}",
                linestyle="-" if run["optimizer"] == "sgd" else "--",
                color=colours[names.index(run["estimator"]) % 20],
            )
        axis.set(title=task, xlabel="step", ylabel="10-sample bound, nats")
        lowest = min(run["curve"]["validation"][-1] for run in found)
        axis.set_ylim(0.98 * lowest, TOP * lowest)
    _legend(figure)
    facts.save(figure, path)


def _legend(figure: Any) -> None:
    """One for all panels, below them."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        lines, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, lines, strict=True))
    labels = sorted(found)
    if labels:
        lines = [found[text] for text in labels]
        place = "outside lower center"
        figure.legend(lines, labels, loc=place, fontsize=7, ncols=5)


def _lines(runs: list[Run]) -> Iterable[Run]:
    """The chosen runs of a task, worst first, as they lie in the panel."""
    kinds = {
        (run["estimator"], run["optimizer"], facts.train_samples(run))
        for run in runs
    }
    found = []
    for name, optimizer, count in kinds:
        alike = [run for run in runs if facts.train_samples(run) == count]
        run = facts.chosen(alike, estimator=name, optimizer=optimizer)
        assert run is not None
        found.append(run)
    return sorted(found, key=lambda run: -run["curve"]["validation"][-1])


def _probes(runs: dict[str, Run]) -> Iterable[list[Any]]:
    for run in runs.values():
        if not run.get("results"):
            yield [
                run["task"],
                run["estimator"],
                facts.rate(run),
                f"{run['steps']:,}",
                f"{run['curve']['validation'][-1]:.2f}",
            ]
