"""The section of the unbiased estimators on a binary VAE, with its figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

REFERENCE = "rodeo"


def section(runs: dict[str, Run]) -> list[str]:
    """A table for each number of evaluations."""
    lines: list[str] = []
    head = ["estimator", "variance", "ratio", "published ratio"]
    head += ["train", "test", "steps", "ms a step"]
    for evaluations, found in _by_evaluations(runs.values()).items():
        lines += [f"### {evaluations} evaluations", ""]
        rows = []
        for run in sorted(found, key=lambda run: run["results"]["variance"]):
            results = run["results"]
            ratio = _ratio(run, found)
            theirs = published.VARIANCES.get(evaluations, {})
            known = theirs.get(run["estimator"])
            rows.append(
                [
                    run["estimator"],
                    f"{results['variance']:.0f}",
                    "-" if ratio is None else f"{ratio:.2f}",
                    "-" if known is None else f"{known:.2f}",
                    f"{results['train']:.2f}",
                    f"{results['test']:.2f}",
                    f"{run['steps']:,}",
                    facts.milliseconds(run),
                ]
            )
        lines += [*facts.table(head, rows), ""]
    return lines


def _by_evaluations(runs: Iterable[Run]) -> dict[int, list[Run]]:
    """The longest runs that are done, by evaluations."""
    done, found = facts.done(runs), {}
    for evaluations in sorted({run["evaluations"] for run in done}):
        alike = facts.of(done, evaluations=evaluations)
        most = max(run["steps"] for run in alike)
        found[evaluations] = facts.of(alike, steps=most)
    return found


def _ratio(run: Run, others: Iterable[Run]) -> float | None:
    """The variance over that of the reference, of the same seed."""
    for other in others:
        alike = other["seed"] == run["seed"]
        if other["estimator"] == REFERENCE and alike:
            return run["results"]["variance"] / other["results"]["variance"]
    return None


def plot(runs: dict[str, Run], path: Path) -> None:
    """Variance and loss over the steps, a column for each number."""
    groups = _by_evaluations(runs.values()) or {2: []}
    names = sorted({run["estimator"] for run in runs.values()})
    size = 4.2 * len(groups), 7
    figure, axes = facts.panels(2, len(groups), size, sharex=True, sharey="row")
    for column, (evaluations, found) in zip(
        axes.T, groups.items(), strict=True
    ):
        for run in found:
            text = f"{run['estimator']}, seed {run['seed']}"
            color = f"C{names.index(run['estimator'])}"
            for axis, name in zip(column, ("variance", "train"), strict=True):
                facts.draw(axis, run, name, text, color=color)
        column[0].set(
            title=f"{evaluations} evaluations",
            yscale="log",
            ylabel="gradient variance",
        )
        column[1].set(ylabel="-ELBO in training (nats)", xlabel="step")
        if found:
            column[0].legend(fontsize=7)
    facts.save(figure, path)
