"""RESULTS.md and its figures, from the JSON of the benchmarks.

    python -m benchmarks.report [--results DIR] [--out FILE] [--figures DIR]

Every figure of the report is a figure of the JSON in `benchmarks/results/`, or
one of `benchmarks/_published.py`. A published figure stands beside ours only
where data treatment and bound are the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks import _published as published

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
NAMES = (
    "jang_table1",
    "straight_through_vae",
    "semi_supervised",
    "rebar_toy",
)
TOLERANCE = 0.02
Run = dict[str, Any]

# Why a cell is off, where the steps are not all of it.
NOTES = {
    ("vae-categorical", "gumbel_softmax"): "Adam and 8,000 steps, where the "
    "paper takes SGD, tunes rate and annealing, and does not say how long",
}


def read(folder: Path) -> dict[str, dict[str, Run]]:
    """The runs of each benchmark, by name."""
    reports = {}
    for name in NAMES:
        path = folder / f"{name}.json"
        reports[name] = (
            json.loads(path.read_text())["runs"] if path.exists() else {}
        )
    return reports


# Figures of a run ----------------------------------------------------------


def slope(run: Run) -> float:
    """Nats per 1,000 steps over the last third of the curve."""
    curve = run["curve"]
    name = "validation" if "validation" in curve else "train"
    count = max(2, len(curve["step"]) // 3)
    steps, values = curve["step"][-count:], curve[name][-count:]
    if len(steps) < 2:
        return math.nan
    return float(1e3 * np.polyfit(steps, values, 1)[0])


def milliseconds(run: Run) -> str:
    """A step's time on the clock, and of the processor."""
    steps = run["timed_steps"]
    if not steps:
        return "-"
    wall, cpu = (1e3 * run[k] / steps for k in ("seconds", "cpu_seconds"))
    return f"{wall:.0f} ({cpu:.0f})"


def longest(runs: Iterable[Run], **facts: Any) -> Run | None:
    """The run of these facts with the most steps, and with results."""
    found = [
        run
        for run in runs
        if run.get("results")
        and all(run.get(name) == value for name, value in facts.items())
    ]
    return max(
        found, key=lambda run: (run["steps"], -_figure(run)), default=None
    )


def _figure(run: Run) -> float:
    results = run["results"]
    return float(results.get("test", results.get("train", math.inf)))


def difference(ours: float, theirs: float | None) -> str:
    """Ours minus theirs, also in per cent."""
    if theirs is None:
        return "-"
    return f"{ours - theirs:+.1f} ({100 * (ours / theirs - 1):+.1f} %)"


def reason(
    place: str, name: str, run: Run, ours: float, theirs: float | None
) -> str:
    """Why ours is off by more than the tolerance."""
    if theirs is None or abs(ours / theirs - 1) <= TOLERANCE:
        return ""
    change = slope(run)
    trend = "falling" if change < 0 else "rising"
    text = f"{trend} by {abs(change):.2g} nats per 1,000 steps at the end"
    if place in published.STEPS:
        steps = f"{run['steps']:,} of {published.STEPS[place]:,} steps"
        text = f"{steps}, learning rate annealed over these; {text}"
    return f"{text}; {NOTES[place, name]}" if (place, name) in NOTES else text


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Rows as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


# Sections ------------------------------------------------------------------


def jang(runs: dict[str, Run]) -> list[str]:
    """Table 1 of Jang et al."""
    lines = ["## Jang, Gu & Poole 2017, table 1", ""]
    lines += _paragraphs(JANG_TEXT)
    for task, cells in published.JANG.items():
        rows = list(_jang_rows(task, cells, runs))
        if rows:
            lines += [f"### {task}", "", *table(JANG_HEAD, rows), ""]
        else:
            lines += [f"### {task}", "", "Not run yet.", ""]
    missing = sorted(
        f"{task} {name}"
        for task, cells in published.JANG.items()
        for name in cells
        if longest(runs.values(), task=task, estimator=name, optimizer="sgd")
        is None
    )
    if missing:
        text = "Published cells not rerun with the paper's optimizer: "
        lines += [text + ", ".join(missing) + ".", ""]
    lines += [
        "### Runs without a test figure: learning rates tried, runs stopped",
        "",
    ]
    lines += [*table(PROBE_HEAD, _probes(runs)), ""]
    return [*lines, "![validation bounds](figures/jang_table1.png)", ""]


