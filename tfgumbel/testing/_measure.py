"""How far two samples, or a sample and its expectation, lie apart.

All distances are in standard errors, so that one bound does for all: a right
sampler passes the bound 5 but for one seed in two millions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STANDARD_ERRORS = 5.0
ENTRIES = 100
"""So many entries share a bound; the largest of more is larger by chance."""

FEW = 50
"""Of draws that differ: fewer do not show a mean, nor its standard error."""

KOLMOGOROV = 2.8
"""Of √n times the distance of two distribution functions: p = 3e-7."""


def rows(values: Any) -> np.ndarray:
    """The values of each example in a row, float64 `[n, V]`."""
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def from_mean(sample: Any, expected: Any) -> float:
    """Largest distance of a mean over axis 0, in standard errors."""
    sample, expected = (np.asarray(a, np.float64) for a in (sample, expected))
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    return _in_errors(sample.mean(axis=0) - expected, error, expected)


def between_means(first: Any, second: Any, rounding: float = 1e-6) -> float:
    """Largest distance of two means over axis 0, in standard errors.

    Relative differences up to `rounding` are forgiven.
    """
    one, other = (np.asarray(s, np.float64) for s in (first, second))
    error = np.sqrt(
        one.var(axis=0, ddof=1) / len(one)
        + other.var(axis=0, ddof=1) / len(other)
    )
    distance = one.mean(axis=0) - other.mean(axis=0)
    return _in_errors(distance, error, one, rounding)


def _in_errors(
    distance: Any, error: Any, scale: Any, rounding: float = 1e-6
) -> float:
    forgiven = rounding * np.max(np.abs(scale), initial=1e-3)
    distance = np.maximum(0.0, np.abs(distance) - forgiven)
    # Rounding in float32 is all that is left of a variance of zero.
    figure = np.max(distance / (error + 0.2 * forgiven), initial=0.0)
    if not np.isfinite(figure):
        return float("inf")
    # n P(|x| > t) is about exp(-(t² - 2 log n) / 2).
    by_chance = 2.0 * np.log(max(1.0, np.size(distance) / ENTRIES))
    return float(np.sqrt(max(0.0, figure**2 - by_chance)))


def from_shares(counts: Any, shares: Any) -> float:
    """Largest distance of counts from their shares, in standard errors.

    Of those that are expected often enough to have a standard error.
    """
    counts, shares = (np.asarray(a, np.float64) for a in (counts, shares))
    total = counts.sum()
    often = total * np.minimum(shares, 1.0 - shares) > FEW
    error = np.sqrt(total * shares * (1.0 - shares))[often]
    distance = np.abs(counts - total * shares)[often]
    return float(np.max(distance / error, initial=0.0))


def between_distributions(first: Any, second: Any) -> float:
    """Kolmogorov and Smirnov's distance of two samples `[n, ...]`, times √n.

    The largest of any entry.
    """
    columns = (rows(sample).T for sample in (first, second))
    return max(map(_between_scalars, *columns))


def _between_scalars(first: np.ndarray, second: np.ndarray) -> float:
    one, other = np.sort(first), np.sort(second)
    if not (np.all(np.isfinite(one)) and np.all(np.isfinite(other))):
        return float("inf")
    both = np.concatenate([one, other])
    below = [np.searchsorted(s, both, "right") / len(s) for s in (one, other)]
    size = len(one) * len(other) / (len(one) + len(other))
    return float(np.sqrt(size) * np.max(np.abs(below[0] - below[1])))


def relative(found: Any, exact: Any, least: float = 1e-6) -> float:
    """Largest difference of two arrays, relative to the largest entry."""
    largest = np.max(np.abs(exact)) + least
    return float(np.max(np.abs(found - exact)) / largest)


def dependence(first: Any, second: Any) -> float:
    """|correlation| of two samples times √n: of order 1 if independent."""
    one, other = (np.asarray(s, np.float64) for s in (first, second))
    if np.array_equal(one, other):
        return float(np.sqrt(len(one)))
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(abs(np.corrcoef(one, other)[0, 1]) * np.sqrt(len(one)))
