"""Measurements of one estimator."""

from __future__ import annotations

import dataclasses

ALPHA = 0.01
"""Rate of any false statement on a bias in a table, by all looks together."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Measurements of one estimator.

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
