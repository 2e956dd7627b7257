"""The section of the toy problem, with its figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from benchmarks._report import facts
from benchmarks._report.facts import Run


def section(runs: list[Run]) -> list[str]:
    """The toy problem, the lowest cost first."""
    head = ["estimator", "unbiased", "evaluations"]
    targets = sorted({run["target"] for run in runs})
    for target in targets:
        head += [f"cost, t = {target:g}", "variance", "variance at the start"]
    rows = []
    for name in dict.fromkeys(run["estimator"] for run in runs):
        longest = [
            facts.longest(runs, estimator=name, target=t) for t in targets
        ]
        found = [run for run in longest if run]
        if len(found) < len(targets):
            continue
        first = found[0]
        row = [name, "yes" if first["unbiased"] else "no", first["evaluations"]]
        for run in found:
            variance = run["curve"]["variance"]
            row += [f"{run['results']['cost']:.6f}"]
            row += [_scientific(variance[-1]), _scientific(variance[0])]
        rows.append((first["results"]["cost"], row))
    rows.sort(key=lambda pair: pair[0])
    return facts.table(head, [row for _, row in rows])


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def plot(runs: list[Run], path: Path) -> None:
    """Cost and variance over the steps, a column a target."""
    targets = sorted({run["target"] for run in runs}) or [0.45]
    size = 5.5 * len(targets), 7
    figure, axes = facts.panels(2, len(targets), size, sharex=True)
    for (costs, variances), target in zip(axes.T, targets, strict=True):
        for index, run in enumerate(facts.of(runs, target=target)):
            style = {
                "label": run["estimator"],
                "linestyle": "-" if run["unbiased"] else ":",
                "color": matplotlib.colormaps["tab20"](index % 20),
            }
            facts.draw(costs, run, "cost", **style)
            facts.draw(variances, run, "variance", **style)
        costs.axhline(target**2, color="k", linewidth=0.6)
        costs.set(title=f"t = {target:g}", ylabel="cost")
        variances.set(yscale="log", ylabel="gradient variance", xlabel="step")
        variances.set_ylim(1e-14, None)
    if runs:
        axes[0, 0].legend(fontsize=6, ncols=2)
    facts.save(figure, path)
