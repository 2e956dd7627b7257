"""RESULTS.md, and its curves, from the JSON of the benchmarks.

Every figure of the report is a figure of the JSON in `benchmarks/results/`, or
one of `benchmarks/published.toml`. `benchmarks/_report/template.md` has the
text, and the modules beside it the tables and curves, which the build of the
documentation draws.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _runner
from benchmarks._report import (
    closing,
    family,
    gpu,
    jang,
    semi_supervised,
    toy,
    variance,
)
from benchmarks._report.facts import Run

FOLDER = Path(__file__).parent
RESULTS = _runner.RESULTS
TEMPLATE = FOLDER / "_report" / "template.md"
# By benchmark: what has `section(runs)`, and `plot(runs, path)` for most.
SECTIONS: dict[str, Any] = {
    "jang_table1": jang,
    "straight_through_vae": family,
    "semi_supervised": semi_supervised,
    "rebar_toy": toy,
    "variance": variance,
}
ON_A_GPU = ("layers_gpu", "epoch_gpu")


def read(folder: Path) -> dict[str, list[Run]]:
    """The runs of each benchmark; those before `train_samples` had one."""
    found = {}
    for name in SECTIONS:
        runs = _runner.read(folder / f"{name}.json", {"runs": {}})["runs"]
        found[name] = [{"train_samples": 1, **run} for run in runs.values()]
    return found


def timings_on_a_gpu(folder: Path) -> list[Any]:
    """The reports of the layers and of an epoch."""
    return [_runner.read(folder / f"{name}.json", {}) for name in ON_A_GPU]


def render(reports: dict[str, list[Run]], timings: list[Any]) -> str:
    """The whole report."""
    lines = {k: made.section(reports[k]) for k, made in SECTIONS.items()}
    lines["best"] = closing.best(reports)
    lines["commands"] = closing.commands(reports)
    words = {name: "\n".join(found).strip() for name, found in lines.items()}
    text = TEMPLATE.read_text("utf-8")
    for name, found in {**words, **gpu.words(*timings)}.items():
        text = text.replace(f"[[{name}]]", found)
    return re.sub(r"\n{3,}", "\n\n", text)


def draw(folder: Path, reports: dict[str, list[Run]]) -> list[Path]:
    """Draws the curves of the benchmarks that have some; returns the files."""
    paths = []
    for name, made in SECTIONS.items():
        if hasattr(made, "plot"):
            paths.append(folder / f"{name}.png")
            made.plot(reports[name], paths[-1])
    return paths


def main(arguments: Sequence[str] | None = None) -> str:
    """Writes the report, and draws its curves if asked; returns the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--results", type=Path, default=RESULTS)
    add("--out", type=Path, default=FOLDER / "RESULTS.md")
    add("--figures", type=Path, help="folder to draw the curves in")
    options = parser.parse_args(arguments)
    reports = read(options.results)
    text = render(reports, timings_on_a_gpu(options.results))
    options.out.write_text(text, encoding="utf-8")
    print(f"Wrote {options.out}")
    for path in draw(options.figures, reports) if options.figures else ():
        print(f"Wrote {path}")
    return text


if __name__ == "__main__":
    main()
