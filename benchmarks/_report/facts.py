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
    """The run of these facts with the most steps, and with results."""
    found = done(runs, **facts)
    return max(
        found, key=lambda run: (run["steps"], -figure_of(run)), default=None
    )


def chosen(runs: Iterable[Run], **facts: Any) -> Run | None:
    """The run of these facts with the lowest validation bound at its end.

    Of runs at the same rate only the longest count.
    """
    found = done(runs, **facts)
    most: dict[Any, int] = {}
    for run in found:
        most[_rates(run)] = max(most.get(_rates(run), 0), run["steps"])
    found = [run for run in found if run["steps"] == most[_rates(run)]]
    return min(
        found, key=lambda run: run["curve"]["validation"][-1], default=None
    )


def _rates(run: Run) -> tuple[Any, ...]:
    names = ("task", "estimator", "optimizer", "learning_rate", "annealing")
    return tuple(run.get(name) for name in (*names, "train_samples"))


def seeds_of(run: Run, runs: Iterable[Run]) -> list[Run]:
    """The finished runs that differ from this one in nothing but the seed."""
    names = ["task", "estimator", "optimizer", "learning_rate", "steps"]
    names += ["finish", "annealing", "train_samples"]
    found = done(runs, **{name: run.get(name) for name in names})
    return sorted(found, key=lambda run: run["seed"])


def mean_test(run: Run, runs: Iterable[Run]) -> float:
    """The figure on the test images, over the seeds of the run."""
    return float(np.mean([r["results"]["test"] for r in seeds_of(run, runs)]))


def figure_of(run: Run) -> float:
    """The figure on the test images, or else on the training images."""
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
    if place in published.JANG and ours < theirs:
        return better(run, ours, theirs)
    change = slope(run)
    way = "falling" if change < 0 else "rising"
    text = f"{way} by {abs(change):.2g} nats per 1,000 steps at the end"
    if place in published.STEPS:
        steps = f"{run['steps']:,} of {published.STEPS[place]:,} steps"
        text = f"{steps}, learning rate annealed over these; {text}"
    note = published.NOTES.get((place, name))
    return f"{text}; {note}" if note else text


def better(run: Run, ours: float, theirs: float) -> str:
    """About where a curve passed the published figure.

    The curve is that of another bound; the two are taken to be as far apart
    as they are at the end.
    """
    curve = run["curve"]
    level = curve["validation"][-1] - ours + theirs
    passed = next(
        step
        for step, value in zip(curve["step"], curve["validation"], strict=True)
        if value < level
    )
    return (
        f"lower: passed the published figure by step {passed:,}; the paper "
        "prints no steps"
    )


def trend(run: Run) -> str:
    """How the curve was moving at its end."""
    return f"{slope(run):+.2g} nats per 1,000 steps"


def train_samples(run: Run) -> int:
    """Samples of an example in the training loss."""
    return int(run.get("train_samples", 1))


def label(run: Run) -> str:
    """The estimator, and how many samples it trained on, if several."""
    count = train_samples(run)
    several = f", trained on {count} samples" if count > 1 else ""
    return f"{run['estimator']}{several}"


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


def paragraphs(text: str) -> list[str]:
    """Lines of a text, and an empty one."""
    return [*text.strip().splitlines(), ""]


def panels(rows: int, columns: int, size: Any, **kwargs: Any) -> Any:
    """A figure and its panels, `[rows, columns]`."""
    kwargs |= {"figsize": size, "layout": "constrained", "squeeze": False}
    return plt.subplots(rows, columns, **kwargs)


def draw(axis: Any, run: Run, name: str, text: str, **style: Any) -> None:
    """One curve of a run, over the steps."""
    curve = run["curve"]
    axis.plot(curve["step"], curve[name], label=text, **style)


def save(figure: Any, path: Path) -> None:
    """Writes a figure and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
