"""Draws the figures of the estimators' pages from what was measured.

    python -m docs.scripts.draw [--only NAME ...] [--folder FOLDER]

Reads `docs/data/estimators.json`, which `python -m docs.scripts.measure`
writes, and writes one SVG for each figure to `docs/images/estimators`.
Solid lines are variances, dashed ones squared biases, both in units of the
squared norm of the exact gradient; a hollow triangle stands where no bias was
detected, at the upper bound of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from docs.scripts.measure import OUT

FOLDER = OUT.parents[1] / "images" / "estimators"
EXACT = ", exact"
MAIN, SECOND, THIRD, FOURTH = "#3f51b5", "#c2410c", "#0f766e", "#6b7280"
COLORS = (MAIN, SECOND, THIRD, FOURTH)
UNIT = "relative to |∇E f|²"
ABSOLUTE = {"y": "variance"}

# By figure: label of x, scale of x, and what differs from the rule.
AXES: dict[str, dict[str, Any]] = {
    "arm": dict(
        x="probability of each of 6 variables", scale="linear", **ABSOLUTE
    ),
    "arms": dict(x="evaluations of f, n"),
    "disarm": dict(x="variables, each of probability 0.8", **ABSOLUTE),
    "double_cv": dict(x="curvature α of f = e + α e²"),
    "dreg": dict(x="shift of q from the posterior", **ABSOLUTE),
    "exact": dict(x="evaluations of f"),
    "gapped": dict(x="temperature τ"),
    "gumbel_rao": dict(x="noises per sample, M"),
    "gumbel_softmax": dict(x="temperature τ"),
    "iwae": dict(x="samples S", y="variance / |mean|²"),
    "measure_valued": dict(
        x="rate λ", y="variance in log λ", ticks=(0.5, 1, 2, 5, 10, 20)
    ),
    "muprop": dict(x="curvature α of f = e + α e²"),
    "mve": dict(x="temperature τ"),
    "nvil": dict(x="steps of training", scale="symlog"),
    "pathwise": dict(x="k", scale="linear", y="variance in μ"),
    "rebar": dict(x="temperature τ", yscale="linear"),
    "reinforce": dict(x="baseline b", scale="linear", yscale="linear"),
    "reinmax": dict(x="temperature τ"),
    "relax": dict(x="steps of training", scale="symlog", yscale="linear"),
    "rloo": dict(x="samples S"),
    "rodeo": dict(x="steps of training", scale="symlog", yscale="linear"),
    "st": dict(x="temperature τ"),
    "st_gumbel": dict(x="temperature τ"),
    "unordered_set": dict(x="evaluations of f"),
    "stl": dict(x="samples S", y="relative to |∇E L̂|²"),
    "vimco": dict(x="samples S", y="variance / |mean|²"),
    "zgr": dict(x="temperature τ"),
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tfgumbel",
    "font.family": "sans-serif",
    "font.sans-serif": ["Roboto", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(name: str, series: dict[str, list], path: Path) -> None:
    """One figure."""
    axis = AXES[name]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.3), layout="constrained")
        axes = figure.add_subplot()
        levels = [k for k, v in series.items() if _is_level(v)]
        curves = [k for k in series if k not in levels]
        own = curves.index(name) if name in curves else len(curves) - 1
        curves = [curves[own], *curves[:own], *curves[own + 1 :]]
        style = _measured(series)
        for label, color in zip(curves, _colors(curves), strict=True):
            _curve(axes, label, series[label], color, style)
        for label, color in zip(levels, COLORS[len(curves) :], strict=False):
            _level(axes, label, series[label][0], color)
        axes.set(xlabel=axis["x"], ylabel=axis.get("y", UNIT))
        axes.set_xscale(axis.get("scale", "log"), **_symlog(axis))
        axes.set_yscale(axis.get("yscale", "log"))
        if axis.get("scale", "log") != "linear":
            _plain_ticks(axes, axis.get("ticks"), series)
        axes.minorticks_off()
        if name == "exact":
            _mark_enumeration(axes)
        axes.grid(alpha=0.25)
        figure.legend(
            loc="outside right upper", frameon=False, fontsize=9, handlelength=2
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _is_level(points: list) -> bool:
    return len(points) == 1


def _colors(labels: Sequence[str]) -> list[str]:
    """One colour an estimator: what is exact has that of what is measured."""
    bases = list(dict.fromkeys(label.removesuffix(EXACT) for label in labels))
    return [COLORS[bases.index(label.removesuffix(EXACT))] for label in labels]


def _symlog(axis: dict[str, Any]) -> dict[str, Any]:
    return {"linthresh": 20} if axis.get("scale") == "symlog" else {}


def _measured(series: dict[str, list]) -> dict[str, Any]:
    """Points on an exact line, or joined where there is none."""
    if any(label.endswith(EXACT) for label in series):
        return {"marker": "o", "markersize": 4, "linestyle": "none"}
    if all(len(points) > 25 for points in series.values()):
        return {}
    return {"marker": "o", "markersize": 4}


def _curve(
    axes: Any, label: str, points: list, color: str, style: dict[str, Any]
) -> None:
    axes.plot(
        [p[0] for p in points],
        [p[1] for p in points],
        color=color,
        label=label,
        **({} if label.endswith(EXACT) else style),
    )
    _bias(axes, points, color)


def _bias(axes: Any, points: list, color: str) -> None:
    found = [(p[0], p[2]) for p in points if len(p) > 2 and p[2]]
    if found:
        axes.plot(
            *zip(*found, strict=True),
            *("--o",),
            color=color,
            markersize=3.5,
            markerfacecolor="white",
            label="its bias²",
        )
        missing = [(p[0], p[3]) for p in points if p[2] is None and p[3]]
        if missing:
            axes.plot(
                *zip(*missing, strict=True),
                *("v",),
                color=color,
                markersize=5,
                markerfacecolor="white",
                label="bias² below this",
            )


def _level(axes: Any, label: str, point: list, color: str) -> None:
    axes.axhline(point[1], color=color, linewidth=1.2, label=label)
    if len(point) > 2 and point[2]:
        axes.axhline(
            *(point[2],),
            color=color,
            linewidth=1.2,
            linestyle="--",
            label=f"{label}, bias²",
        )


def _plain_ticks(axes: Any, ticks: Any, series: dict[str, list]) -> None:
    """Numbers as they are, not powers of ten, where there are few."""
    xs = ticks or [p[0] for p in max(series.values(), key=len)]
    if max(xs) < 1e4:
        axes.set_xticks(xs, [f"{x:g}" for x in xs], fontsize=9)
    if min(xs) == 0:
        axes.set_xlim(left=0)


def _mark_enumeration(axes: Any) -> None:
    axes.axvline(64, color=SECOND, linewidth=1.2)
    axes.annotate(
        *("exact: all 64\nstates, no error", (64, 0.98)),
        xytext=(-4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=SECOND,
        horizontalalignment="right",
        verticalalignment="top",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures, or those asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=AXES, metavar="NAME")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    report = json.loads(OUT.read_text(encoding="utf-8"))
    for name in options.only or AXES:
        series = report["series"][name]
        draw(name, series, options.folder / f"{name}.svg")


if __name__ == "__main__":
    main()
