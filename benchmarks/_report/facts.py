"""What a section of the report takes from a run of the JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks import _published as published

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TOLERANCE = 0.02
ANNEALING = 1e-4  # What most runs have.
RATES = ["task", "estimator", "optimizer", "learning_rate", "annealing"]
RATES += ["train_samples"]
Run = dict[str, Any]


def slope(run: Run, name: str | None = None) -> float:
    """Change by 1,000 steps over the last third of a curve.

    By default of the bound on the validation images, or else of the loss.
    """
    curve = run["curve"]
    name = name or ("validation" if "validation" in curve else "train")
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
    gpu = ", GPU" if run.get("environment", {}).get("gpus") else ""
    return f"{wall:.0f} ({cpu:.0f}){gpu}"


def pace(run: Run) -> list[Any]:
    """Evaluations of the cost, and milliseconds, a step."""
    return [run["evaluations"], milliseconds(run)]


def rate(run: Run) -> str:
    """The optimizer and its learning rate."""
    value = run["learning_rate"]
    text = f"{run.get('optimizer', 'adam')} {value:g}"
    if run.get("annealing", ANNEALING) != ANNEALING:
        text += f", annealed by {run['annealing']:g}"
    if run.get("finish"):
        text += f", {value / 10:g} for {run['finish']:,} steps"
    return text


def longest(runs: Iterable[Run], **facts: Any) -> Run | None:
    """The run of these facts with the most steps, and with results.

    Of several, the one of the lowest figure on the test images or else on the
    training images.
    """

    def order(run: Run) -> tuple[int, float]:
        results = run["results"]
        figure = results.get("test", results.get("train", math.inf))
        return run["steps"], -figure

    return max(done(runs, **facts), key=order, default=None)


def chosen(runs: Iterable[Run], **facts: Any) -> Run | None:
    """The run of these facts with the lowest validation bound at its end.

    Of runs at the same rate only the longest count.
    """
    found = done(runs, **facts)
    kept = [
        run
        for run in found
        if run["steps"] == max(r["steps"] for r in alike(run, found, *RATES))
    ]
    return min(kept, key=last_bound, default=None)


def alike(run: Run, runs: Iterable[Run], *names: str) -> list[Run]:
    """The finished runs that are as this one is in these facts."""
    return done(runs, **{name: run.get(name) for name in names})


def seeds_of(run: Run, runs: Iterable[Run]) -> list[Run]:
    """The finished runs that differ from this one in nothing but the seed."""
    found = alike(run, runs, *RATES, "steps", "finish")
    return sorted(found, key=lambda run: run["seed"])


def last_bound(run: Run) -> float:
    """The bound on the validation images at the end."""
    return run["curve"]["validation"][-1]


def mean_test(run: Run, runs: Iterable[Run]) -> float:
    """The figure on the test images, over the seeds of the run."""
    return float(np.mean([r["results"]["test"] for r in seeds_of(run, runs)]))


def difference(ours: float, theirs: float | None) -> str:
    """Ours minus theirs, also in per cent."""
    if theirs is None:
        return "-"
    return f"{ours - theirs:+.1f} ({100 * (ours / theirs - 1):+.1f} %)"


def reason(place: str, run: Run, ours: float, theirs: float | None) -> str:
    """Where a run is going; or why it is off by more than the tolerance.

    A lower figure: about where the curve, of another bound, passed the
    published one. The two are taken to be as far apart as they are at the end.
    """
    change, curve = slope(run), run["curve"]
    if theirs is None or abs(ours / theirs - 1) <= TOLERANCE:
        return f"{change:+.2g} nats per 1,000 steps"
    if place in published.JANG and ours < theirs:
        level = last_bound(run) - ours + theirs
        points = zip(curve["step"], curve["validation"], strict=True)
        passed = next(step for step, value in points if value < level)
        text = f"lower: passed the published figure by step {passed:,}"
        return f"{text}; the paper prints no steps"
    way = "falling" if change < 0 else "rising"
    text = f"{way} by {abs(change):.2g} nats per 1,000 steps at the end"
    if place in published.STEPS:
        steps = f"{run['steps']:,} of {published.STEPS[place]:,} steps"
        text = f"{steps}, learning rate annealed over these; {text}"
    note = published.NOTES.get((place, run["estimator"]))
    return f"{text}; {note}" if note else text


def label(run: Run) -> str:
    """The estimator, and what else it had: samples to train on, another τ."""
    text, count = run["estimator"], run["train_samples"]
    if count > 1:
        text += f", trained on {count} samples"
    start = run.get("temperature", 1.0)
    return text + (f", τ {start:g}" if start != 1.0 else "")


def of(runs: Iterable[Run], **facts: Any) -> list[Run]:
    """The runs of which these facts are true."""
    wanted = facts.items()
    return [run for run in runs if all(run.get(k) == v for k, v in wanted)]


def done(runs: Iterable[Run], **facts: Any) -> list[Run]:
    """Those that have results."""
    return [run for run in of(runs, **facts) if run.get("results")]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Rows as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def panels(rows: int, columns: int, size: Any, **kwargs: Any) -> Any:
    """A figure and its panels, `[rows, columns]`."""
    kwargs |= {"figsize": size, "layout": "constrained", "squeeze": False}
    return plt.subplots(rows, columns, **kwargs)


def draw(axis: Any, run: Run, name: str, **style: Any) -> Any:
    """One curve of a run, over the steps."""
    return axis.plot(run["curve"]["step"], run["curve"][name], **style)[0]


def save(figure: Any, path: Path) -> None:
    """Writes a figure and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
