"""Measures what the pages of the estimators show.

    python -m docs.scripts.measure [--only NAME ...] [--draws N] [--out FILE]

Writes `docs/data/estimators.json`: for every estimator the bias and variance in
its figure, measured by `tfgumbel.diagnostics.compare` on the problem of
`docs/scripts/problem.py`. `python -m docs.scripts.draw` draws the figures from
it. A figure named with `--only` is measured again, the others stay.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._runner import environment
from docs.scripts import series
from docs.scripts.json_lines import write

OUT = Path(__file__).parents[1] / "data" / "estimators.json"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, and writes after every figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=series.FIGURES, metavar="NAME")
    add("--draws", type=int, default=20_000)
    add("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {"series": {}}
    if options.out.exists():
        report = json.loads(options.out.read_text(encoding="utf-8"))
    report["draws"] = options.draws
    report["environment"] = environment(["tensorflow", "keras", "numpy"])
    for name in options.only or series.FIGURES:
        report["series"][name] = series.FIGURES[name](options.draws)
        write(options.out, report)
        print(name, flush=True)
    return report


if __name__ == "__main__":
    main()
