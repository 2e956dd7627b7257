"""The section of the layers and of an epoch on a GPU: its words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks._report import facts

HEAD = ["", "graph, ms", "XLA, ms", "graph, MiB", "XLA, MiB"]


def words(layers: dict[str, Any], epoch: dict[str, Any]) -> dict[str, str]:
    """What stands in the template in place of each name."""
    place, rows = layers["environment"], layers["results"]
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    sizes = [f"{size:,}" for size in sorted(a * b for a, b in shapes)]
    lines: list[str] = []
    for shape in shapes:
        found = _calls([row for row in rows if tuple(row["shape"]) == shape])
        lines += [f"### {shape[0]:,} × {shape[1]:,}", ""]
        lines += [*facts.table(HEAD, found), ""]
    fastest = sorted(epoch["results"], key=lambda row: row["min_ms"])
    cells = [[row["name"], f"{row['min_ms'] / 1e3:.2f}"] for row in fastest]
    return {
        "gpu": place["gpus"][0],
        "gpu_smallest": sizes[0],
        "gpu_largest": sizes[-1],
        "gpu_tensorflow": place["versions"]["tensorflow"],
        "gpu_torch": place["versions"]["torch"],
        "gpu_layers": "\n".join(lines),
        "gpu_images": f"{epoch['images']:,}",
        "gpu_batch": str(epoch["batch"]),
        "gpu_epoch": "\n".join(facts.table(["", "seconds"], cells)),
    }


def _calls(rows: list[dict[str, Any]]) -> list[list[Any]]:
    cells = {(row["name"], row["mode"]): row for row in rows}
    found = []
    for name in dict.fromkeys(row["name"] for row in rows):
        # What runs eagerly stands in the column of the graph.
        modes = [cells.get((name, mode)) for mode in ("graph", "xla")]
        modes[0] = modes[0] or cells[name, "eager"]
        times = [f"{m['median_ms']:.2f}" if m else "-" for m in modes]
        peaks = [f"{m['peak_mib']:.1f}" if m else "-" for m in modes]
        found.append([name, *times, *peaks])
    return found
