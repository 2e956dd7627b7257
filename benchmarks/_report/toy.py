"""The section of the toy problem, with its figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from benchmarks._report import facts
from benchmarks._report.facts import Run


def section(runs: dict[str, Run]) -> list[str]:
    """The toy problem."""
    head = ["estimator", "unbiased", "evaluations"]
    targets = sorted({run["target"] for run in runs.values()})
    for target in targets:
        head += [f"cost, t = {target:g}", "variance", "variance at the start"]
    rows = []
    for name in dict.fromkeys(run["estimator"] for run in runs.values()):
        found = [
            facts.longest(runs.values(), estimator=name, target=t)
            for t in targets
        ]
        if None in found:
            continue
        first = found[0]
        assert first is not None
        row = [name, "yes" if first["unbiased"] else "no"]
        row += [first["evaluations"]]
        for run in found:
            assert run is not None
            variance = run["curve"]["variance"]
            row += [f"{run['results']['cost']:.6f}"]
            row += [_scientific(variance[-1]), _scientific(variance[0])]
        rows.append((first["results"]["cost"], row))
    rows.sort(key=lambda pair: pair[0])
    return facts.table(head, [row for _, row in rows])


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def plot(runs: dict[str, Run], path: Path) -> None:
    """Cost and variance over the steps, a column a target."""
    targets = sorted({run["target"] for run in runs.values()}) or [0.45]
    size = 5.5 * len(targets), 7
    figure, axes = facts.panels(2, len(targets), size, sharex=True)
    for column, target in zip(axes.T, targets, strict=True):
        for index, run in enumerate(facts.of(runs.values(), target=target)):
            style = {
                "linestyle": "-" if run["unbiased"] else ":",
                "color": matplotlib.colormaps["tab20"](index % 20),
            }
            for axis, name in zip(column, ("cost", "variance"), strict=True):
                facts.draw(axis, run, name, run["estimator"], **style)
        column[0].axhline(target**2, color="k", linewidth=0.6)
        column[0].set(title=f"t = {target:g}", ylabel="cost")
        column[1].set(yscale="log", ylabel="gradient variance", xlabel="step")
        column[1].set_ylim(1e-14, None)
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(fontsize=6, ncols=2)
    facts.save(figure, path)
