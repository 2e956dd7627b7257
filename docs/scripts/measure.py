"""Measures what the pages of the estimators show.

    python -m docs.scripts.measure [--only NAME ...] [--draws N] [--out FILE]

Writes `docs/data/estimators.json`: facts about every estimator, read from its
class, and the bias and variance in its figure, measured by
`tfgumbel.diagnostics.compare` on the problem of `docs/scripts/problem.py`.
`python -m docs.scripts.draw` draws the figures from it. A figure named with
`--only` is measured again, the others stay.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from benchmarks._timing import environment
from docs.scripts import series
from tfgumbel import estimators

OUT = Path(__file__).parents[1] / "data" / "estimators.json"


def facts() -> dict[str, dict[str, Any]]:
    """What the package's classes say of themselves, by name."""
    members = [getattr(estimators, name) for name in estimators.__all__]
    return {
        _registered_name(member): _facts(member)
        for member in members
        if isinstance(member, type)
        and issubclass(member, estimators.Estimator)
        and member is not estimators.Estimator
    }


def _registered_name(estimator: type) -> str:
    name = keras.saving.get_registered_name(estimator)
    return name.removeprefix("tfgumbel>").removesuffix("_estimator")


def _facts(estimator: type) -> dict[str, Any]:
    made = estimator()
    return {
        "class": estimator.__name__,
        "unbiased": made.unbiased,
        "needs_gradient": made.needs_gradient,
        "distributions": list(made.distributions),
        "evaluations": made.evaluations,
        "samples": made.samples,
    }


def write(path: Path, report: dict[str, Any]) -> None:
    """JSON with one line for each list of points."""
    text = json.dumps(report, indent=1, ensure_ascii=False, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_on_one_line(text) + "\n", encoding="utf-8")


def _on_one_line(text: str) -> str:
    lines: list[str] = []
    depth = 0
    for line in text.split("\n"):
        stripped = line.strip()
        if depth:
            lines[-1] += stripped + (" " if stripped.endswith(",") else "")
        else:
            lines.append(line)
        depth += stripped.count("[") - stripped.count("]")
    return "\n".join(line.rstrip() for line in lines)


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
    report["facts"] = facts()
    report["draws"] = options.draws
    report["environment"] = environment(["tensorflow", "keras", "numpy"])
    for name in options.only or series.FIGURES:
        report["series"][name] = series.FIGURES[name](options.draws)
        write(options.out, report)
        print(name, flush=True)
    return report


if __name__ == "__main__":
    main()
