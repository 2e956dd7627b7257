"""The section of the unbiased estimators on a binary VAE, with its figure."""

from __future__ import annotations

from pathlib import Path

from benchmarks import _published as published
from benchmarks._report import facts
from benchmarks._report.facts import Run

REFERENCE = "rodeo"
HEAD = ["estimator", "variance", "ratio", "published ratio", "train", "test"]
HEAD += ["steps", "ms a step"]


def section(runs: list[Run]) -> list[str]:
    """A table for each number of evaluations."""
    lines: list[str] = []
    for evaluations, found in _by_evaluations(runs).items():
        theirs = published.VARIANCES.get(str(evaluations), {})
        rows = []
        for run in sorted(found, key=lambda run: run["results"]["variance"]):
            name, results = run["estimator"], run["results"]
            alike = facts.of(found, estimator=REFERENCE, seed=run["seed"])
            unit = alike[0]["results"]["variance"] if alike else None
            row = [name, f"{results['variance']:.0f}"]
            row.append(f"{results['variance'] / unit:.2f}" if unit else "-")
            row.append(f"{theirs[name]:.2f}" if name in theirs else "-")
            row += [f"{results['train']:.2f}", f"{results['test']:.2f}"]
            rows.append([*row, f"{run['steps']:,}", facts.milliseconds(run)])
        lines += [f"### {evaluations} evaluations", ""]
        lines += [*facts.table(HEAD, rows), ""]
    return lines


def _by_evaluations(runs: list[Run]) -> dict[int, list[Run]]:
    """The longest runs that are done, by evaluations."""
    found = {}
    for evaluations in sorted({run["evaluations"] for run in facts.done(runs)}):
        alike = facts.done(runs, evaluations=evaluations)
        most = max(run["steps"] for run in alike)
        found[evaluations] = facts.of(alike, steps=most)
    return found


def plot(runs: list[Run], path: Path) -> None:
    """Variance and loss over the steps, a column for each number."""
    groups = _by_evaluations(runs) or {2: []}
    names = sorted({run["estimator"] for run in runs})
    size = 4.2 * len(groups), 7
    figure, axes = facts.panels(2, len(groups), size, sharex=True, sharey="row")
    for (variances, losses), evaluations in zip(axes.T, groups, strict=True):
        for run in groups[evaluations]:
            style = {
                "label": f"{run['estimator']}, seed {run['seed']}",
                "color": f"C{names.index(run['estimator'])}",
            }
            facts.draw(variances, run, "variance", **style)
            facts.draw(losses, run, "train", **style)
        title = f"{evaluations} evaluations"
        variances.set(title=title, yscale="log", ylabel="gradient variance")
        losses.set(ylabel="-ELBO in training (nats)", xlabel="step")
        if groups[evaluations]:
            variances.legend(fontsize=7)
    facts.save(figure, path)
