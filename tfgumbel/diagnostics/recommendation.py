"""Which estimator to take, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tfgumbel.diagnostics.row import ALPHA, Row
from tfgumbel.diagnostics.table import number, percent


class Recommendation(NamedTuple):
    """A name or `None`, the reason, and who might have been better."""

    name: str | None
    text: str
    undecided: tuple[str, ...]


def recommend(
    rows: Sequence[Row],
    excluded: Sequence[str] = (),
    *,
    norm: float | None = None,
    tolerance: float = 0.1,
    rounding: float = 0.0,
) -> Recommendation:
    """The least variance * evaluations among those of acceptable bias.

    The variance that a number of evaluations of f buys; unlike variance *
    time it is the same on every machine. Estimators within three standard
    errors of the least are tied, and of these one that is unbiased by
    construction comes first.

    A biased estimator of lower mean square error bias² + variance is
    mentioned, not recommended: averaging more of its estimates leads to
    another optimum.

    Args:
        rows: What was measured.
        excluded: Names not to recommend: what needs no recommendation
            (`exact`) or has another objective.
        norm: Of the gradient, if it is known.
        tolerance: The acceptable bias in units of the norm, for the text.
        rounding: The bias that float32 hides, for the text.
    """
    measured = [r for r in rows if not r.failed and r.name not in excluded]
    chosen = [r for r in measured if r.acceptable]
    best, tied = _best(chosen)
    open_rows = undecided(measured, best)
    sentences = [
        _first(best, measured, norm, any(not r.failed for r in rows)),
        *_reason(best, chosen, tied, norm),
    ]
    if best is not None:
        sentences += _by_time(best, chosen)
    sentences += _contradicted(measured)
    sentences += _undecided(best, open_rows, norm, tolerance, rounding)
    sentences += _better_in_mse(best, measured)
    names = tuple(row.name for row in open_rows)
    text = " ".join(s for s in sentences if s)
    return Recommendation(best.name if best else None, text, names)


def undecided(measured: Sequence[Row], best: Row | None) -> list[Row]:
    """Rows that would be better than the best, were their bias acceptable."""
    return [
        row
        for row in measured
        if row.acceptable is None
        and row.comparable
        and (best is None or _score(row) < _score(best))
        and (best is None or not _tie(row, best))
    ]


def draws_needed(row: Row, limit: float, bias: float) -> float:
    """Roughly the draws that tell whether a bias is within the limit.

    Args:
        row: What was measured.
        limit: The largest acceptable bias.
        bias: The bias that there is.
    """
    margin = bias - limit
    if row.draws is None or row.bias_detectable is None or margin == 0.0:
        return math.inf
    return row.draws * (row.bias_detectable / margin) ** 2


def _score(row: Row) -> float:
    assert row.variance_evaluations is not None
    return row.variance_evaluations


def _tie(row: Row, best: Row) -> bool:
    """Whether the noise of the two variances explains their difference."""
    errors = [
        (r.variance_error or 0.0) * (r.evaluations or 1) for r in (row, best)
    ]
    return abs(_score(row) - _score(best)) <= 3.0 * math.hypot(*errors)


def _best(chosen: Sequence[Row]) -> tuple[Row | None, list[Row]]:
    """The recommended one and those it is tied with."""
    if not chosen:
        return None, []
    least = min(chosen, key=_score)
    near = [row for row in chosen if _tie(row, least)]
    near.sort(key=lambda row: (not row.unbiased, _score(row)))
    return near[0], near[1:]


def _first(
    best: Row | None,
    measured: Sequence[Row],
    norm: float | None,
    any_measured: bool,
) -> str:
    if best is not None:
        return f"Recommended: {best.name}."
    if not measured and any_measured:
        return (
            "Recommended: none, since what was measured is exact or has "
            "another objective."
        )
    if not measured:
        return "Recommended: none, since no estimator could be measured."
    known = "" if norm is not None else ", or unknown"
    unbiased = any(row.unbiased for row in measured)
    advice = "" if unbiased else "; add an unbiased one, such as rloo"
    return (
        f"Recommended: none. The bias of every estimator measured is too "
        f"large, or undecided{known}{advice}."
    )


def _reason(
    best: Row | None,
    chosen: Sequence[Row],
    tied: Sequence[Row],
    norm: float | None,
) -> list[str]:
    if best is None:
        return []
    if len(chosen) == 1:
        return ["No other has an acceptable bias."]
    text = (
        f"Of the {len(chosen)} with an acceptable bias it has the least "
        f"variance * evaluations, {number(_score(best))}"
    )
    if tied:
        text += f", tied with {_names(tied)}"
    others = [r for r in chosen if r is not best and r not in tied]
    if others and _score(best):
        second = min(others, key=_score)
        ratio = number(_score(second) / _score(best), 2)
        text += f"; next is {second.name} with {ratio} times as much"
    sentences = [text + "."]
    if not best.unbiased and norm and best.bias_upper is not None:
        sentences.append(
            "It is biased by construction, by "
            f"{number(best.bias_upper / norm, 2)} of the gradient's norm at "
            "most."
        )
    return sentences


def _names(rows: Sequence[Row]) -> str:
    *others, last = [row.name for row in rows]
    return f"{', '.join(others)} and {last}" if others else last


def _by_time(best: Row, chosen: Sequence[Row]) -> list[str]:
    """Who is better by the clock, beyond the spread of both times."""
    faster = [
        row
        for row in chosen
        if row is not best and _time(row, 1.0) < _time(best, -1.0)
    ]
    if not faster:
        return []
    first = min(faster, key=lambda row: row.variance_time or 0.0)
    assert best.variance_time is not None and first.variance_time is not None
    ratio = first.variance_time / best.variance_time
    return [
        f"By variance * time, on this machine, {first.name} comes first, with "
        f"{number(ratio, 2)} of it."
    ]


def _time(row: Row, spreads: float) -> float:
    """Variance * time, so many spreads above the median."""
    milliseconds = row.milliseconds or 0.0
    milliseconds += spreads * (row.milliseconds_spread or 0.0)
    return (row.variance or 0.0) * milliseconds


def _contradicted(measured: Sequence[Row]) -> list[str]:
    wrong = [row for row in measured if row.unbiased and row.bias_detected]
    if not wrong:
        return []
    be = "is" if len(wrong) == 1 else "are"
    return [
        f"{_names(wrong)} {be} unbiased by construction, yet a bias was "
        f"detected, which happens by chance in {percent(ALPHA)} of tables, "
        "and where the cost of one example depends on the others of the batch."
    ]


def _undecided(
    best: Row | None,
    rows: Sequence[Row],
    norm: float | None,
    tolerance: float,
    rounding: float,
) -> list[str]:
    if not rows:
        return []
    if norm is None:
        return [f"Undecided: {_names(rows)}, of unknown bias."]
    first = min(rows, key=_score)
    text = f"Undecided: {_names(rows)}"
    if best is not None:
        ratio = number(_score(best) / _score(first), 2)
        who = f", {first.name} among them," if len(rows) > 1 else ""
        text += f"{who} with {ratio} times less variance * evaluations"
    text += (
        ". The draws do not say whether the bias is below "
        f"{percent(tolerance)} of the gradient's norm"
    )
    needed = draws_needed(first, tolerance * norm, first.bias or 0.0)
    if rounding > tolerance * norm:
        text += (
            ", nor would more of them: it is less than rounding in float32. A "
            "cost of smaller values, less a constant, has less of that"
        )
    elif needed < 1e9:
        text += f"; about {float(f'{needed:.1g}'):,.0f} would"
    return [text + "."]


def _better_in_mse(best: Row | None, measured: Sequence[Row]) -> list[str]:
    if best is None or best.mse is None:
        return []
    better = [
        row
        for row in measured
        if row.acceptable is False
        and row.mse is not None
        and row.mse < best.mse
    ]
    if not better:
        return []
    be = "is" if len(better) == 1 else "are"
    return [
        f"{_names(better)} {be} biased but of lower mean square error, bias^2 "
        "+ variance: good while gradients are large, to another optimum in "
        "the end."
    ]
