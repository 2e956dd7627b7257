"""Estimators measured side by side, until it is clear which one is best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgumbel.diagnostics import reference
from tfgumbel.diagnostics.comparison import Comparison, relative
from tfgumbel.diagnostics.measurement import Measurement, Setup
from tfgumbel.diagnostics.moments import snr
from tfgumbel.diagnostics.progress import Progress
from tfgumbel.diagnostics.recommendation import (
    Recommendation,
    draws_needed,
    recommend,
)
from tfgumbel.diagnostics.reference import Reference
from tfgumbel.diagnostics.row import ALPHA, Row
from tfgumbel.diagnostics.selection import has_another_objective
from tfgumbel.diagnostics.verdict import Verdict, holm, judge
from tfgumbel.distributions import Distribution
from tfgumbel.estimators import Estimator, get

_FACTOR = 4
"""By what draws are raised while the question is undecided."""


class Study:
    """Measures estimators, and those again whose bias is undecided.

    Args:
        named: Estimators by label; an exception for one that there is not.
        setup: The problem.
        exact: The gradient, if it is known.
        distribution: Of the variables.
        max_draws: Most draws of an estimator.
        tolerance: The acceptable bias in units of the gradient's norm.
    """

    def __init__(
        self,
        named: Mapping[str, Estimator | Exception],
        setup: Setup,
        exact: Reference | None,
        distribution: Distribution,
        max_draws: int,
        tolerance: float,
    ) -> None:
        self._named = named
        self._setup = setup
        self._reference = exact
        self._distribution = distribution
        self._max_draws = max_draws
        self._tolerance = tolerance
        self._measured: dict[str, Measurement] = {}
        self._failed: dict[str, Row] = {}
        self._judged: dict[str, tuple[Any, Verdict]] = {}
        self._source: tuple[str, Measurement] | None = None
        self._interrupted = False

    @property
    def looks(self) -> int:
        """How often the draws may be looked at."""
        ratio = self._max_draws / self._setup.draws
        return 1 + math.ceil(math.log(ratio, _FACTOR) - 1e-9)

    def run(self, progress: Progress) -> None:
        """Measures; Ctrl-C ends it once something is finished."""
        try:
            self._measure(progress)
            self._compare_with_draws(progress)
            self._raise_draws(progress)
        except KeyboardInterrupt:
            if not self._measured:
                raise
            self._interrupted = True

    def result(self, settings: dict[str, Any]) -> Comparison:
        """The results so far."""
        rows, advice = self._advice()
        return Comparison(
            tuple(rows),
            settings,
            advice.name,
            advice.text,
            self._norm(),
            None if self._reference is None else self._reference.source,
            advice.undecided,
            self._interrupted,
        )

    def _measure(self, progress: Progress) -> None:
        work = self._setup.draws + self._setup.train_steps
        progress.begin(list(self._named), len(self._named), work)
        for name, estimator in self._named.items():
            progress.next()
            try:
                if isinstance(estimator, Exception):
                    raise estimator
                measurement = Measurement(
                    estimator, self._setup, self._setup.seed
                )
                measurement.start(progress.advance)
                measurement.draw_until(self._setup.draws, progress.advance)
                self._measured[name] = measurement
            except Exception as error:  # Reported: the others are wanted.
                self._fail(name, error)
        progress.end()

    def _fail(self, name: str, error: Exception) -> None:
        message = getattr(error, "message", None) or str(error)
        note = f"{type(error).__name__}: " + " ".join(message.split())
        self._failed[name] = Row(name, note=note, failed=True)

    def _compare_with_draws(self, progress: Progress) -> None:
        """Makes a reference where there is no exact gradient."""
        if self._reference is not None or not self._comparable():
            return
        self._source = self._unbiased_source(progress)
        self._draw_reference(self._setup.draws, progress)

    def _unbiased_source(
        self, progress: Progress
    ) -> tuple[str, Measurement] | None:
        """The best unbiased estimator measured, with a seed of its own."""
        seed = self._setup.seed + 2
        unbiased = [
            name
            for name in self._comparable()
            if self._measured[name].estimator.unbiased
        ]
        if unbiased:
            name = min(unbiased, key=self._score)
            return name, self._measured[name].again(seed)
        try:
            estimator = get("rloo", distribution=self._distribution, samples=8)
        except ValueError:
            return None
        progress.begin(["a reference"], 1, self._setup.train_steps)
        progress.next()
        measurement = Measurement(estimator, self._setup, seed)
        measurement.start(progress.advance)
        progress.end()
        return "rloo with 8 samples", measurement

    def _draw_reference(self, draws: int, progress: Progress) -> None:
        """Draws on for the reference, if it is made of draws.

        One whose estimates turn out not to be finite stays as it was.
        """
        if self._source is not None:
            try:
                self._draw_on(*self._source, draws, progress)
            except ValueError:
                self._source = None

    def _draw_on(
        self, name: str, source: Measurement, draws: int, progress: Progress
    ) -> None:
        """Until its noise is half of the least noise that it meets.

        But not for more evaluations of f than half of what the estimators
        had, nor for fewer draws than they.
        """
        if source.chunks.count == 0:
            source.draw_until(2, lambda count: None)
        met = [self._row(name) for name in self._comparable()]
        noise = [(row.variance or 0.0) / (row.draws or 1) for row in met]
        noise = [value for value in noise if value > 0.0]
        evaluations = sum((r.evaluations or 1) * (r.draws or 1) for r in met)
        variance = source.chunks.variance / self._setup.batch
        wanted = 2.0 * variance / min(noise, default=math.inf)
        each = max(1, source.estimator.evaluations)
        wanted = min(wanted, 0.5 * evaluations / each)
        wanted = math.ceil(max(wanted, draws))
        progress.begin([f"{name}, the reference"], 1, wanted)
        progress.next()
        source.draw_until(wanted, progress.advance)
        progress.end()
        self._reference = reference.sampled(name, source.chunks)

    def _raise_draws(self, progress: Progress) -> None:
        draws = self._setup.draws
        while draws < self._max_draws:
            names = self._worth_more_draws()
            if not names:
                return
            drawn, draws = draws, min(_FACTOR * draws, self._max_draws)
            progress.begin(names, len(names), draws - drawn)
            for name in names:
                progress.next()
                self._draw_more(name, draws, progress)
            progress.end()
            self._draw_reference(draws, progress)

    def _draw_more(self, name: str, draws: int, progress: Progress) -> None:
        try:
            self._measured[name].draw_until(draws, progress.advance)
        except ValueError as error:
            del self._measured[name]
            self._fail(name, error)

    def _worth_more_draws(self) -> list[str]:
        """The undecided ones that draws within the limit may decide."""
        rows, advice = self._advice()
        limit = self._tolerance * (self._norm() or 0.0)
        return [
            row.name
            for row in rows
            if row.name in advice.undecided
            and self._max_draws
            >= min(
                draws_needed(row, limit, bias)
                for bias in (0.0, row.bias or 0.0)
            )
        ]

    def _comparable(self) -> list[str]:
        """Names of what estimates the gradient of E f."""
        return [
            name
            for name, measurement in self._measured.items()
            if not has_another_objective(measurement.estimator)
        ]

    def _norm(self) -> float | None:
        return None if self._reference is None else self._reference.norm()

    def _rounding(self) -> float:
        if self._reference is None:
            return 0.0
        return self._reference.rounding / math.sqrt(self._setup.batch)

    def _advice(self) -> tuple[list[Row], Recommendation]:
        rows = self._rows()
        excluded = [
            name
            for name, measurement in self._measured.items()
            if measurement.estimator.exact
            or has_another_objective(measurement.estimator)
        ]
        advice = recommend(
            rows,
            excluded,
            norm=self._norm(),
            tolerance=self._tolerance,
            rounding=self._rounding(),
        )
        return rows, advice

    def _rows(self) -> list[Row]:
        """All rows, in order; what was not reached is left out."""
        rows = {name: self._row(name) for name in self._measured}
        rows |= self._failed
        names = self._comparable()
        if self._reference is None:
            for name in names:
                acceptable = True if rows[name].unbiased else None
                rows[name] = dataclasses.replace(
                    rows[name], acceptable=acceptable
                )
        elif names:
            rows |= self._with_bias({name: rows[name] for name in names})
        return [rows[name] for name in self._named if name in rows]

    def _with_bias(self, rows: dict[str, Row]) -> dict[str, Row]:
        assert self._reference is not None
        # Error rates add up: over looks, rows and the norm, and two bounds.
        rate = ALPHA / (self.looks * (len(rows) + 1))
        verdicts = [self._verdict(name, rate) for name in rows]
        p_values = holm([verdict.p_value for verdict in verdicts])
        norm, bounds = self._reference.norm(), self._reference.bounds(rate)
        limits = [self._tolerance * bound for bound in bounds]
        return {
            row.name: _judged(
                row, verdict, min(1.0, self.looks * p_value), norm, limits
            )
            for row, verdict, p_value in zip(
                rows.values(), verdicts, p_values, strict=True
            )
        }

    def _score(self, name: str) -> float:
        return self._row(name).variance_evaluations or 0.0

    def _verdict(self, name: str, rate: float) -> Verdict:
        assert self._reference is not None
        chunks = self._measured[name].chunks
        key = (chunks.count, self._reference.source, rate)
        if name not in self._judged or self._judged[name][0] != key:
            self._judged[name] = key, judge(chunks, self._reference, rate)
        return self._judged[name][1]

    def _row(self, name: str) -> Row:
        """What does not need a reference."""
        measurement, batch = self._measured[name], self._setup.batch
        estimator, chunks = measurement.estimator, measurement.chunks
        variance = chunks.variance / batch
        seconds = np.asarray(measurement.seconds)
        low, median, high = 1e3 * np.quantile(seconds, [0.25, 0.5, 0.75])
        other = has_another_objective(estimator)
        return Row(
            name,
            unbiased=estimator.unbiased,
            comparable=not other,
            evaluations=estimator.evaluations,
            draws=chunks.count,
            variance=variance,
            variance_error=chunks.variance_error / batch,
            snr=snr(chunks.mean, chunks.variance, chunks.count),
            milliseconds=float(median),
            milliseconds_spread=float(high - low) / 2.0,
            variance_evaluations=variance * max(1, estimator.evaluations),
            variance_time=float(median) * variance,
            note="its objective is a multi-sample bound, not E f"
            if other
            else "",
        )


def _judged(
    row: Row,
    verdict: Verdict,
    p_value: float,
    norm: float,
    limits: list[float],
) -> Row:
    """The row with its bias; `limits` are bounds of the acceptable one."""
    detected = p_value <= ALPHA
    if row.unbiased:
        acceptable: bool | None = not detected
    elif verdict.upper <= limits[0]:
        acceptable = True
    else:
        acceptable = False if verdict.lower > limits[1] else None
    assert row.variance is not None
    return dataclasses.replace(
        row,
        bias=verdict.bias,
        relative_bias=relative(verdict.bias, norm),
        bias_lower=verdict.lower,
        bias_upper=verdict.upper,
        bias_detectable=verdict.detectable,
        p_value=p_value,
        bias_detected=detected,
        worst_example=verdict.example,
        acceptable=acceptable,
        mse=verdict.bias**2 + row.variance,
    )
