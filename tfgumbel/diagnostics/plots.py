"""Pictures of comparisons; matplotlib is imported only here, when needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfgumbel.diagnostics.comparison import Comparison, Row
    from tfgumbel.diagnostics.training import Curve


def figure(**options: Any) -> Any:
    """A figure that needs no display; raises if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: `pip install matplotlib`"
        ) from error
    return Figure(layout="constrained", **options)


def plot_comparison(comparison: Comparison, path: str | os.PathLike) -> None:
    """Draws variance and bias² on the left, variance * time on the right."""
    rows = [row for row in comparison.rows if not row.failed]
    rows.sort(key=lambda row: -(row.variance_time or 0.0))
    picture = figure(figsize=(9, 2 + 0.3 * len(rows)), dpi=150)
    left, right = picture.subplots(1, 2, sharey=True)
    left.set_yticks(range(len(rows)), [row.name for row in rows])
    for label, style, chosen in _groups(rows, comparison.recommended):
        places = [rows.index(row) for row in chosen]
        for axes, values in (
            (left, [row.variance for row in chosen]),
            (right, [row.variance_time for row in chosen]),
        ):
            shown = [value or None for value in values]
            axes.plot(shown, places, linestyle="", label=label, **style)
    _add_bias(left, rows)
    left.set_title("variance, total over coordinates", fontsize="medium")
    right.set_title("variance × ms per estimate", fontsize="medium")
    for axes, values in (
        (left, [row.variance for row in rows]),
        (right, [row.variance_time for row in rows]),
    ):
        _finish(axes, values)
    handles, names = left.get_legend_handles_labels()
    picture.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False
    )
    picture.savefig(path)


def _groups(rows: list[Row], recommended: str | None) -> list[Any]:
    """Label, style and rows of what is recommended, unbiased, biased."""
    best = [row for row in rows if row.name == recommended]
    others = [row for row in rows if row.name != recommended]
    groups = [
        ("recommended", "tab:green", "*", 13, best),
        ("unbiased", "tab:blue", "o", 7, [r for r in others if r.unbiased]),
        ("biased", "tab:red", "o", 7, [r for r in others if not r.unbiased]),
    ]
    return [
        (label, {"color": color, "marker": marker, "markersize": size}, chosen)
        for label, color, marker, size, chosen in groups
        if chosen
    ]


def _add_bias(axes: Any, rows: list[Row]) -> None:
    found = [row for row in rows if row.bias_detected and row.bias]
    if found:
        axes.plot(
            [row.bias**2 for row in found if row.bias],
            [rows.index(row) for row in found],
            "D",
            color="tab:red",
            fillstyle="none",
            label="bias², where detected",
        )


def _finish(axes: Any, values: list[float | None]) -> None:
    axes.set_xscale("log" if any(values) else "linear")
    axes.set_ylim(-0.7, len(values) - 0.3)
    axes.grid(alpha=0.3)
    for place, value in enumerate(values):
        if value == 0:  # Has no place on a logarithmic axis.
            axes.annotate(
                "◂ 0",
                (0.01, place),
                xycoords=("axes fraction", "data"),
                verticalalignment="center",
            )


def plot_training(
    curves: Mapping[str, Curve],
    title: str,
    path: str | os.PathLike,
    cost: str = "cost",
) -> None:
    """Draws log variance and cost against the step, a line per estimator.

    As in figures 1 and 2 of Tucker et al. (2017); dashed if biased by
    construction. Estimators that could not be trained are left out, and a
    variance of zero leaves a gap.
    """
    picture = figure(figsize=(8, 7), dpi=150)
    upper, lower = picture.subplots(2, 1, sharex=True)
    for name, style in _styles(curves).items():
        curve = curves[name]
        variance = [value if value > 0 else None for value in curve.variance]
        upper.plot(curve.step, variance, **style)
        lower.plot(curve.step, curve.cost, **style)
    upper.set(ylabel="variance of the gradient in the logits")
    if any(value > 0 for c in curves.values() for value in c.variance):
        upper.set_yscale("log")
    lower.set(xlabel="step", ylabel=cost)
    upper.set_title(title, fontsize="medium")
    _leave_out_a_steep_start(lower, [c.cost for c in curves.values() if c.step])
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    handles, names = lower.get_legend_handles_labels()
    picture.legend(handles, names, loc="outside right center", frameon=False)
    picture.savefig(path)


def _leave_out_a_steep_start(axes: Any, costs: list[list[float]]) -> None:
    """Limits the axis if what comes after a tenth of the run is squeezed."""
    if not costs:
        return
    late = [value for cost in costs for value in cost[len(cost) // 10 :]]
    every = [value for cost in costs for value in cost]
    low, high = min(late), max(late)
    if 0 < high - low < 0.3 * (max(every) - min(every)):
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _styles(curves: Mapping[str, Curve]) -> dict[str, dict[str, Any]]:
    """Solid colours for the unbiased, dashed ones for the biased."""
    styles: dict[str, dict[str, Any]] = {}
    count = {True: 0, False: 0}
    for name, curve in curves.items():
        if curve.step:
            place = count[curve.unbiased]
            count[curve.unbiased] += 1
            styles[name] = {
                "label": name if curve.unbiased else f"{name} (biased)",
                "color": f"C{place % 10}",
                "linestyle": "-" if curve.unbiased else "--",
                "linewidth": 1.4 if place < 10 else 2.8,
            }
    return styles
