"""RESULTS.md and its figures, from the JSON of the benchmarks.

    python -m benchmarks.report [--results DIR] [--out FILE] [--figures DIR]

Every figure of the report is a figure of the JSON in `benchmarks/results/`, or
one of `benchmarks/_published.py`. A published figure stands beside ours only
where data treatment and bound are the same. `benchmarks/_report/` has the
sections.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import (
    closing,
    family,
    gpu,
    jang,
    semi_supervised,
    toy,
    variance,
)
from benchmarks._report.runs import Run, paragraphs

FOLDER = Path(__file__).parent
NAMES = (
    "jang_table1",
    "straight_through_vae",
    "semi_supervised",
    "rebar_toy",
    "variance",
)
GPU_NAMES = ["layers_gpu", "epoch_gpu"]

HEAD = """
Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; do
not edit. All costs are in nats, lower is better. Data treatment and bound of
ours and of the published figure are the same wherever both stand in a row.
The runs are shorter than the papers': the last column of a table says how the
curve was moving when the run ended (last third of it), and nothing is
extrapolated. `ms a step` is the time on the clock and, in brackets, of the
processor, for one thread; the machine did other work meanwhile. `GPU` stands
behind the times of an H100 that up to sixteen runs shared.
"""


def read(folder: Path) -> dict[str, dict[str, Run]]:
    """The runs of each benchmark, by name."""
    reports = {}
    for name in NAMES:
        path = folder / f"{name}.json"
        reports[name] = (
            json.loads(path.read_text())["runs"] if path.exists() else {}
        )
    return reports


def load(name: str, folder: Path = FOLDER / "results") -> Any:
    """A benchmark of time on a GPU."""
    return json.loads((folder / f"{name}.json").read_text())


def timings_on_a_gpu(folder: Path) -> list[Any]:
    """Those of the layers and of an epoch, where both were taken."""
    names = [n for n in GPU_NAMES if (folder / f"{n}.json").exists()]
    return [load(n, folder) for n in names] if names == GPU_NAMES else []


def render(
    reports: dict[str, dict[str, Run]], timings: Sequence[Any] = ()
) -> str:
    """The whole report."""
    lines = ["# Results", "", *paragraphs(HEAD)]
    lines += jang.section(reports["jang_table1"])
    lines += family.section(reports["straight_through_vae"])
    lines += semi_supervised.section(reports["semi_supervised"])
    lines += toy.section(reports["rebar_toy"])
    lines += variance.section(reports["variance"])
    lines += closing.best(reports)
    if timings:
        lines += gpu.section(*timings)
    lines += closing.commands(reports)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> str:
    """Writes the report and its figures; returns the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--results", type=Path, default=FOLDER / "results")
    add("--out", type=Path, default=FOLDER / "RESULTS.md")
    add("--figures", type=Path, default=FOLDER / "figures")
    options = parser.parse_args(arguments)
    reports = read(options.results)
    text = render(reports, timings_on_a_gpu(options.results))
    options.out.write_text(text, encoding="utf-8")
    jang.plot(reports["jang_table1"], options.figures / "jang_table1.png")
    family.plot(
        reports["straight_through_vae"],
        options.figures / "straight_through_vae.png",
    )
    toy.plot(reports["rebar_toy"], options.figures / "rebar_toy.png")
    variance.plot(reports["variance"], options.figures / "variance.png")
    print(f"Wrote {options.out} and figures in {options.figures}")
    return text


if __name__ == "__main__":
    main()
