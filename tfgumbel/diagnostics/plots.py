"""Pictures of comparisons; matplotlib is imported only here, when needed.

Every picture can be read in grey: what colour tells, a marker or the style of
a line tells as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tfgumbel.diagnostics.comparison import Comparison
    from tfgumbel.diagnostics.row import Row
    from tfgumbel.diagnostics.training import Curve

_MOST_LINES = 8
"""Lines in one panel; more of them are spread over several."""
# From dark to light, so that neighbours differ in grey.
_COLORS = ("#1b1b3a", "#7a0177", "#1f6fb5", "#d95f02", "#5aae61", "#e6ab02")
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")


def figure(**options: Any) -> Any:
    """A figure that needs no display; raises if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: `pip install matplotlib`"
        ) from error
    return Figure(layout="constrained", **options)


# A comparison ---------------------------------------------------------------


def plot_comparison(comparison: Comparison, path: str | os.PathLike) -> None:
    """Draws bounds of the bias, variance * evaluations and variance * time."""
    rows = [row for row in comparison.rows if not row.failed]
    rows.sort(key=lambda row: -(row.variance_evaluations or 0.0))
    norm = comparison.gradient_norm
    with_bias = bool(norm) and any(row.bias is not None for row in rows)
    count = 3 if with_bias else 2
    size = (3.5 * count + 1, 2 + 0.3 * len(rows))
    picture = figure(figsize=size, dpi=150)
    panels = list(picture.subplots(1, count, sharey=True))
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows])
    panels[0].set_ylim(-0.7, len(rows) - 0.3)
    if with_bias and norm:
        tolerance = comparison.settings["tolerance"]
        _draw_bias(panels.pop(0), rows, norm, tolerance)
    costs = [row.variance_evaluations for row in rows]
    _draw_points(panels[0], rows, costs, comparison.recommended)
    panels[0].set_title("variance × evaluations", fontsize="medium")
    times = [row.variance_time for row in rows]
    _draw_points(panels[1], rows, times, comparison.recommended)
    _draw_spread(panels[1], rows)
    panels[1].set_title("variance × ms", fontsize="medium")
    handles, names = panels[0].get_legend_handles_labels()
    picture.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False
    )
    picture.savefig(path)


