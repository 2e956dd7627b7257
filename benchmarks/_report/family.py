"""The section of the straight-through family, with its figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks import _published as published
from benchmarks._report.runs import (
    Run,
    difference,
    longest,
    milliseconds,
    of,
    paragraphs,
    reason,
    save,
    table,
    trend,
)

TEXT = """
Train -ELBO at one sample, grey levels with binary cross-entropy, 60,000
images. `8x4` is the set-up of Liu et al. 2023 (96,000 steps; no published
figure is quoted, for want of the paper's table). `32x16` is that of Hooper &
Shekhovtsov 2026 (150,000 steps; a shorter run of ours has the same schedule
of the learning rate, stretched over its steps; one learning rate where they
take the best of five). ± is the standard deviation over seeds. Slopes are of
the training loss. Dotted lines: the published figures, after 150,000 steps.
"""


def section(runs: dict[str, Run]) -> list[str]:
    """The straight-through family."""
    lines = ["## The straight-through family", "", *paragraphs(TEXT)]
    head = ["estimator", "τ", "learning rate", "steps", "seeds", "ours"]
    head += ["published", "difference", "test", "ms a step"]
    head += ["where it is going"]
    for setup, theirs in (("8x4", {}), ("32x16", published.HOOPER)):
        rows = []
        of_setup = of(runs.values(), "setup", setup)
        for name in dict.fromkeys(run["estimator"] for run in of_setup):
            run = longest(of_setup, estimator=name)
            if run is not None:
                rows.append(_row(setup, name, run, of_setup, theirs))
        rows.sort(key=lambda row: row[0])
        lines += [f"### {setup}", ""]
        lines += [*table(head, [row[1:] for row in rows]), ""]
        lines += list(_orders(of_setup))
    return [*lines, "![curves](figures/straight_through_vae.png)", ""]


def _orders(runs: list[Run]) -> Iterable[str]:
    """The estimators, best first, where several ran as many steps."""
    done = [run for run in runs if run.get("results")]
    for steps in sorted({run["steps"] for run in done}):
        costs: dict[str, list[float]] = {}
        for run in of(done, "steps", steps):
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
    same = [
        other
        for other in runs
        if other["estimator"] == name
        and other["steps"] == run["steps"]
        and other.get("results")
    ]
    values = [other["results"]["train"] for other in same]
    ours = float(np.mean(values))
    text = f"{ours:.2f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.2f}"
    print_of = theirs.get(name)
    return [
        ours,
        name,
        f"{run['arguments'].get('temperature', '-'):g}"
        if "temperature" in run["arguments"]
        else "-",
        f"{run['learning_rate']:g}",
        f"{run['steps']:,}",
        ", ".join(str(other["seed"]) for other in same),
        text,
        print_of or "-",
        difference(ours, print_of),
        f"{np.mean([other['results']['test'] for other in same]):.2f}",
        milliseconds(run),
        reason(setup, name, run, ours, print_of) or trend(run),
    ]


def plot(runs: dict[str, Run], path: Path) -> None:
    """Training curves over the steps, a panel a set-up."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, setup in zip(axes, ("8x4", "32x16"), strict=True):
        found = of(runs.values(), "setup", setup)
        trained = sorted({run["estimator"] for run in found})
        for run in sorted(found, key=lambda run: -run["steps"]):
            curve = run["curve"]
            axis.plot(
                curve["step"],
                curve["train"],
                color=f"C{trained.index(run['estimator'])}",
                label=f"{run['estimator']}, {run['steps']:,} steps",
            )
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
    save(figure, path)
