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
# What has a row.
KIND = ("optimizer", "train_samples", "estimator")
PROBE_HEAD = ["task", "estimator", "optimizer", "steps", "validation"]


def section(runs: list[Run]) -> list[str]:
    """Table 1 of Jang et al."""
    lines: list[str] = []
    for task, cells in published.JANG.items():
        rows = list(_rows(task, cells, facts.of(runs, task=task)))
        found = facts.table(HEAD, rows) if rows else ["Not run yet."]
        lines += [f"### {task}", "", *found, ""]
        lines += _orders(cells, facts.of(runs, task=task, train_samples=1))
    rerun = {
        f"{run['task']} {published.method(run['estimator'])}"
        for run in facts.done(runs, optimizer="sgd")
    }
    every = {f"{t} {name}" for t, row in published.JANG.items() for name in row}
    if missing := sorted(every - rerun):
        text = "Published cells not rerun with the paper's optimizer: "
        lines += [text + ", ".join(missing) + ".", ""]
    title = "Runs without a test figure: learning rates tried, runs stopped"
    probes = []
    for run in runs:
        if not run.get("results"):
            row = [run["task"], run["estimator"], facts.rate(run)]
            row += [f"{run['steps']:,}", f"{facts.last_bound(run):.2f}"]
            probes.append(row)
    lines += [f"### {title}", "", *facts.table(PROBE_HEAD, probes), ""]
    return [*lines, f"A panel ends at {TOP} times its lowest bound."]


def _orders(cells: dict[str, float], runs: list[Run]) -> Iterable[str]:
    """The published estimators, best first, by ours and by the paper."""
    for optimizers in (["sgd"], ["adam"], ["sgd", "adam"]):
        found = {}
        for name in cells:
            alike = [
                run
                for run in runs
                if published.method(run["estimator"]) == name
                and run["optimizer"] in optimizers
            ]
            if run := facts.chosen(alike):
                found[name] = facts.mean_test(run, alike)
        if len(found) > 2:
            ours = ", ".join(sorted(found, key=found.__getitem__))
            theirs = ", ".join(sorted(found, key=cells.__getitem__))
            which = " or ".join(optimizers)
            order = f"Best first, {which}: {ours}. Published: {theirs}."
            yield from [order, ""]


def _rows(
    task: str, cells: dict[str, float], runs: list[Run]
) -> Iterable[list[Any]]:
    names = dict.fromkeys([*cells, *(run["estimator"] for run in runs)])
    counts = sorted({run["train_samples"] for run in runs})
    for kind in itertools.product(("sgd", "adam"), counts, names):
        run = _chosen(runs, kind)
        if run is None:
            continue
        name, seeds = run["estimator"], facts.seeds_of(run, runs)
        single = run["train_samples"] == 1
        theirs = cells.get(published.method(name)) if single else None
        ours = facts.mean_test(run, runs)
        row: list[Any] = [facts.label(run), facts.rate(run)]
        numbers = ", ".join(str(other["seed"]) for other in seeds)
        row += [f"{run['steps']:,}", numbers]
        row.append(_figure(run, [other["results"]["test"] for other in seeds]))
        row += [theirs or "-", facts.difference(ours, theirs)]
        yield [*row, *facts.pace(run), facts.reason(task, run, ours, theirs)]


def _chosen(runs: list[Run], kind: Any) -> Run | None:
    return facts.chosen(runs, **dict(zip(KIND, kind, strict=True)))


def _figure(run: Run, values: list[float]) -> str:
    """The mean over the seeds, and what it is a mean of."""
    text = f"{np.mean(values):.2f} ± {run['results']['test_se']:.2f}"
    if len(values) > 1:
        text += f", seeds ± {np.std(values, ddof=1):.2f}"
    count = run["results"]["test_images"]
    return text + (f" ({count:,} images)" if count < 10_000 else "")


def plot(runs: list[Run], path: Path) -> None:
    """Validation bounds over the steps, a panel a task."""
    done = facts.done(runs)
    tasks = [task for task in published.JANG if facts.of(done, task=task)]
    names = sorted({run["estimator"] for run in done})
    colours = plt.get_cmap("tab20").colors
    rows = max(1, -(-len(tasks) // 2))
    figure, axes = facts.panels(rows, 2, (10, 4 * rows + 1))
    lines: dict[str, Any] = {}
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        found = facts.of(done, task=task)
        kinds = {tuple(run[name] for name in KIND) for run in found}
        chosen = [run for kind in kinds if (run := _chosen(found, kind))]
        # Worst first, as they lie in the panel.
        for run in sorted(chosen, key=facts.last_bound, reverse=True):
            text = f"{facts.label(run)}, {run['optimizer']}"
            lines[text] = facts.draw(
                axis,
                run,
                "validation",
                linestyle="-" if run["optimizer"] == "sgd" else "--",
                color=colours[names.index(run["estimator"]) % 20],
            )
        axis.set(title=task, xlabel="step", ylabel="10-sample bound, nats")
        lowest = min(map(facts.last_bound, found))
        axis.set_ylim(0.98 * lowest, TOP * lowest)
    if lines:  # One legend for all panels, below them.
        labels = sorted(lines)
        drawn = [lines[text] for text in labels]
        place = "outside lower center"
        figure.legend(drawn, labels, loc=place, fontsize=7, ncols=5)
    facts.save(figure, path)
