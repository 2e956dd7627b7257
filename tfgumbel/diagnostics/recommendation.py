"""Which estimator to take, and why."""

from __future__ import annotations

from collections.abc import Sequence

from tfgumbel.diagnostics.comparison import Row
from tfgumbel.diagnostics.table import number


def recommend(
    rows: Sequence[Row], excluded: Sequence[str] = ()
) -> tuple[str | None, str]:
    """The estimator of least variance * time among those without bias.

    Without bias are those unbiased by construction and those whose bias is
    known and not detected, below 5 standard errors. Variance * time is the
    variance reached with a fixed budget of time. A biased estimator whose
    mean square error bias² + variance is lower is mentioned, not recommended:
    averaging more of its estimates leads to another optimum.

    Args:
        rows: What was measured.
        excluded: Names not to recommend: what needs no recommendation
            (`exact`) or has another objective.

    Returns:
        The name, or `None` if there is nothing to choose from, and the text.
    """
    measured = [r for r in rows if not r.failed and r.name not in excluded]
    candidates = [r for r in measured if r.unbiased or r.bias_detected is False]
    if not candidates:
        return None, _nothing(measured)
    ranked = sorted(candidates, key=_key)
    best = ranked[0]
    sentences = [f"Recommended: {best.name}.", _reason(ranked)]
    if not best.unbiased:
        sentences.append(
            f"It is biased by construction; over {best.draws} draws the bias "
            "is too small to see."
        )
    sentences += _better_in_mse(best, measured)
    return best.name, " ".join(sentences)


def _key(row: Row) -> tuple[float, float]:
    assert row.variance_time is not None and row.milliseconds is not None
    return row.variance_time, row.milliseconds


def _nothing(measured: Sequence[Row]) -> str:
    if not measured:
        return "Recommended: none, since no estimator could be measured."
    return (
        "Recommended: none. Every estimator measured is biased, or may be "
        "(past the limit of enumeration the bias is unknown); add an unbiased "
        "one, such as rloo."
    )


def _reason(ranked: Sequence[Row]) -> str:
    best = ranked[0]
    if len(ranked) == 1:
        return "It is the only one measured without a bias."
    text = (
        f"Of the {len(ranked)} that are unbiased or show no bias, it has the "
        f"least variance * time, {number(best.variance_time)}"
    )
    second = ranked[1]
    if best.variance_time:
        assert second.variance_time is not None
        ratio = second.variance_time / best.variance_time
        text += f"; next is {second.name} with {number(ratio)} times as much"
    return text + "."


def _better_in_mse(best: Row, measured: Sequence[Row]) -> list[str]:
    if best.mse is None:
        return []
    better = [
        row
        for row in measured
        if row.bias_detected and row.mse is not None and row.mse < best.mse
    ]
    return [
        f"{row.name} is biased but has a lower mean square error "
        f"(bias^2 + variance {number(row.mse)} against {number(best.mse)}): "
        "it can be the better one while gradients are large, and ends at "
        "another optimum."
        for row in better
    ]
