"""The section of the straight-through family, with its figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

HEAD = ["estimator", "τ", "learning rate", "steps", "seeds", "ours"]
HEAD += ["published", "difference", "test", "ms a step", "where it is going"]


def section(runs: dict[str, Run]) -> list[str]:
    """The straight-through family."""
    lines: list[str] = []
    for setup, theirs in (("8x4", {}), ("32x16", published.HOOPER)):
        rows = []
        of_setup = facts.of(runs.values(), setup=setup)
        for name in dict.fromkeys(run["estimator"] for run in of_setup):
            run = facts.longest(of_setup, estimator=name)
            if run is not None:
                rows.append(_row(setup, name, run, of_setup, theirs))
        rows.sort(key=lambda row: row[0])
        lines += [f"### {setup}", ""]
        lines += [*facts.table(HEAD, [row[1:] for row in rows]), ""]
        lines += list(_orders(of_setup))
    return lines


def _orders(runs: list[Run]) -> Iterable[str]:
    """The estimators, best first, where several ran as many steps."""
    done = facts.done(runs)
    for steps in sorted({run["steps"] for run in done}):
        costs: dict[str, list[float]] = {}
        for run in facts.of(done, steps=steps):
            cost = run["results"]["train"]
            costs.setdefault(run["estimator"], []).append(cost)
        if len(costs) > 2:
            means = {name: float(np.mean(costs[name])) for name in costs}
            order = ", ".join(
                f"{name} {means[name]:.2f}"
                for name in sorted(means, key=means.__getitem__)
            )
            yield f"Best first after {steps:,} steps: {order}."
            yield ""


def _row(
    setup: str, name: str, run: Run, runs: list[Run], theirs: dict[str, float]
) -> list[Any]:
    same = facts.done(runs, estimator=name, steps=run["steps"])
    values = [other["results"]["train"] for other in same]
    ours = float(np.mean(values))
    text = f"{ours:.2f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.2f}"
    print_of, tau = theirs.get(name), run["arguments"].get("temperature")
    return [
        ours,
        name,
        f"{tau:g}" if tau else "-",
        f"{run['learning_rate']:g}",
        f"{run['steps']:,}",
        ", ".join(str(other["seed"]) for other in same),
        text,
        print_of or "-",
        facts.difference(ours, print_of),
        f"{np.mean([other['results']['test'] for other in same]):.2f}",
        facts.milliseconds(run),
        facts.reason(setup, name, run, ours, print_of) or facts.trend(run),
    ]


def plot(runs: dict[str, Run], path: Path) -> None:
    """Training curves over the steps, a panel a set-up."""
    figure, axes = facts.panels(1, 2, (10, 4))
    for axis, setup in zip(axes.flat, ("8x4", "32x16"), strict=True):
        found = facts.of(runs.values(), setup=setup)
        trained = sorted({run["estimator"] for run in found})
        for run in sorted(found, key=lambda run: -run["steps"]):
            colour = f"C{trained.index(run['estimator'])}"
            text = f"{run['estimator']}, {run['steps']:,} steps"
            facts.draw(axis, run, "train", text, color=colour)
        theirs = published.HOOPER if setup == "32x16" else {}
        for name, value in theirs.items():
            if name in trained:
                colour = f"C{trained.index(name)}"
                axis.axhline(value, linewidth=0.8, linestyle=":", color=colour)
        axis.set(title=setup, xlabel="step", ylabel="train -ELBO, nats")
        axis.set_xscale("log")
        low = min((min(r["curve"]["train"]) for r in found), default=90)
        axis.set_ylim(min(low, 93.0) - 2.0, 180.0)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    facts.save(figure, path)
