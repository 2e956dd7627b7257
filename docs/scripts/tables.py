"""Makes the tables of the documentation from measured data.

A page asks for one with a comment on a line of its own:

    <!-- table: facts -->          the estimator that the page is named after
    <!-- table: estimators -->     all estimators: what they need and give
    <!-- table: matrix -->         which estimator serves which distribution
    <!-- table: capabilities -->   what a distribution may be able to do
    <!-- table: vae -->            benchmarks/results/comparison.json
    <!-- table: quadratic -->      the same, the other problem
    <!-- table: large_k -->        benchmarks/results/large_k.json
    <!-- table: bias_tests -->     benchmarks/results/bias_tests.json
    <!-- table: gallery -->        the examples: title, picture, command
    <!-- table: codes_use -->      benchmarks/results/codes.json
    <!-- table: codes_speed -->    the same, time and memory

or, within a row of a table of its own, for cells:

    <!-- vae: rloo, 4 samples -->  its row: evaluations, cost, bias, variance
    <!-- gaussian: pathwise -->    benchmarks/results/monte_carlo_gradients.json

so that no number in a table is written by hand. `python -m docs.scripts.pages`
writes them into the pages.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from docs.scripts.gallery import gallery

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "docs" / "data" / "facts.json"
RESULTS = ROOT / "benchmarks" / "results"

# Where the number of evaluations depends on the problem.
EVALUATIONS = {
    "exact": "every joint state",
    "measure_valued": "1 + 2 · variables · parameters",
}


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def facts(name: str) -> str:
    """What there is to know of one estimator."""
    fact = _read(FACTS)["estimators"][name]
    reference = f"tfgumbel.estimators.{fact['class']}"
    served = _served(name)
    discrete = " for the discrete z" if "bernoulli" in served else ""
    body = [
        ["name", f"`{name}`, class [`{fact['class']}`][{reference}]"],
        ["bias", "none" if fact["unbiased"] else f"biased{discrete}"],
        ["needs ∂f/∂z", "yes" if fact["needs_gradient"] else "no"],
        ["evaluations of f", _evaluations(name, fact)],
        ["needs of z", _needs(fact)],
        ["distributions", served],
    ]
    cells = "\n".join(f"| **{key}** | {value} |" for key, value in body)
    table = f"| | |\n| --- | --- |\n{cells}"
    return f'<div class="facts" markdown>\n\n{table}\n\n</div>'


def _evaluations(name: str, fact: dict[str, Any]) -> str:
    if name in EVALUATIONS:
        return EVALUATIONS[name]
    count, samples = fact["evaluations"], fact["samples"]
    return f"{count}, with `samples={samples}`"


def _needs(fact: dict[str, Any]) -> str:
    described = _read(FACTS)["capabilities"]
    needs = "; ".join(described[need] for need in fact["needs"])
    return needs or "a log-probability"


def _served(name: str) -> str:
    """The distributions that an estimator serves."""
    served, every = [], _read(FACTS)["distributions"]
    for distribution, fact in every.items():
        if name in fact["estimators"]:
            served.append(f"`{distribution}`")
        for parameter, more in fact["if_fixed"].items():
            if name in more:
                served.append(f'`{distribution}` with `fixed="{parameter}"`')
    return "all" if len(served) == len(every) else ", ".join(served)


def estimators(_: str) -> str:
    """One line for each estimator."""
    head = ["estimator", "unbiased", "needs ∂f/∂z", "evaluations of f"]
    body = [
        [
            f"[`{name}`]({name}.md)",
            "yes" if fact["unbiased"] else "no",
            "yes" if fact["needs_gradient"] else "no",
            EVALUATIONS.get(name, str(fact["evaluations"])),
            _needs(fact),
        ]
        for name, fact in sorted(_read(FACTS)["estimators"].items())
    ]
    return rows([*head, "needs of the distribution"], body)


def matrix(_: str) -> str:
    """Distributions by estimators; one column for those of equal needs."""
    found = _read(FACTS)
    columns: dict[tuple[str, ...], list[str]] = {}
    for name, fact in sorted(found["estimators"].items()):
        columns.setdefault(tuple(fact["needs"]), []).append(name)
    distributions = found["distributions"]

    def reach(names: Sequence[str]) -> int:
        facts = distributions.values()
        return -sum(names[0] in fact["estimators"] for fact in facts)

    ordered = sorted(columns.values(), key=lambda names: (reach(names), names))
    order = sorted(
        distributions, key=lambda d: (-len(distributions[d]["estimators"]), d)
    )
    links = [
        "<br>".join(f"[`{name}`](estimators/{name}.md)" for name in names)
        for names in ordered
    ]
    body = [
        [
            f"[`{name}`][tfgumbel.distributions.{distributions[name]['class']}]",
            *(_cell(distributions[name], names[0]) for names in ordered),
        ]
        for name in order
    ]
    return rows(["distribution", *links], body)


def capabilities(_: str) -> str:
    """What a distribution may be able to do, and who asks for it."""
    found = _read(FACTS)
    body = [
        [
            f"[`{name}`][tfgumbel.distributions.{name}]",
            described,
            ", ".join(
                f"[`{estimator}`](../estimators/{estimator}.md)"
                for estimator, fact in sorted(found["estimators"].items())
                if name in fact["needs"]
            )
            or "–",
        ]
        for name, described in found["capabilities"].items()
    ]
    return rows(["capability", "a distribution has", "needed by"], body)


def _cell(fact: dict[str, Any], estimator: str) -> str:
    if estimator in fact["estimators"]:
        return "yes"
    fixed = [p for p, more in fact["if_fixed"].items() if estimator in more]
    return ", ".join(f'`fixed="{parameter}"`' for parameter in fixed) or "–"


def comparison(
    problem: str,
    digits: int,
    chosen: Sequence[str] | None = None,
    folder: str = "estimators/",
) -> str:
    """The rows of one problem, or those chosen, best cost first."""
    found = _read(RESULTS / "comparison.json")["rows"][problem]
    found = {label: found[label] for label in chosen or found}
    done = {k: v for k, v in found.items() if v["runs"] and "point" in v}
    head = ["estimator", "evaluations", "cost", "bias", "variance"]
    body = []
    for label, row in sorted(done.items(), key=lambda item: _mean(item[1])):
        point = row["point"]
        label = _label(label, f"[`{{0}}`]({folder}{{0}}.md)")
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


def codes_use(_: str) -> str:
    """How many codes stay in use, by the way that they are trained."""
    head = ["trained", "codes start", "in use before", "after"]
    body = [
        [
            row["way"],
            row["start"],
            f"{100 * row['used_before']:.0f} %",
            f"{100 * row['used']:.0f} %",
            f"{row['perplexity']:.0f}",
            f"{row['error']:.4f}",
        ]
        for row in _read(RESULTS / "codes.json")["use"]
    ]
    return rows([*head, "perplexity", "mean squared error"], body)


def codes_speed(_: str) -> str:
    """Time and memory of quantizers."""
    body = [
        [
            row["name"],
            f"{row['wall_ms']:.0f}",
            f"{row['cpu_ms']:.0f}",
            f"{row['peak_mib']:.0f}",
        ]
        for row in _read(RESULTS / "codes.json")["speed"]
        if "failed" not in row
    ]
    return rows(["quantizer", "ms", "ms of processor", "peak, MiB"], body)


TABLES: dict[str, Callable[[str], str]] = {
    "facts": facts,
    "estimators": estimators,
    "matrix": matrix,
    "capabilities": capabilities,
    "vae": lambda _: comparison("vae", 2),
    "quadratic": lambda _: comparison("quadratic", 3),
    "large_k": large_k,
    "bias_tests": bias_tests,
    "gallery": lambda _: gallery(),
    "codes_use": codes_use,
    "codes_speed": codes_speed,
}
