"""The section of Jang, Gu & Poole's table, with its figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks import _published as published
from benchmarks._report.runs import (
    Run,
    chosen,
    difference,
    label,
    mean_test,
    milliseconds,
    of,
    paragraphs,
    rate,
    reason,
    save,
    seeds_of,
    table,
    train_samples,
    trend,
)

TEXT = """
Fixed binarisation (each pixel drawn once by a literal seed; not the authors'
own file), 50,000 images to train, figures on the test images with exact
samples: -log of the mean of m = 1000 likelihoods (SBN) or importance weights
(VAE), ± the standard error over images. `sgd` is SGD with momentum 0.9 as in
the paper; where two rates stand, the last steps were done at the lower one, for
at a constant rate SGD keeps a floor of noise. `adam`, on a cosine to 0, is
ours. The paper's number of steps is not printed in it. Three of its methods are
more than an estimator. `sf` has NVIL's baselines and normalised learning signal
(on a VAE that of the whole -ELBO: normalised without the divergence it would
descend a bound in which that weighs more). `muprop` expands the cost of a
mean-field pass, with its residual centred and normalised in the same way; on a
VAE that biases it, for neither the slope of the expansion nor the divergence is
divided, and `muprop_unscaled` is the same with a residual that is centred
alone. `annealed_st` multiplies the logits by a slope, 1 / max(0.5, exp(-r t)),
r = 1e-4 if the row says no other, so that sample and gradient are of the
steeper probabilities; `annealed_st_backward` has it in the gradient alone.
`muprop_nested` is this package's estimator in each layer, which expands a
sampled cost. "Trained on 5 samples" is another training loss than the paper's,
-log of the mean of 5 likelihoods. Of several runs of an estimator at the same
rate the longest counts, and of several rates the one with the lowest 10-sample
bound on the validation images is shown, with the mean over its seeds; slopes
are of that bound.
"""

# Where a panel ends, beside its lowest bound; a curve above is not seen.
TOP = 1.35

HEAD = ["estimator", "optimizer", "steps", "seed", "ours", "published"] + [
    "difference",
    "evaluations",
    "ms a step",
    "where it is going",
]
PROBE_HEAD = ["task", "estimator", "optimizer", "steps", "validation"]


def section(runs: dict[str, Run]) -> list[str]:
    """Table 1 of Jang et al."""
    lines = ["## Jang, Gu & Poole 2017, table 1", ""]
    lines += paragraphs(TEXT)
    for task, cells in published.JANG.items():
        rows = list(_rows(task, cells, runs))
        if rows:
            lines += [f"### {task}", "", *table(HEAD, rows), ""]
            lines += list(_orders(task, cells, runs))
        else:
            lines += [f"### {task}", "", "Not run yet.", ""]
    rerun = {
        (run["task"], published.method(run["estimator"]))
        for run in runs.values()
        if run.get("results") and run["optimizer"] == "sgd"
    }
    missing = sorted(
        f"{task} {name}"
        for task, cells in published.JANG.items()
        for name in cells
        if (task, name) not in rerun
    )
    if missing:
        text = "Published cells not rerun with the paper's optimizer: "
        lines += [text + ", ".join(missing) + ".", ""]
    lines += [
        "### Runs without a test figure: learning rates tried, runs stopped",
        "",
    ]
    lines += [*table(PROBE_HEAD, _probes(runs)), ""]
    lines += [f"A panel ends at {TOP} times its lowest bound.", ""]
    return [*lines, "![validation bounds](figures/jang_table1.png)", ""]


def _orders(
    task: str, cells: dict[str, float], runs: dict[str, Run]
) -> Iterable[str]:
    """The published estimators, best first, by ours and by the paper."""
    of_task = [
        run
        for run in of(runs.values(), "task", task)
        if train_samples(run) == 1
    ]
    for optimizers in (["sgd"], ["adam"], ["sgd", "adam"]):
        found = {}
        for name in cells:
            alike = [
                run
                for run in of_task
                if published.method(run["estimator"]) == name
                and run["optimizer"] in optimizers
            ]
            if run := chosen(alike):
                found[name] = mean_test(run, alike)
        if len(found) > 2:
            ours = ", ".join(sorted(found, key=found.__getitem__))
            theirs = ", ".join(sorted(found, key=cells.__getitem__))
            which = " or ".join(optimizers)
            yield f"Best first, {which}: {ours}. Published: {theirs}."
            yield ""


def _rows(
    task: str, cells: dict[str, float], runs: dict[str, Run]
) -> Iterable[list[Any]]:
    of_task = of(runs.values(), "task", task)
    names = dict.fromkeys([*cells, *(run["estimator"] for run in of_task)])
    samples = sorted({train_samples(run) for run in of_task})
    for optimizer, count in itertools.product(("sgd", "adam"), samples):
        alike = [run for run in of_task if train_samples(run) == count]
        for name in names:
            run = chosen(alike, estimator=name, optimizer=optimizer)
            if run is not None:
                method = published.method(name)
                theirs = cells.get(method) if count == 1 else None
                yield _row(task, run, seeds_of(run, alike), theirs)


def _row(
    task: str, run: Run, seeds: list[Run], theirs: float | None
) -> list[Any]:
    values = [other["results"]["test"] for other in seeds]
    ours = float(np.mean(values))
    return [
        label(run),
        rate(run),
        f"{run['steps']:,}",
        ", ".join(str(other["seed"]) for other in seeds),
        f"{ours:.2f} ± {run['results']['test_se']:.2f}"
        + _spread(values)
        + _images(run),
        theirs or "-",
        difference(ours, theirs),
        run["evaluations"],
        milliseconds(run),
        reason(task, run["estimator"], run, ours, theirs) or trend(run),
    ]


def _spread(values: list[float]) -> str:
    """The standard deviation over the seeds, if there are several."""
    return f", seeds ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""


def _images(run: Run) -> str:
    """How many test images, if not all."""
    count = run["results"]["test_images"]
    return f" ({count:,} images)" if count < 10_000 else ""


def plot(runs: dict[str, Run], path: Path) -> None:
    """Validation bounds over the steps, a panel a task."""
    done = [run for run in runs.values() if run.get("results")]
    tasks = [task for task in published.JANG if of(done, "task", task)]
    names = sorted({run["estimator"] for run in done})
    colours = plt.get_cmap("tab20").colors
    count = max(1, len(tasks))
    figure, axes = plt.subplots(
        -(-count // 2),
        min(2, count),
        figsize=(10, 4 * -(-count // 2) + 1),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        for run in _lines(of(done, "task", task)):
            text = f"{label(run)}, {run['optimizer']}"
            curve = run["curve"]
            axis.plot(
                curve["step"],
                curve["validation"],
                "-" if run["optimizer"] == "sgd" else "--",
                color=colours[names.index(run["estimator"]) % 20],
                label=text,
            )
        axis.set(title=task, xlabel="step", ylabel="10-sample bound, nats")
        ends = [
            run["curve"]["validation"][-1] for run in of(done, "task", task)
        ]
        axis.set_ylim(0.98 * min(ends), TOP * min(ends))
    _legend(figure)
    save(figure, path)


def _legend(figure: Any) -> None:
    """One for all panels, below them."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        lines, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, lines, strict=True))
    labels = sorted(found)
    if labels:
        figure.legend(
            [found[text] for text in labels],
            labels,
            loc="outside lower center",
            fontsize=7,
            ncols=5,
        )


def _lines(runs: list[Run]) -> Iterable[Run]:
    """The chosen runs of a task, worst first, as they lie in the panel."""
    kinds = {
        (run["estimator"], run["optimizer"], train_samples(run)) for run in runs
    }
    found = []
    for name, optimizer, count in kinds:
        alike = [run for run in runs if train_samples(run) == count]
        run = chosen(alike, estimator=name, optimizer=optimizer)
        assert run is not None
        found.append(run)
    return sorted(found, key=lambda run: -run["curve"]["validation"][-1])


def _probes(runs: dict[str, Run]) -> Iterable[list[Any]]:
    for run in runs.values():
        if not run.get("results"):
            yield [
                run["task"],
                run["estimator"],
                rate(run),
                f"{run['steps']:,}",
                f"{run['curve']['validation'][-1]:.2f}",
            ]
