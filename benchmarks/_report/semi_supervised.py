"""The section of semi-supervised learning."""

from __future__ import annotations

import math

from benchmarks import _published as published
from benchmarks._report.runs import (
    Run,
    milliseconds,
    paragraphs,
    slope,
    table,
)

TEXT = """
100 labels and 50,000 unlabelled images, convolutional networks; -ELBO and
accuracy on the test images. The widths of the networks and the batch are ours,
for the paper does not print them, nor its steps, and so the published figures
are beside ours for orientation only. These runs are short; how accuracy moved
over the last third of the curve stands beside it. The paper's temperature is 1
at first and 0.5 after 23,000 steps: these runs are near 1 throughout, where
ST-Gumbel's gradient is far from the exact one, and learn more from the same
steps where they begin at τ 0.5. Time: one step (100 labelled, 100 unlabelled
images) by the number of classes, medians, contenders in turns; the published
ratios are of a GPU, which sums over few classes almost for free.
"""

TIMED = ("exact", "gumbel_softmax", "st_gumbel")


def name(run: Run) -> str:
    """The estimator, and the temperature it began with, if not 1."""
    start = run.get("temperature", 1.0)
    return run["estimator"] + (f", τ {start:g}" if start != 1.0 else "")


def section(runs: dict[str, Run]) -> list[str]:
    """Accuracy, bound, and time by the number of classes."""
    lines = ["## Semi-supervised MNIST, 100 labels", ""]
    lines += paragraphs(TEXT)
    head = ["estimator", "steps", "seed", "-ELBO", "published"]
    head += ["accuracy", "published", "accuracy at the end"]
    head += ["evaluations", "ms a step"]
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
                f"{100 * slope(run, 'accuracy'):+.0f} % per 1,000 steps",
                run["evaluations"],
                milliseconds(run),
            ]
        )
    lines += [*table(head, rows), ""] if rows else ["Not trained yet.", ""]
    head = ["classes", "exact, ms", "gumbel_softmax, ms", "st_gumbel, ms"]
    head += ["exact / gumbel_softmax, clock", "processor", "published"]
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
    return [*lines, *table(head, rows), ""] if rows else lines
