"""The section of semi-supervised learning."""

from __future__ import annotations

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

TIMED = ("exact", "gumbel_softmax", "st_gumbel")
HEAD = ["estimator", "steps", "seed", "-ELBO", "published", "accuracy"]
HEAD += ["published", "accuracy at the end", "evaluations", "ms a step"]
TIME_HEAD = ["classes", *(f"{name}, ms" for name in TIMED)]
TIME_HEAD += ["exact / gumbel_softmax, clock", "processor", "published"]


def section(runs: list[Run]) -> list[str]:
    """Accuracy, bound, and time by the number of classes."""
    rows = []
    for run in facts.done(runs):
        bound, accuracy = "-", "-"
        if theirs := published.SEMI_SUPERVISED.get(run["estimator"]):
            bound, accuracy = f"{theirs[0]}", f"{100 * theirs[1]:.1f} %"
        results, change = run["results"], 100 * facts.slope(run, "accuracy")
        row = [facts.label(run), f"{run['steps']:,}", run["seed"]]
        row += [f"{results['test']:.1f}", bound]
        row += [f"{100 * results['accuracy']:.1f} %", accuracy]
        row += [f"{change:+.0f} % per 1,000 steps", *facts.pace(run)]
        rows.append(row)
    lines = facts.table(HEAD, rows) if rows else ["Not trained yet."]
    rows = []
    timed = [run for run in runs if "times" in run]
    for run in sorted(timed, key=lambda run: run["classes"]):
        clock = [run["times"][name]["median_ms"] for name in TIMED]
        cpu = [run["times"][name]["cpu_ms"] for name in TIMED]
        row = [run["classes"], *(f"{value:.0f}" for value in clock)]
        row += [f"{clock[0] / clock[1]:.1f}", f"{cpu[0] / cpu[1]:.1f}"]
        rows.append([*row, published.SPEED.get(str(run["classes"]), "-")])
    return [*lines, "", *facts.table(TIME_HEAD, rows)] if rows else lines
