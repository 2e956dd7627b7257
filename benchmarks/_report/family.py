"""The section of the straight-through family, with its figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

# By set-up: the published figures.
SETUPS: dict[str, dict[str, float]] = {"8x4": {}, "32x16": published.HOOPER}
HEAD = ["estimator", "τ", "learning rate", "steps", "seeds", "ours"]
HEAD += ["published", "difference", "test", "ms a step", "where it is going"]


def section(runs: list[Run]) -> list[str]:
    """The straight-through family, the lowest figure first."""
    lines: list[str] = []
    for setup, published_figures in SETUPS.items():
        found, rows = facts.of(runs, setup=setup), []
        for name in dict.fromkeys(run["estimator"] for run in found):
            if run := facts.longest(found, estimator=name):
                alike = facts.done(found, estimator=name, steps=run["steps"])
                theirs = published_figures.get(name)
                rows.append(_row(setup, run, alike, theirs))
        rows.sort(key=lambda row: row[0])
        lines += [f"### {setup}", ""]
        lines += [*facts.table(HEAD, [row for _, row in rows]), ""]
        lines += _orders(found)
    return lines


def _orders(runs: list[Run]) -> Iterable[str]:
    """The estimators, best first, where several ran as many steps."""
    for steps in sorted({run["steps"] for run in facts.done(runs)}):
        costs: dict[str, list[float]] = {}
        for run in facts.done(runs, steps=steps):
            cost = run["results"]["train"]
            costs.setdefault(run["estimator"], []).append(cost)
        means = {name: float(np.mean(found)) for name, found in costs.items()}
        if len(means) > 2:
            names = sorted(means, key=means.__getitem__)
            order = ", ".join(f"{name} {means[name]:.2f}" for name in names)
            yield from [f"Best first after {steps:,} steps: {order}.", ""]


def _row(
    setup: str, run: Run, seeds: list[Run], theirs: float | None
) -> tuple[float, list[Any]]:
    """The figure, to sort by, and the row."""
    values = [other["results"]["train"] for other in seeds]
    ours = float(np.mean(values))
    text = f"{ours:.2f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.2f}"
    tau = run["arguments"].get("temperature")
    test = np.mean([other["results"]["test"] for other in seeds])
    row = [run["estimator"], f"{tau:g}" if tau else "-"]
    row += [f"{run['learning_rate']:g}", f"{run['steps']:,}"]
    row += [", ".join(str(other["seed"]) for other in seeds), text]
    row += [theirs or "-", facts.difference(ours, theirs), f"{test:.2f}"]
    reason = facts.reason(setup, run, ours, theirs)
    return ours, [*row, facts.milliseconds(run), reason]


def plot(runs: list[Run], path: Path) -> None:
    """Training curves over the steps, a panel a set-up."""
    figure, axes = facts.panels(1, 2, (10, 4))
    for axis, (setup, theirs) in zip(axes.flat, SETUPS.items(), strict=True):
        found = facts.of(runs, setup=setup)
        trained = sorted({run["estimator"] for run in found})
        colours = {name: f"C{index}" for index, name in enumerate(trained)}
        for run in sorted(found, key=lambda run: -run["steps"]):
            name = run["estimator"]
            text = f"{name}, {run['steps']:,} steps"
            facts.draw(axis, run, "train", label=text, color=colours[name])
        for name in filter(colours.get, theirs):
            style = {"color": colours[name], "linestyle": ":"}
            axis.axhline(theirs[name], linewidth=0.8, **style)
        axis.set(title=setup, xlabel="step", ylabel="train -ELBO, nats")
        axis.set_xscale("log")
        low = min((min(run["curve"]["train"]) for run in found), default=90)
        axis.set_ylim(min(low, 93.0) - 2.0, 180.0)
        if found:
            axis.legend(fontsize=7)
    facts.save(figure, path)
