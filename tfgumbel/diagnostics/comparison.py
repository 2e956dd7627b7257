"""The result of a comparison: rows, tables, a recommendation, a picture."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from tfgumbel.diagnostics import plots
from tfgumbel.diagnostics.table import number, paragraph, percent, table

ALPHA = 0.01
"""Rate of any false statement on a bias in a table, by all looks together."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one estimator.

    Gradients are those of one example, with C coordinates; squares and
    variances are summed over coordinates and averaged over the B examples.

    Attributes:
        name: Name of the estimator.
        unbiased: Whether it is unbiased by construction.
        comparable: Whether it estimates the gradient of E f at all.
        evaluations: Evaluations of f per example and estimate.
        draws: Independent estimates that were drawn.
        bias: |mean - gradient|, the part that noise adds taken off; `None`
            where there is nothing to compare with, like all that follows of
            the bias.
        relative_bias: bias over the gradient's norm.
        bias_lower: What the bias exceeds; zero unless it is seen.
        bias_upper: What it does not exceed. The bounds of all rows hold
            together, with 99 % confidence.
        bias_detectable: The bias that would have been detected with
            probability 0.9, wherever it points.
        p_value: Of the hypothesis of no bias, adjusted for the number of
            estimators, examples and looks.
        bias_detected: Whether p_value is at most 0.01.
        worst_example: Where B > 1, the example with the most evidence.
        acceptable: `True` if the bias is small enough to recommend the
            estimator: unbiased by construction and nothing detected, or
            `bias_upper` at most `tolerance` of the gradient's norm. `False`
            if it is not, `None` if the draws do not say.
        mse: bias² + variance; or `None`.
        variance: Total variance of a single estimate.
        variance_error: Its standard error.
        snr: |E g| / √variance, the noise taken off |E g|.
        milliseconds: Wall time of an estimate for all B examples, the median
            over calls.
        milliseconds_spread: Half of the range of the middle half of calls.
        variance_evaluations: variance · evaluations.
        variance_time: variance · milliseconds.
        note: What to know about it, or why it could not be measured.
        failed: Whether it could not be measured; then numbers are `None`.
    """

    name: str
    unbiased: bool = True
    comparable: bool = True
    evaluations: int | None = None
    draws: int | None = None
    bias: float | None = None
    relative_bias: float | None = None
    bias_lower: float | None = None
    bias_upper: float | None = None
    bias_detectable: float | None = None
    p_value: float | None = None
    bias_detected: bool | None = None
    worst_example: int | None = None
    acceptable: bool | None = None
    mse: float | None = None
    variance: float | None = None
    variance_error: float | None = None
    snr: float | None = None
    milliseconds: float | None = None
    milliseconds_spread: float | None = None
    variance_evaluations: float | None = None
    variance_time: float | None = None
    note: str = ""
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` returns; `print` shows it as two tables.

    Attributes:
        rows: One `Row` per estimator, in the order asked for.
        settings: How it was measured.
        recommended: Name of the recommended estimator, or `None`.
        recommendation: Which one, and why.
        gradient_norm: |∇E f|, root mean square over examples; `None` where
            there is nothing to compare with.
        reference: Where that gradient comes from.
        undecided: Estimators that might be better, if their bias is small
            enough, which the draws do not say.
        interrupted: Whether Ctrl-C ended the measuring.
    """

    rows: tuple[Row, ...]
    settings: dict[str, Any]
    recommended: str | None
    recommendation: str
    gradient_norm: float | None = None
    reference: str | None = None
    undecided: tuple[str, ...] = ()
    interrupted: bool = False

    def __getitem__(self, name: str) -> Row:
        """The row of the estimator of this name."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise KeyError(f"No estimator {name!r} was compared, only {names}")

    def __str__(self) -> str:
        parts = [paragraph(self._headline())]
        compared = [row for row in self.rows if row.bias is not None]
        if compared:
            norm = self.gradient_norm or 0.0
            cells = [_bias_cells(row, norm) for row in compared]
            parts += ["", table(_BIAS, cells), *map(paragraph, self._legend())]
        cells = [_cost_cells(row) for row in self.rows]
        notes = [f"{row.name}: {row.note}" for row in self.rows if row.note]
        parts += ["", table(_COST, cells), *map(paragraph, notes), ""]
        return "\n".join([*parts, paragraph(self.recommendation)])

    def _headline(self) -> str:
        text = (
            "Gradient of E f(z) in {distribution} logits of shape {shape}; "
            "seed {seed}, control variates trained for {train_steps} steps. "
            "Figures are per example, summed over coordinates; ms are per "
            "estimate, for the whole batch."
        ).format(**self.settings)
        if self.gradient_norm is not None:
            norm = number(self.gradient_norm)
            text += f" The gradient's norm is {norm}, {self.reference}."
        if self.interrupted:
            text += " Interrupted: what was not finished is missing."
        return text

    def _legend(self) -> list[str]:
        looks = self.settings["looks"]
        once = "" if looks == 1 else f" and up to {looks} looks"
        return [
            f"p: chance of such a mean without a bias, adjusted for the table"
            f"{once}; * detected, at a false-alarm rate of {percent(ALPHA)}.",
            "/norm, at least, at most, 90 %: relative to the gradient's norm. "
            f"The bounds hold together with {percent(1 - ALPHA)} confidence; "
            "90 % is the bias found with that probability.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as what JSON can hold: no infinity, no NaN."""
        rows = [
            {key: _finite(value) for key, value in vars(row).items()}
            for row in self.rows
        ]
        return {
            "settings": dict(self.settings),
            "gradient_norm": _finite(self.gradient_norm),
            "reference": self.reference,
            "rows": rows,
            "recommended": self.recommended,
            "undecided": list(self.undecided),
            "recommendation": self.recommendation,
            "interrupted": self.interrupted,
        }

    def plot(self, path: str | os.PathLike) -> None:
        """Draws variance, bias² and variance * evaluations of the estimators.

        Args:
            path: File to write; its ending names the format (`.png`, `.pdf`).

        Raises:
            ImportError: If matplotlib is missing.
        """
        plots.plot_comparison(self, path)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_BIAS = (
    "estimator",
    "draws",
    "bias",
    "/norm",
    "at least",
    "at most",
    "90 %",
    "p",
)
_COST = (
    "estimator",
    "variance",
    "SNR",
    "evals",
    "var*evals",
    "ms",
    "±",
    "var*ms",
)


def _bias_cells(row: Row, norm: float) -> list[str]:
    bounds = (row.bias_lower, row.bias_upper, row.bias_detectable)
    return [
        row.name,
        str(row.draws),
        number(row.bias) + ("*" if row.bias_detected else ""),
        number(row.relative_bias),
        *(number(relative(bound, norm)) for bound in bounds),
        number(row.p_value, 2),
    ]


def relative(length: float | None, norm: float | None) -> float | None:
    """Length over norm, infinite over a norm of zero."""
    if length is None or norm is None:
        return None
    if norm == 0.0:
        return 0.0 if length == 0.0 else math.inf
    return length / norm


def _cost_cells(row: Row) -> list[str]:
    if row.failed:
        return [row.name, *["failed"], *["-"] * (len(_COST) - 2)]
    spread = relative(row.milliseconds_spread, row.milliseconds)
    return [
        row.name,
        number(row.variance),
        number(row.snr),
        str(row.evaluations),
        number(row.variance_evaluations),
        number(row.milliseconds),
        "-" if spread is None else percent(spread),
        number(row.variance_time),
    ]
