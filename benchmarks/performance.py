"""The figure of time and memory: layers, an epoch, and many categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import _runner

OUT = Path(__file__).parents[1] / "docs" / "images" / "performance.png"
COLOURS = {"ours": "#1f5fa8", "peer": "#b9c0c8"}
OURS = ("tfgumbel", "GumbelSoftmax")
SHAPE = [4096, 1000]
SOFTMAX = "tf.nn.softmax"
# What the panel of layers shows, and how it is called there.
LAYERS = {
    "GumbelSoftmax": "GumbelSoftmax",
    "composed of TF ops": "composed of TF ops",
    "tfp RelaxedOneHotCategorical": "TFP",
    "torch F.gumbel_softmax": "torch (eager)",
}
EPOCHS = ["tfgumbel", "tfgumbel, XLA", "hand-written", "TFP", "torch"]
EPOCHS += ["Keras, no noise"]


def load(name: str) -> Any:
    """The report of a benchmark."""
    return _runner.read(_runner.RESULTS / f"{name}.json", {})


def cells(report: Mapping[str, Any], figure: str) -> dict[Any, float]:
    """A figure at the shape that is drawn, by (name, mode)."""
    return {
        (row["name"], row["mode"]): row[figure]
        for row in report["results"]
        if row["shape"] == SHAPE and row.get(figure) is not None
    }


def figures(
    report: Mapping[str, Any], mode: str, figure: str
) -> dict[str, float]:
    """A figure of the layers, by label, where there is one."""
    found = cells(report, figure)
    keys = {
        label: (name, "eager" if "torch" in name else mode)
        for name, label in LAYERS.items()
    }
    return {label: found[key] for label, key in keys.items() if key in found}


def layers(report: Mapping[str, Any], mode: str) -> dict[str, float]:
    """Times over that of a softmax in graph mode."""
    softmax = cells(report, "median_ms")[SOFTMAX, "graph"]
    times = figures(report, mode, "median_ms")
    return {label: time / softmax for label, time in times.items()}


def epoch(report: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the fastest epoch, by contender."""
    rows = {row["name"]: row["min_ms"] / 1e3 for row in report["results"]}
    return {name: rows[name] for name in EPOCHS if name in rows}


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
    for axes, mode in zip(panels, ("graph", "xla"), strict=False):
        title = "graph mode" if mode == "graph" else "XLA"
        bars(axes, layers(report, mode), f"Forward + backward, {title}")
        axes.set_xlabel("time at 4096 × 1000, softmax = 1")
    panels[1].set_xscale("log")
    panels[1].set_xticks([1, 10, 100], ["1", "10", "100"])
    panels[1].set_xlim(0.8, 500)
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
    colours = [
        COLOURS["ours" if ours or name.startswith(OURS) else "peer"]
        for name in values
    ]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
