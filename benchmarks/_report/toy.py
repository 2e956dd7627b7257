"""The section of the toy problem, with its figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from benchmarks._report.runs import Run, longest, of, paragraphs, save, table

TEXT = """
E (b - t)², one bit, 5,000 steps of one sample, Adam 0.01. Minimum: t², 0.2025
and 0.249001. The variance is that of the gradient at the run's own parameter,
which falls as the run converges; at the start all are at probability 1/2.
"""


def section(runs: dict[str, Run]) -> list[str]:
    """The toy problem."""
    lines = ["## The toy problem of REBAR and RELAX", "", *paragraphs(TEXT)]
    head = ["estimator", "unbiased", "evaluations"]
    targets = sorted({run["target"] for run in runs.values()})
    for target in targets:
        head += [f"cost, t = {target:g}", "variance", "variance at the start"]
    rows = []
    for name in dict.fromkeys(run["estimator"] for run in runs.values()):
        found = [
            longest(runs.values(), estimator=name, target=t) for t in targets
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
    lines += [*table(head, [row for _, row in rows]), ""]
    return [*lines, "![cost and variance](figures/rebar_toy.png)", ""]


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def plot(runs: dict[str, Run], path: Path) -> None:
    """Cost and variance over the steps, a column a target."""
    targets = sorted({run["target"] for run in runs.values()}) or [0.45]
    figure, axes = plt.subplots(
        2,
        len(targets),
        figsize=(5.5 * len(targets), 7),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for column, target in zip(axes.T, targets, strict=True):
        for index, run in enumerate(of(runs.values(), "target", target)):
            curve, style = run["curve"], "-" if run["unbiased"] else ":"
            for axis, name in zip(column, ("cost", "variance"), strict=True):
                axis.plot(
                    curve["step"],
                    curve[name],
                    style,
                    color=matplotlib.colormaps["tab20"](index % 20),
                    label=run["estimator"],
                )
        column[0].axhline(target**2, color="k", linewidth=0.6)
        column[0].set(title=f"t = {target:g}", ylabel="cost")
        column[1].set(yscale="log", ylabel="gradient variance", xlabel="step")
        column[1].set_ylim(1e-14, None)
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(fontsize=6, ncols=2)
    save(figure, path)
