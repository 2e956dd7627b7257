"""Writes tables from measured data into the pages, when the site is built.

A page asks for one with a comment on a line of its own:

    <!-- table: facts -->          the estimator that the page is named after
    <!-- table: estimators -->     all estimators: what they need and give
    <!-- table: vae -->            benchmarks/results/comparison.json
    <!-- table: quadratic -->      the same, the other problem
    <!-- table: large_k -->        benchmarks/results/large_k.json
    <!-- table: bias_tests -->     benchmarks/results/bias_tests.json

or, within a row of a table of its own, for cells:

    <!-- vae: rloo, 4 samples -->  its row: evaluations, cost, bias, variance
    <!-- gaussian: pathwise -->    benchmarks/results/monte_carlo_gradients.json

so that no number in a table is written by hand. A comment that asks for
something else is a warning, which fails `mkdocs build --strict`.
"""

from __future__ import annotations

import json
import logging
import math
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LOG = logging.getLogger("mkdocs.hooks.tables")
ROOT = Path(__file__).parents[2]
FACTS = ROOT / "docs" / "data" / "estimators.json"
RESULTS = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"^<!-- table: (\w+) -->$", re.M)
CELLS = re.compile(r"<!-- (vae|gaussian): ([^>]+?) -->")

# Where the number of evaluations depends on the problem.
EVALUATIONS = {
    "exact": "every joint state",
    "measure_valued": "1 + 2 · variables · parameters",
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in the tables of the page."""

    def fill(match: re.Match[str]) -> str:
        table = TABLES.get(match[1])
        if table is None:
            LOG.warning("%s: no table %r", page.file.src_path, match[1])
            return ""
        return table(Path(page.file.src_path).stem)

    markdown = CELLS.sub(lambda match: cells(*match.groups()), markdown)
    return PLACE.sub(fill, markdown)


def on_config(config: Any, **_: Any) -> Any:
    """Has the site built anew when a table's data change."""
    config.watch += [str(FACTS.parent), str(RESULTS)]
    return config


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def facts(name: str) -> str:
    """What there is to know of one estimator."""
    fact = _read(FACTS)["facts"][name]
    reference = f"tfgumbel.estimators.{fact['class']}"
    body = [
        ["name", f"`{name}`, class [`{fact['class']}`][{reference}]"],
        ["bias", "none" if fact["unbiased"] else "biased for the discrete z"],
        ["needs ∂f/∂z", "yes" if fact["needs_gradient"] else "no"],
        ["evaluations of f", _evaluations(name, fact)],
        ["z", ", ".join(fact["distributions"])],
    ]
    cells = "\n".join(f"| **{key}** | {value} |" for key, value in body)
    table = f"| | |\n| --- | --- |\n{cells}"
    return f'<div class="facts" markdown>\n\n{table}\n\n</div>'


def _evaluations(name: str, fact: dict[str, Any]) -> str:
    if name in EVALUATIONS:
        return EVALUATIONS[name]
    count, samples = fact["evaluations"], fact["samples"]
    return f"{count}, with `samples={samples}`"


def estimators(_: str) -> str:
    """One line for each estimator."""
    head = ["estimator", "unbiased", "needs ∂f/∂z", "evaluations of f", "z"]
    body = [
        [
            f"[`{name}`]({name}.md)",
            "yes" if fact["unbiased"] else "no",
            "yes" if fact["needs_gradient"] else "no",
            EVALUATIONS.get(name, str(fact["evaluations"])),
            _kinds(fact["distributions"]),
        ]
        for name, fact in sorted(_read(FACTS)["facts"].items())
    ]
    return rows(head, body)


def _kinds(distributions: Sequence[str]) -> str:
    kinds = {
        "categories": "categorical" in distributions,
        "bits": "bernoulli" in distributions,
        "counts": "poisson" in distributions,
        "reals": "gaussian" in distributions,
    }
    return ", ".join(kind for kind, found in kinds.items() if found)


def comparison(problem: str, digits: int) -> str:
    """The rows of one problem, best cost first."""
    found = _read(RESULTS / "comparison.json")["rows"][problem]
    done = {k: v for k, v in found.items() if v["runs"] and "point" in v}
    head = ["estimator", "evaluations", "cost", "bias", "variance"]
    body = []
    for label, row in sorted(done.items(), key=lambda item: _mean(item[1])):
        point = row["point"]
        label = _label(label, "[`{0}`](estimators/{0}.md)")
        measured = [str(point["evaluations"]), _cost(row, digits)]
        body.append([label, *measured, *_quality(point)])
    return rows(head, body)


def _label(label: str, name_as: str) -> str:
    name, _, setting = label.replace("tau", "τ =").partition(", ")
    # 1e6 as a number, not as a programmer writes it.
    setting = setting.replace("1e6", "10⁶")
    return name_as.format(name) + (setting and ", ") + setting


def cells(source: str, label: str) -> str:
    """What was measured of one estimator, as cells of a row."""
    if source == "gaussian":
        return _gaussian(label)
    row = _read(RESULTS / "comparison.json")["rows"]["vae"][label]
    point = row["point"]
    cost = f"{_mean(row):.2f}"
    return " | ".join([str(point["evaluations"]), cost, *_quality(point)])


def _gaussian(label: str) -> str:
    """Variance in μ for x² under N(1, 1), in units of its gradient's square."""
    for row in _read(RESULTS / "monte_carlo_gradients.json")["rows"]:
        problem = (row["cost"], row["k"], row["parameter"], row["estimator"])
        if problem == ("(x - k)²", 0.0, "μ", label):
            return _two_digits(row["measured"] / 4.0)  # ∂/∂μ E x² = 2 μ
    raise KeyError(label)


def _quality(point: dict[str, Any]) -> list[str]:
    return [bias(point), _two_digits(point["relative_variance"])]


def _two_digits(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10.0 else f"{rounded:.1f}"


def _costs(row: dict[str, Any]) -> list[float]:
    return [run["cost"] for run in row["runs"].values()]


def _mean(row: dict[str, Any]) -> float:
    return statistics.fmean(_costs(row))


def _cost(row: dict[str, Any], digits: int) -> str:
    costs = _costs(row)
    text = f"{statistics.fmean(costs):.{digits}f}"
    if len(costs) > 1:
        error = statistics.stdev(costs) / math.sqrt(len(costs))
        text += f" ± {error:.{digits}f}"
    return text


def bias(point: dict[str, Any]) -> str:
    """The bias relative to the gradient's norm, and its bounds."""
    if point["unbiased"]:
        return "none"
    found, low, high = (
        point[f"relative_bias{end}"] for end in ("", "_lower", "_upper")
    )
    if not point["bias_detected"]:
        return f"below {high:.2g}"
    width = max(high - found, found - low)
    digits = 2 if width >= 0.0095 else 3
    return f"{found:.{digits}f} ± {width:.{digits}f}"


README = ROOT / "README.md"
IN_README = (
    *("rloo, 4 samples", "mve, tau 1e6", "reinmax, tau 1", "zgr", "rebar"),
    *("gumbel_softmax, tau 0.5", "gumbel_rao, tau 0.5", "nvil"),
    *("st_gumbel, tau 0.5", "st, tau 1.3", "reinforce"),
)
BLOCK = re.compile(
    r"(?<=<!-- comparison: made by docs/scripts/readme.py -->\n).*?"
    r"(?=\n<!-- comparison: end -->)",
    re.DOTALL,
)


def readme(text: str) -> str:
    """README with its table of the comparison made anew."""
    found = _read(RESULTS / "comparison.json")["rows"]["vae"]
    head = ["estimator", "evaluations", "−ELBO", "bias", "variance"]
    body = [
        [
            _label(label, "`{0}`"),
            str(found[label]["point"]["evaluations"]),
            _cost(found[label], 2),
            *_quality(found[label]["point"]),
        ]
        for label in sorted(IN_README, key=lambda x: _mean(found[x]))
    ]
    return BLOCK.sub(lambda _: rows(head, body), text)


def large_k(_: str) -> str:
    """Embedding of a drawn category, against one-hot times a table."""
    results = _read(RESULTS / "large_k.json")["results"]
    head = ["K", "estimator", "ms", "one-hot, ms", "MiB", "one-hot, MiB"]
    body = [
        [
            f"{row['categories']:,}",
            f"`{row['estimator']}`",
            f"{row['ours']['median_ms']:.0f}",
            f"{row['one_hot']['median_ms']:.0f}",
            f"{row['ours']['peak_mib']:.0f}",
            f"{row['one_hot']['peak_mib']:.0f}",
        ]
        for row in results
        if row.get("one_hot")
    ]
    return rows(head, body)


def bias_tests(_: str) -> str:
    """False alarms of tests for a bias, and how often they find one."""
    results = _read(RESULTS / "bias_tests.json")["rows"]
    rules = list(results[0]["rules"])
    body = [
        [
            str(row["dimension"]),
            row["variances"],
            *(_rates(row["rules"][rule]) for rule in rules),
        ]
        for row in results
    ]
    return rows(["coordinates", "variances", *rules], body)


def _rates(rates: dict[str, float]) -> str:
    return f"{100 * rates['false alarms']:.1f} %, {100 * rates['found']:.0f} %"


TABLES: dict[str, Callable[[str], str]] = {
    "facts": facts,
    "estimators": estimators,
    "vae": lambda _: comparison("vae", 2),
    "quadratic": lambda _: comparison("quadratic", 3),
    "large_k": large_k,
    "bias_tests": bias_tests,
}
