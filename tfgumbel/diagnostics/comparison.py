"""The result of a comparison: rows, tables, a recommendation, a picture."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from tfgumbel.diagnostics import plots
from tfgumbel.diagnostics.row import ALPHA, Row
from tfgumbel.diagnostics.table import number, paragraph, percent, table


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of `compare`; `print` shows it as two tables.

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
        names = self.settings["parameters"]
        text = (
            "Gradient of E f(z) in {distribution} {names} of shape {shape}; "
            "seed {seed}, control variates trained for {train_steps} steps. "
            "Figures are per example, summed over coordinates; ms are per "
            "estimate, for the whole batch."
        ).format(**self.settings, names=" and ".join(names))
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
            f"The bounds hold jointly with {percent(1 - ALPHA)} confidence; "
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
        """Draws bounds of the bias, variance * evaluations and variance * ms.

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