PROBE_HEAD = ["task", "estimator", "optimizer", "steps", "validation"]


def _probes(runs: dict[str, Run]) -> Iterable[list[Any]]:
    for run in runs.values():
        if not run.get("results"):
            yield [
                run["task"],
                run["estimator"],
                f"{run['optimizer']} {run['learning_rate']:g}",
                f"{run['steps']:,}",
                f"{run['curve']['validation'][-1]:.2f}",
            ]


JANG_HEAD = ["estimator", "optimizer", "steps", "seed", "ours", "published"] + [
    "difference",
    "evaluations",
    "ms a step",
    "where it is going",
]


def _jang_rows(
    task: str, cells: dict[str, float], runs: dict[str, Run]
) -> Iterable[list[Any]]:
    of_task = _of(runs, "task", task)
    names = dict.fromkeys([*cells, *(run["estimator"] for run in of_task)])
    samples = sorted({_train_samples(run) for run in of_task})
    for optimizer, count in itertools.product(("sgd", "adam"), samples):
        alike = [run for run in of_task if _train_samples(run) == count]
        for name in names:
            run = longest(alike, estimator=name, optimizer=optimizer)
            if run is not None:
                theirs = cells.get(name) if count == 1 else None
                yield _jang_row(task, run, theirs)


def _jang_row(task: str, run: Run, theirs: float | None) -> list[Any]:
    ours = run["results"]["test"]
    return [
        _name(run),
        f"{run['optimizer']} {run['learning_rate']:g}",
        f"{run['steps']:,}",
        run["seed"],
        f"{ours:.2f} ± {run['results']['test_se']:.2f}" + _images(run),
        theirs or "-",
        difference(ours, theirs),
        run["evaluations"],
        milliseconds(run),
        reason(task, run["estimator"], run, ours, theirs) or _trend(run),
    ]


def _images(run: Run) -> str:
    """How many test images, if not all."""
    count = run["results"]["test_images"]
    return f" ({count:,} images)" if count < 10_000 else ""


def _train_samples(run: Run) -> int:
    return int(run.get("train_samples", 1))


def _name(run: Run) -> str:
    """The estimator, and how many samples it trained on, if several."""
    count = _train_samples(run)
    several = f", trained on {count} samples" if count > 1 else ""
    return f"{run['estimator']}{several}"


def _trend(run: Run) -> str:
    return f"{slope(run):+.2g} nats per 1,000 steps"


def straight_through(runs: dict[str, Run]) -> list[str]:
    """The straight-through family."""
    lines = ["## The straight-through family", "", *_paragraphs(FAMILY_TEXT)]
    head = ["estimator", "τ", "learning rate", "steps", "seeds", "ours"]
    head += ["published", "difference", "test", "ms a step"]
    head += ["where it is going"]
    for setup, theirs in (("8x4", {}), ("32x16", published.HOOPER)):
        rows = []
        of_setup = [run for run in runs.values() if run["setup"] == setup]
        for name in dict.fromkeys(run["estimator"] for run in of_setup):
            run = longest(of_setup, estimator=name)
            if run is not None:
                rows.append(_family_row(setup, name, run, of_setup, theirs))
        rows.sort(key=lambda row: row[0])
        lines += [f"### {setup}", ""]
        lines += [*table(head, [row[1:] for row in rows]), ""]
    return [*lines, "![curves](figures/straight_through_vae.png)", ""]


