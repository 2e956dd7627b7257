"""The section of semi-supervised learning."""

from __future__ import annotations

import math

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

TIMED = ("exact", "gumbel_softmax", "st_gumbel")
HEAD = ["estimator", "steps", "seed", "-ELBO", "published", "accuracy"]
HEAD += ["published", "accuracy at the end", "evaluations", "ms a step"]
TIME_HEAD = ["classes", *(f"{name}, ms" for name in TIMED)]
TIME_HEAD += ["exact / gumbel_softmax, clock", "processor", "published"]


def name(run: Run) -> str:
    """The estimator, and the temperature it began with, if not 1."""
    start = run.get("temperature", 1.0)
    return run["estimator"] + (f", τ {start:g}" if start != 1.0 else "")


def section(runs: dict[str, Run]) -> list[str]:
    """Accuracy, bound, and time by the number of classes."""
    rows = []
    for run in runs.values():
        if "results" not in run:
            continue
        bound, accuracy = published.SEMI_SUPERVISED.get(
            run["estimator"], ("-", math.nan)
        )
        rows.append(
            [
                name(run),
                f"{run['steps']:,}",
                run["seed"],
                f"{run['results']['test']:.1f}",
                bound,
                f"{100 * run['results']['accuracy']:.1f} %",
                "-" if math.isnan(accuracy) else f"{100 * accuracy:.1f} %",
                f"{100 * facts.slope(run, 'accuracy'):+.0f} % per 1,000 steps",
                run["evaluations"],
                facts.milliseconds(run),
            ]
        )
    lines = facts.table(HEAD, rows) if rows else ["Not trained yet."]
    rows = []
    timed = [run for run in runs.values() if "times" in run]
    for run in sorted(timed, key=lambda run: run["classes"]):
        times = run["times"]
        clock = [times[n]["median_ms"] for n in TIMED]
        cpu = [times[n]["cpu_ms"] for n in TIMED]
        rows.append(
            [
                run["classes"],
                *(f"{value:.0f}" for value in clock),
                f"{clock[0] / clock[1]:.1f}",
                f"{cpu[0] / cpu[1]:.1f}",
                published.SPEED.get(run["classes"], "-"),
            ]
        )
    return [*lines, "", *facts.table(TIME_HEAD, rows)] if rows else lines