def _draw_bias(
    axes: Any, rows: Sequence[Row], norm: float, tolerance: float
) -> None:
    """Where each bias is: from bound to bound, and a mark if it is seen."""
    bounds = [
        (place, (row.bias_lower or 0.0) / norm, row.bias_upper / norm, row)
        for place, row in enumerate(rows)
        if row.bias_upper is not None
    ]
    left = max(1e-3, min(0.3 * min(b[2] for b in bounds), tolerance / 3.0))
    for place, low, high, row in bounds:
        axes.plot(
            [max(low, left), max(high, 1.2 * left)], [place] * 2, "k-", lw=1.5
        )
        if row.bias_detected and row.relative_bias:
            axes.plot([row.relative_bias], [place], "kD", markersize=4)
        elif low <= left:
            axes.plot([left], [place], "k<", markersize=4)
    axes.axvline(tolerance, color="0.5", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(left=left)
    axes.set_title("bias / |gradient|: bounds; ◆ detected", fontsize="medium")
    axes.grid(alpha=0.3)


def _draw_points(
    axes: Any,
    rows: Sequence[Row],
    values: Sequence[float | None],
    recommended: str | None,
) -> None:
    for label, marker, chosen in _groups(rows, recommended):
        style = {"marker": marker, "linestyle": "", "label": label}
        if label.startswith("bias too"):
            style |= {"markerfacecolor": "white", "markeredgecolor": "0.35"}
        else:
            style |= {"color": "black" if marker == "*" else "tab:blue"}
        axes.plot(
            [values[place] or None for place in chosen],
            chosen,
            markersize=13 if marker == "*" else 6,
            **style,
        )
    axes.set_xscale("log" if any(values) else "linear")
    axes.grid(alpha=0.3)
    for place, value in enumerate(values):
        if value == 0:  # Has no place on a logarithmic axis.
            star = " ★" if rows[place].name == recommended else ""
            axes.annotate(
                f"◂ 0{star}",
                (0.01, place),
                xycoords=("axes fraction", "data"),
                verticalalignment="center",
            )


def _groups(
    rows: Sequence[Row], recommended: str | None
) -> list[tuple[str, str, list[int]]]:
    """Label, marker and places of the rows of each kind."""
    kinds = (
        ("recommended", "*"),
        ("unbiased", "o"),
        ("bias acceptable", "s"),
        ("bias undecided", "^"),
        ("bias too large", "X"),
    )
    places: dict[str, list[int]] = {label: [] for label, _ in kinds}
    for place, row in enumerate(rows):
        places[_kind(row, recommended)].append(place)
    return [(label, m, places[label]) for label, m in kinds if places[label]]


def _kind(row: Row, recommended: str | None) -> str:
    if row.name == recommended:
        return "recommended"
    if row.unbiased and not row.bias_detected:
        return "unbiased"
    if row.acceptable is None:
        return "bias undecided"
    return "bias acceptable" if row.acceptable else "bias too large"


def _draw_spread(axes: Any, rows: Sequence[Row]) -> None:
    """The middle half of the times that calls took, as a line."""
    for place, row in enumerate(rows):
        if row.variance and row.milliseconds and row.milliseconds_spread:
            ends = [
                row.variance * max(0.0, row.milliseconds + sign * spread)
                for sign in (-1, 1)
                for spread in [row.milliseconds_spread]
            ]
            axes.plot(ends, [place] * 2, "-", color="0.5", lw=1, zorder=0)


# Training -------------------------------------------------------------------


class Line(NamedTuple):
    """One line of the picture: the curves that coincide in it."""

    names: list[str]
    curve: Curve

    @property
    def label(self) -> str:
        """Names, and the cost at the end."""
        return f"{self.curve.cost[-1]:#.4g}  {' = '.join(self.names)}"


def plot_training(
    curves: Mapping[str, Curve],
    title: str,
    path: str | os.PathLike,
    cost: str = "cost",
) -> None:
    """Draws log variance and cost against the step.

    As in figures 1 and 2 of Tucker et al. (2017). What is biased by
    construction stands next to the rest, each kind in as many panels as it
    takes to have eight lines in one, on common scales. Legends are ordered by
    the cost at the end, which they give. Curves that coincide are one line
    with several names. Estimators that could not be trained are left out, and
    a variance of zero leaves a gap.
    """
    columns = panels(curves)
    count = max(1, len(columns))
    picture = figure(figsize=(1 + 4.5 * count, 9), dpi=150)
    upper, lower = picture.subplots(
        *(2, count), sharex=True, sharey="row", squeeze=False
    )
    for column, (heading, lines) in enumerate(columns):
        _draw_lines(upper[column], lower[column], lines)
        upper[column].set_title(heading, fontsize="medium")
        lower[column].set(xlabel="step")
        lower[column].legend(
            loc="upper left",
            bbox_to_anchor=(0.0, -0.15),
            title="cost at the end",
            alignment="left",
            frameon=False,
            handlelength=3,
        )
    upper[0].set(ylabel="variance of the gradient in the logits")
    if any(value > 0 for c in curves.values() for value in c.variance):
        upper[0].set_yscale("log")
    lower[0].set(ylabel=cost)
    _leave_out_a_steep_start(
        lower[0], [c.cost for c in curves.values() if c.step]
    )
    for axes in (*upper, *lower):
        axes.grid(alpha=0.3)
    picture.suptitle(title, fontsize="medium")
    picture.savefig(path)


def _draw_lines(upper: Any, lower: Any, lines: Sequence[Line]) -> None:
    for index, line in enumerate(lines):
        step = line.curve.step
        look = style(index, len(step))
        variance = [v if v > 0 else None for v in line.curve.variance]
        upper.plot(step, variance, **look)
        lower.plot(step, line.curve.cost, label=line.label, **look)


def style(index: int, points: int) -> dict[str, Any]:
    """How the line of this place in its panel looks."""
    return {
        "color": _COLORS[index % len(_COLORS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "markersize": 4,
        "linewidth": 1.3,
        # Ten marks a line, not all of them at the same steps.
        "markevery": (index % 5, max(1, points // 10)),
    }


def panels(curves: Mapping[str, Curve]) -> list[tuple[str, list[Line]]]:
    """Headings and lines of the columns, the lowest final cost first."""
    found: list[tuple[str, list[Line]]] = []
    for heading, unbiased in (("unbiased", True), ("biased", False)):
        chosen = {
            name: curve
            for name, curve in curves.items()
            if curve.step and curve.unbiased == unbiased
        }
        lines = sorted(_merged(chosen), key=_final_cost)
        count = -(-len(lines) // _MOST_LINES)
        for part in range(count):
            size = -(-len(lines) // count)
            shown = lines[part * size : (part + 1) * size]
            more = f" ({part + 1} of {count})" if count > 1 else ""
            found.append((heading + more, shown))
    return found


def _final_cost(line: Line) -> tuple[bool, float]:
    """What lines are ordered by: NaN comes last."""
    cost = line.curve.cost[-1]
    return math.isnan(cost), cost


def _merged(curves: Mapping[str, Curve]) -> list[Line]:
    """Lines: curves that nobody could tell apart are one."""
    every = [value for curve in curves.values() for value in curve.cost]
    costs = list(filter(math.isfinite, every))
    width = 0.002 * (max(costs) - min(costs)) if costs else 0.0
    lines: list[Line] = []
    for name, curve in curves.items():
        for line in lines:
            if _coincide(curve, line.curve, width):
                line.names.append(name)
                break
        else:
            lines.append(Line([name], curve))
    return lines


def _coincide(one: Curve, other: Curve, width: float) -> bool:
    costs = zip(one.cost, other.cost, strict=True)
    variances = zip(one.variance, other.variance, strict=True)
    return all(abs(a - b) <= width for a, b in costs) and all(
        abs(a - b) <= 0.02 * max(abs(a), abs(b)) for a, b in variances
    )


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