def _family_row(
    setup: str, name: str, run: Run, runs: list[Run], theirs: dict[str, float]
) -> list[Any]:
    same = [
        other
        for other in runs
        if other["estimator"] == name
        and other["steps"] == run["steps"]
        and other.get("results")
    ]
    values = [other["results"]["train"] for other in same]
    ours = float(np.mean(values))
    text = f"{ours:.2f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.2f}"
    print_of = theirs.get(name)
    return [
        ours,
        name,
        f"{run['arguments'].get('temperature', '-'):g}"
        if "temperature" in run["arguments"]
        else "-",
        f"{run['learning_rate']:g}",
        f"{run['steps']:,}",
        ", ".join(str(other["seed"]) for other in same),
        text,
        print_of or "-",
        difference(ours, print_of),
        f"{np.mean([other['results']['test'] for other in same]):.2f}",
        milliseconds(run),
        reason(setup, name, run, ours, print_of) or _trend(run),
    ]


def semi_supervised(runs: dict[str, Run]) -> list[str]:
    """Accuracy, bound, and time by the number of classes."""
    lines = ["## Semi-supervised MNIST, 100 labels", ""]
    lines += _paragraphs(SEMI_TEXT)
    head = ["estimator", "steps", "seed", "-ELBO", "published"]
    head += ["accuracy", "published", "evaluations", "ms a step"]
    rows = []
    for run in runs.values():
        if "results" not in run:
            continue
        bound, accuracy = published.SEMI_SUPERVISED.get(
            run["estimator"], ("-", math.nan)
        )
        rows.append(
            [
                run["estimator"],
                f"{run['steps']:,}",
                run["seed"],
                f"{run['results']['test']:.1f}",
                bound,
                f"{100 * run['results']['accuracy']:.1f} %",
                "-" if math.isnan(accuracy) else f"{100 * accuracy:.1f} %",
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
        clock = [times[n]["median_ms"] for n in _TIMED]
        cpu = [times[n]["cpu_ms"] for n in _TIMED]
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


_TIMED = ("exact", "gumbel_softmax", "st_gumbel")


def toy(runs: dict[str, Run]) -> list[str]:
    """The toy problem."""
    lines = ["## The toy problem of REBAR and RELAX", "", *_paragraphs(TOY)]
    head = ["estimator", "unbiased", "evaluations"]
    targets = sorted({run["target"] for run in runs.values()})
    for target in targets:
        head += [f"cost, t = {target:g}", "variance", "variance at the start"]
    rows = []
    for name in dict.fromkeys(run["estimator"] for run in runs.values()):
        found = [
            longest(runs.values(), estimator=name, target=t) for t in targets
        ]
        if None in found:
            continue
        first = found[0]
        assert first is not None
        row = [name, "yes" if first["unbiased"] else "no"]
        row += [first["evaluations"]]
        for run in found:
            assert run is not None
            variance = run["curve"]["variance"]
            row += [f"{run['results']['cost']:.6f}"]
            row += [_scientific(variance[-1]), _scientific(variance[0])]
        rows.append((first["results"]["cost"], row))
    rows.sort(key=lambda pair: pair[0])
    lines += [*table(head, [row for _, row in rows]), ""]
    return [*lines, "![cost and variance](figures/rebar_toy.png)", ""]


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def best(reports: dict[str, dict[str, Run]]) -> list[str]:
    """The closing table."""
    lines = ["## Best estimator of this package per task", ""]
    lines += _paragraphs(BEST_TEXT)
    head = ["task", "estimator", "optimizer", "ours", "best published"]
    head += ["difference", "steps", "evaluations", "ms a step", "seconds"]
    groups: list[tuple[str, str, list[Run]]] = []
    for task in published.JANG:
        runs = _of(reports["jang_table1"], "task", task)
        one = [run for run in runs if _train_samples(run) == 1]
        several = [run for run in runs if _train_samples(run) > 1]
        groups += [(task, "test", one), (task, "test", several)]
    groups += [
        (setup, "train", _of(reports["straight_through_vae"], "setup", setup))
        for setup in ("8x4", "32x16")
    ]
    rows = []
    for task, figure, runs in groups:
        done = [run for run in runs if run.get("results")]
        if not done:
            continue
        run = min(done, key=lambda run: run["results"][figure])
        ours, theirs = run["results"][figure], published.BEST.get(task)
        seconds = run["seconds"] / max(1, run["timed_steps"]) * run["steps"]
        rows.append(
            [
                task,
                _name(run),
                f"{run.get('optimizer', 'adam')} {run['learning_rate']:g}",
                f"{ours:.2f}",
                theirs or "-",
                difference(ours, theirs),
                f"{run['steps']:,}",
                run["evaluations"],
                milliseconds(run),
                f"{seconds:,.0f}",
            ]
        )
    return [*lines, *table(head, rows), ""]


def _of(runs: dict[str, Run], fact: str, value: Any) -> list[Run]:
    return [run for run in runs.values() if run[fact] == value]


def commands(reports: dict[str, dict[str, Run]]) -> list[str]:
    """What made the runs, and on what."""
    lines = ["## How the runs were made", ""]
    lines += _paragraphs(COMMANDS)
    every = [
        run
        for runs in reports.values()
        for run in runs.values()
        if run.get("results") or "times" in run
    ]
    lines += ["```", *sorted({run["command"] for run in every}), "```", ""]
    for place in sorted({_place(run) for run in every}):
        lines += [f"- {place}"]
    return lines


def _place(run: Run) -> str:
    where = run["environment"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    return f"{where['cpu']}, Python {where['python']}, {versions}"


def render(reports: dict[str, dict[str, Run]]) -> str:
    """The whole report."""
    lines = ["# Results", "", *_paragraphs(HEAD)]
    lines += jang(reports["jang_table1"])
    lines += straight_through(reports["straight_through_vae"])
    lines += semi_supervised(reports["semi_supervised"])
    lines += toy(reports["rebar_toy"])
    lines += best(reports)
    lines += commands(reports)
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str) -> list[str]:
    return [*text.strip().splitlines(), ""]


HEAD = """
Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; do
not edit. All costs are in nats, lower is better. Data treatment and bound of
ours and of the published figure are the same wherever both stand in a row.
The runs are shorter than the papers': the last column of a table says how the
curve was moving when the run ended (last third of it), and nothing is
extrapolated. `ms a step` is the time on the clock and, in brackets, of the
processor, for one thread; the machine did other work meanwhile.
"""

JANG_TEXT = """
Fixed binarisation (each pixel drawn once by a literal seed; not the authors'
own file), 50,000 images to train, figures on the test images with exact
samples: -log of the mean of m = 1000 likelihoods (SBN) or importance weights
(VAE), ± the standard error over images. `sgd` is SGD with momentum 0.9 as in
the paper; `adam`, on a cosine to 0, is ours. The paper's number of steps is
not printed in it. "Trained on 5 samples" is another training loss than the
paper's, -log of the mean of 5 likelihoods. Slopes are of the 10-sample
validation bound.
"""

FAMILY_TEXT = """
Train -ELBO at one sample, grey levels with binary cross-entropy, 60,000
images. `8x4` is the set-up of Liu et al. 2023 (96,000 steps; no published
figure is quoted, for want of the paper's table). `32x16` is that of Hooper &
Shekhovtsov 2026 (150,000 steps; ours have the same learning-rate schedule,
stretched over fewer steps, and one learning rate where they take the best of
five). ± is the standard deviation over seeds. Slopes are of the training loss.
"""

SEMI_TEXT = """
100 labels and 50,000 unlabelled images, convolutional networks; -ELBO and
accuracy on the test images. The widths of the networks and the batch are ours,
for the paper does not print them, and so the published figures are beside ours
for orientation only. Time: one step (100 labelled, 100 unlabelled images) by
the number of classes, medians, contenders in turns; the published ratios are
of a GPU, which sums over few classes almost for free.
"""

TOY = """
E (b - t)², one bit, 5,000 steps of one sample, Adam 0.01. Minimum: t², 0.2025
and 0.249001. The variance is that of the gradient at the run's own parameter,
which falls as the run converges; at the start all are at probability 1/2.
"""

BEST_TEXT = """
The lowest figure of any run above, with the estimator's evaluations of the
cost per example and step. `seconds` is the training time of the run on the
clock. "Best published" is the best figure known for the same data treatment
and bound: for `sbn-bernoulli` that of ARM, trained longer than Jang et al.
The published runs train on one sample; where ours train on several they
descend another loss, and have a row of their own.
"""

COMMANDS = """
Each command goes on where it was stopped, and keeps what is done. Add
`--mnist FILE` for a local copy of MNIST in Keras's layout.
"""


# Figures -------------------------------------------------------------------


def plot_jang(runs: dict[str, Run], path: Path) -> None:
    """Validation bounds over the steps, a panel a task."""
    done = [run for run in runs.values() if run.get("results")]
    tasks = [task for task in published.JANG if _of_list(done, task)]
    count = max(1, len(tasks))
    figure, axes = plt.subplots(
        -(-count // 2),
        min(2, count),
        figsize=(10, 4 * -(-count // 2)),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        for run in _of_list(done, task):
            label = f"{_name(run)}, {run['optimizer']} "
            label += f"{run['learning_rate']:g}"
            style = "-" if run["optimizer"] == "sgd" else "--"
            curve = run["curve"]
            axis.plot(curve["step"], curve["validation"], style, label=label)
        axis.set(title=task, xlabel="step", ylabel="10-sample bound, nats")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    _save(figure, path)


def _of_list(runs: Sequence[Run], task: str) -> list[Run]:
    return [run for run in runs if run["task"] == task]


def plot_family(runs: dict[str, Run], path: Path) -> None:
    """Training curves over the steps, a panel a set-up."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, setup in zip(axes, ("8x4", "32x16"), strict=True):
        for index, run in enumerate(_of(runs, "setup", setup)):
            curve = run["curve"]
            label = f"{run['estimator']}, seed {run['seed']}"
            line = f"C{index % 10}"
            axis.plot(curve["step"], curve["train"], color=line, label=label)
        trained = {run["estimator"] for run in _of(runs, "setup", setup)}
        for name, value in published.HOOPER.items():
            if setup == "32x16" and name in trained:
                axis.axhline(value, linewidth=0.6, linestyle=":", color="k")
                axis.annotate(
                    f"{name}, published after 150,000 steps: {value}",
                    (1.0, value),
                    xycoords=("axes fraction", "data"),
                    fontsize=6,
                    ha="right",
                    va="bottom",
                )
        axis.set(title=setup, xlabel="step", ylabel="train -ELBO, nats")
        low = min((min(r["curve"]["train"]) for r in runs.values()), default=90)
        axis.set_ylim(min(low, 93.0) - 2.0, 180.0)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    _save(figure, path)


def plot_toy(runs: dict[str, Run], path: Path) -> None:
    """Cost and variance over the steps, a column a target."""
    targets = sorted({run["target"] for run in runs.values()}) or [0.45]
    figure, axes = plt.subplots(
        2,
        len(targets),
        figsize=(5.5 * len(targets), 7),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for column, target in zip(axes.T, targets, strict=True):
        for index, run in enumerate(_of(runs, "target", target)):
            curve, style = run["curve"], "-" if run["unbiased"] else ":"
            for axis, name in zip(column, ("cost", "variance"), strict=True):
                axis.plot(
                    curve["step"],
                    curve[name],
                    style,
                    color=matplotlib.colormaps["tab20"](index % 20),
                    label=run["estimator"],
                )
        column[0].axhline(target**2, color="k", linewidth=0.6)
        column[0].set(title=f"t = {target:g}", ylabel="cost")
        column[1].set(yscale="log", ylabel="gradient variance", xlabel="step")
        column[1].set_ylim(1e-14, None)
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(fontsize=6, ncols=2)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


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
    text = render(reports)
    options.out.write_text(text, encoding="utf-8")
    plot_jang(reports["jang_table1"], options.figures / "jang_table1.png")
    plot_family(
        reports["straight_through_vae"],
        options.figures / "straight_through_vae.png",
    )
    plot_toy(reports["rebar_toy"], options.figures / "rebar_toy.png")
    print(f"Wrote {options.out} and figures in {options.figures}")
    return text


if __name__ == "__main__":
    main()
