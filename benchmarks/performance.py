"""The figure of time and memory: layers, an epoch, and many categories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
OUT = Path(__file__).parents[1] / "docs" / "images" / "performance.png"
COLOURS = {"ours": "#1f5fa8", "peer": "#b9c0c8"}
OURS = ("tfgumbel", "GumbelSoftmax")
# What the panel of layers shows, and how it is called there.
LAYERS = {
    "GumbelSoftmax": "GumbelSoftmax",
    "composed of TF ops": "composed of TF ops",
    "tfp RelaxedOneHotCategorical": "TFP",
    "torch F.gumbel_softmax": "torch (eager)",
}


def load(name: str) -> Any:
    """The report of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def layers(report: Mapping[str, Any], mode: str) -> dict[str, float]:
    """Time at (4096, 1000) over that of a softmax in graph mode."""
    (softmax,) = (
        row["median_ms"]
        for row in report["results"]
        if at_shape(row) and row["name"] == "tf.nn.softmax"
        if row["mode"] == "graph"
    )
    times = figures(report, mode, "median_ms")
    return {label: time / softmax for label, time in times.items()}


def figures(
    report: Mapping[str, Any], mode: str, figure: str
) -> dict[str, float]:
    """A figure of the layers at (4096, 1000), by label, where there is one."""
    rows = {
        (row["name"], row["mode"]): row.get(figure)
        for row in report["results"]
        if at_shape(row)
    }
    found = {
        label: rows.get((name, "eager" if "torch" in name else mode))
        for name, label in LAYERS.items()
    }
    return {label: v for label, v in found.items() if v is not None}


def at_shape(row: Mapping[str, Any]) -> bool:
    """Whether this is a row of the shape that is drawn."""
    return row["shape"] == [4096, 1000]


def epoch(report: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the fastest epoch, by contender."""
    names = ["tfgumbel", "tfgumbel, XLA", "hand-written", "TFP", "torch"]
    names.append("Keras, no noise")
    rows = {row["name"]: row["min_ms"] / 1e3 for row in report["results"]}
    return {name: rows[name] for name in names if name in rows}


def embedding(report: Mapping[str, Any], figure: str) -> dict[str, float]:
    """Speed or memory beside one-hot × matrix, by estimator."""
    return {
        row["estimator"]: row[figure]
        for row in report["results"]
        if row["mode"] == "graph" and figure in row
    }


def draw(path: Path = OUT) -> None:
    """Draws the figure from the JSON in `benchmarks/results`."""
    from tfgumbel.diagnostics.plots import figure

    report = load("layers")
    peaks = figures(report, "graph", "peak_mib")
    rows = 3 if peaks else 2
    picture = figure(figsize=(10, 2.7 * rows), dpi=150)
    panels = picture.subplots(rows, 2).ravel()
    for axes, mode in ((panels[0], "graph"), (panels[1], "xla")):
        title = "graph mode" if mode == "graph" else "XLA"
        bars(axes, layers(report, mode), f"Forward + backward, {title}")
        axes.set_xlabel("time at 4096 × 1000, softmax = 1")
        if mode == "xla":
            axes.set_xscale("log")
            axes.set_xticks([1, 10, 100], ["1", "10", "100"])
            axes.set_xlim(0.8, 500)
    bars(panels[2], epoch(load("epoch")), "An epoch of the categorical VAE")
    panels[2].set_xlabel("seconds for 10,000 images, fastest round")
    draw_embedding(panels[3], "speedup", "speed")
    if peaks:
        bars(panels[4], peaks, "Forward + backward, graph mode")
        panels[4].set_xlabel("peak memory at 4096 × 1000, MiB")
        draw_embedding(panels[5], "memory", "peak memory")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)


def draw_embedding(axes: Any, figure: str, label: str) -> None:
    """A panel of the embedding beside one-hot × matrix."""
    values = embedding(load("large_k"), figure)
    bars(axes, values, "StraightThroughEmbedding, K = 100,000", True)
    axes.axvline(1.0, color="#555555", linewidth=0.8)
    axes.set_xlabel(f"{label}, one-hot × matrix = 1")
    axes.set_xlim(left=0)


def bars(
    axes: Any, values: Mapping[str, float], title: str, ours: bool = False
) -> None:
    """Horizontal bars with their values; ours by name, or all are."""
    names = list(values)
    colours = [
        COLOURS["ours" if ours or name.startswith(OURS) else "peer"]
        for name in names
    ]
    drawn = axes.barh(names, list(values.values()), color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
