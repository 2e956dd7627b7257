"""The figure of the timings: layers, an epoch, and many categories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
OUT = Path(__file__).parents[1] / "docs" / "images" / "performance.png"
COLOURS = {"ours": "#1f5fa8", "peer": "#b9c0c8"}
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
    rows = {
        (row["name"], row["mode"]): row["median_ms"]
        for row in report["results"]
        if row["shape"] == [4096, 1000]
    }
    softmax = rows["tf.nn.softmax", "graph"]
    found = {}
    for name, label in LAYERS.items():
        time = rows.get((name, "eager" if "torch" in name else mode))
        if time is not None:
            found[label] = time / softmax
    return found


def epoch(report: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of an epoch, by contender."""
    names = ["tfgumbel", "hand-written", "TFP", "torch"]
    rows = {row["name"]: row["median_ms"] / 1e3 for row in report["results"]}
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

    picture = figure(figsize=(10, 5.4), dpi=150)
    panels = picture.subplots(2, 2).ravel()
    report = load("layers")
    for axes, mode in ((panels[0], "graph"), (panels[1], "xla")):
        title = "graph mode" if mode == "graph" else "XLA"
        bars(axes, layers(report, mode), f"Forward + backward, {title}")
        axes.set_xlabel("time at 4096 × 1000, softmax = 1")
        if mode == "xla":
            axes.set_xscale("log")
            axes.set_xticks([1, 10, 100], ["1", "10", "100"])
            axes.set_xlim(0.8, 500)
    bars(panels[2], epoch(load("epoch")), "An epoch of the categorical VAE")
    panels[2].set_xlabel("seconds for 10,000 images")
    speed = embedding(load("large_k"), "speedup")
    bars(panels[3], speed, "StraightThroughEmbedding, K = 100,000", True)
    panels[3].axvline(1.0, color="#555555", linewidth=0.8)
    panels[3].set_xlabel("speed, one-hot × matrix = 1")
    panels[3].set_xlim(left=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)


def bars(
    axes: Any, values: Mapping[str, float], title: str, ours: bool = False
) -> None:
    """Horizontal bars with their values; the first is ours, or all are."""
    names = list(values)
    colours = [
        COLOURS["ours" if ours or place == 0 else "peer"]
        for place in range(len(names))
    ]
    drawn = axes.barh(names, list(values.values()), color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
