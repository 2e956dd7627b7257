"""The result of a comparison: rows, a table, a recommendation, a picture."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from tfgumbel.diagnostics import plots
from tfgumbel.diagnostics.table import number, paragraph, table

DETECTED = 5.0
"""Standard errors beyond which a bias counts as detected."""


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
        bias: |mean - exact|; `None` past the limit of enumeration.
        bias_se: √(variance / draws), the size that `bias` has by noise alone.
        bias_detected: Whether `bias` is beyond 5 standard errors; `None`
            where there is no `bias`.
        mse: bias² + variance, the noise taken off bias²; or `None`.
        variance: Total variance of a single estimate.
        snr: |E g| / √variance, the noise taken off |E g|.
        milliseconds: Wall time of an estimate for all B examples.
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
    bias_se: float | None = None
    bias_detected: bool | None = None
    mse: float | None = None
    variance: float | None = None
    snr: float | None = None
    milliseconds: float | None = None
    variance_time: float | None = None
    note: str = ""
    failed: bool = False


_COLUMNS = (
    "estimator",
    "bias",
    "its SE",
    "variance",
    "SNR",
    "evals",
    "ms",
    "var*ms",
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` returns; `print` shows it as a table.

    Attributes:
        rows: One `Row` per estimator, in the order asked for.
        settings: How it was measured.
        recommended: Name of the recommended estimator, or `None`.
        recommendation: Which one, and why.
    """

    rows: tuple[Row, ...]
    settings: dict[str, Any]
    recommended: str | None
    recommendation: str

    def __getitem__(self, name: str) -> Row:
        """The row of the estimator of this name."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise KeyError(f"No estimator {name!r} was compared, only {names}")

    def __str__(self) -> str:
        parts = [
            paragraph(_headline(self.settings)),
            table(_COLUMNS, [_cells(row) for row in self.rows]),
            *(paragraph(note) for note in self._notes()),
            "",
            paragraph(self.recommendation),
        ]
        return "\n".join(parts)

    def _notes(self) -> list[str]:
        notes = [f"{row.name}: {row.note}" for row in self.rows if row.note]
        if any(row.bias_detected for row in self.rows):
            notes.insert(0, "* bias detected: above 5 standard errors")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as what JSON can hold: no infinity, no NaN."""
        rows = [
            {key: _finite(value) for key, value in vars(row).items()}
            for row in self.rows
        ]
        return {
            "settings": dict(self.settings),
            "rows": rows,
            "recommended": self.recommended,
            "recommendation": self.recommendation,
        }

    def plot(self, path: str | os.PathLike) -> None:
        """Draws variance, bias² and variance * time of the estimators.

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


def _headline(settings: dict[str, Any]) -> str:
    return (
        "Gradient of E f(z) in {distribution} logits of shape {shape}: "
        "{draws} draws, seed {seed}, control variates trained for "
        "{train_steps} steps. Bias and variance per example, summed over "
        "coordinates; ms per estimate for the whole batch."
    ).format(**settings)


def _cells(row: Row) -> list[str]:
    if row.failed:
        return [row.name, *["failed"], *["-"] * (len(_COLUMNS) - 2)]
    bias = "n/a" if row.bias is None else number(row.bias)
    return [
        row.name,
        bias + ("*" if row.bias_detected else ""),
        "n/a" if row.bias is None else number(row.bias_se),
        number(row.variance),
        number(row.snr),
        str(row.evaluations),
        number(row.milliseconds),
        number(row.variance_time),
    ]
