"""The section of the layers and of an epoch on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks._report import facts

TEXT = """
Forward and backward of a sampling layer, milliseconds of a call, and peak
memory of the call on the GPU; a call waits for the GPU. PyTorch runs eagerly.
At these sizes all of them wait for operations to be launched, not for memory
or arithmetic: the call takes a millisecond whether it has {small} numbers or
{large}. XLA launches fewest, and is what Keras's `compile` chooses on a GPU.
Outside it a hard sample of few, long rows is slow; what it has more than a
relaxed one is TensorFlow's argmax and one-hot.
"""
EPOCH = """
An epoch of `fit` on the categorical VAE, {images} images in batches of {batch},
the fastest of its rounds (`python -m benchmarks.epoch --device GPU:0`). By
default TensorFlow multiplies matrices in TF32 there, PyTorch in float32.
"""


def section(layers: dict[str, Any], epoch: dict[str, Any]) -> list[str]:
    """Two tables."""
    place, versions = layers["environment"], layers["environment"]["versions"]
    rows = layers["results"]
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    sizes = sorted(a * b for a, b in shapes)
    lines = [f"## On a GPU: {place['gpus'][0]}", ""]
    text = TEXT.format(small=f"{sizes[0]:,}", large=f"{sizes[-1]:,}")
    lines += facts.paragraphs(text)
    lines += ["`python -m benchmarks.layers --device GPU:0`; TensorFlow "]
    lines[-1] += f"{versions['tensorflow']}, PyTorch {versions['torch']}."
    for shape in shapes:
        lines += ["", f"### {shape[0]:,} × {shape[1]:,}", ""]
        lines += facts.table(
            ["", "graph, ms", "XLA, ms", "graph, MiB", "XLA, MiB"],
            _calls([row for row in rows if tuple(row["shape"]) == shape]),
        )
    words = {"images": f"{epoch['images']:,}", "batch": epoch["batch"]}
    lines += ["", "### An epoch", "", *facts.paragraphs(EPOCH.format(**words))]
    fastest = sorted(epoch["results"], key=lambda row: row["min_ms"])
    cells = [[row["name"], f"{row['min_ms'] / 1e3:.2f}"] for row in fastest]
    return [*lines, *facts.table(["", "seconds"], cells), ""]


def _calls(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    cells = {(row["name"], row["mode"]): row for row in rows}
    found = []
    for name in dict.fromkeys(row["name"] for row in rows):
        modes = [cells.get((name, m), {}) for m in ("graph", "xla")]
        if (name, "eager") in cells:
            modes[0] = cells[name, "eager"]
        found.append(
            [
                name,
                *(_number(m.get("median_ms"), ".2f") for m in modes),
                *(_number(m.get("peak_mib"), ".1f") for m in modes),
            ]
        )
    return found


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
