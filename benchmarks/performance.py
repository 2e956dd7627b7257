"""The figure of time and memory: layers, an epoch, and many categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import _runner
from benchmarks._runner import Row

OUT = Path(__file__).parents[1] / "docs" / "images" / "performance.png"
OURS = ("tfgumbel", "GumbelSoftmax")
SHAPE = [4096, 1000]
# What the panel of layers shows, and how it is called there.
LAYERS = {
    "GumbelSoftmax": "GumbelSoftmax",
    "composed of TF ops": "composed of TF ops",
    "tfp RelaxedOneHotCategorical": "TFP",
    "torch F.gumbel_softmax": "torch (eager)",
}
EPOCHS = ["tfgumbel", "tfgumbel, XLA", "hand-written", "TFP", "torch"]
EPOCHS += ["Keras, no noise"]


def load(name: str) -> Row:
    """The report of a benchmark."""
    return _runner.read(_runner.RESULTS / f"{name}.json", {})


def layers(report: Row, mode: str, figure: str) -> Row:
    """A figure of the layers, by label; times in those of a graph's softmax."""
    rows = [row for row in report["results"] if row["shape"] == SHAPE]
    cells = {(row["name"], row["mode"]): row[figure] for row in rows}
    found = {n: x for (n, m), x in cells.items() if m in (mode, "eager")}
    timed = figure == "median_ms"
    unit = cells["tf.nn.softmax", "graph"] if timed else 1.0
    return {LAYERS[n]: found[n] / unit for n in LAYERS if found.get(n)}


def epoch(report: Row) -> Row:
    """Seconds of the fastest epoch, by contender."""
    rows = {row["name"]: row["min_ms"] / 1e3 for row in report["results"]}
    return {name: rows[name] for name in EPOCHS if name in rows}


def embedding(report: Row, figure: str) -> Row:
    """Speed or memory beside one-hot × matrix, by estimator."""
    return {
        row["estimator"]: row[figure]
        for row in report["results"]
        if row["mode"] == "graph" and figure in row
    }


def draw(path: Path = OUT) -> None:
    """Draws the figure from the JSON in `benchmarks/results`."""
    from tfgumbel.diagnostics.plots import figure

    report, many = load("layers"), load("large_k")
    graph, xla = "Forward + backward, graph mode", "Forward + backward, XLA"
    time, one_hot = "time at 4096 × 1000, softmax = 1", "one-hot × matrix = 1"
    large = "StraightThroughEmbedding, K = 100,000"
    seconds = "seconds for 10,000 images, fastest round"
    mib = "peak memory at 4096 × 1000, MiB"
    shown = [
        (0, layers(report, "graph", "median_ms"), graph, time),
        (1, layers(report, "xla", "median_ms"), xla, time),
        (2, epoch(load("epoch")), "An epoch of the categorical VAE", seconds),
        (4, layers(report, "graph", "peak_mib"), graph, mib),
        (3, embedding(many, "speedup"), large, f"speed, {one_hot}"),
        (5, embedding(many, "memory"), large, f"peak memory, {one_hot}"),
    ]
    picture = figure(figsize=(10, 2.7 * 3), dpi=150)
    panels = picture.subplots(3, 2).ravel()
    for place, values, title, label in shown:
        axes, ours = panels[place], title == large
        bars(axes, values, title, ours=ours)
        axes.set_xlabel(label)
        if ours:
            axes.axvline(1.0, color="#555555", linewidth=0.8)
            axes.set_xlim(left=0)
    panels[1].set_xscale("log")
    panels[1].set_xticks([1, 10, 100], ["1", "10", "100"])
    panels[1].set_xlim(0.8, 500)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)


def bars(axes: Any, values: Row, title: str, ours: bool = False) -> None:
    """Horizontal bars with their values; ours by name, or all are."""
    colours = [
        "#1f5fa8" if ours or name.startswith(OURS) else "#b9c0c8"
        for name in values
    ]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
