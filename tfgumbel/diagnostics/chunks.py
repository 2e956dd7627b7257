"""Means of equal parts of many draws: what there is to know of their error."""

from __future__ import annotations

import math

import numpy as np

MOST = 256
"""Chunks that are kept; from there on neighbours are merged."""
_MOST_NUMBERS = 2**25


class Chunks:
    """Draws of a vector, kept as the means of 128 to 255 equal parts.

    However many draws there are, their parts say how uncertain their mean is
    (`noise`); no assumption on the draws' distribution is made. Fewer than 256
    parts are kept as they come.

    Args:
        centre: A vector near the mean, `[B, C]`, so that variances keep their
            digits.
    """

    def __init__(self, centre: np.ndarray) -> None:
        self.centre = np.asarray(centre, np.float64)
        self.count = 0
        self._means = np.zeros([0, *self.centre.shape])
        self._merged = 1
        self._waiting: list[np.ndarray] = []
        self._squares = 0.0
        self._fourths = 0.0
        fit = _MOST_NUMBERS // max(1, self.centre.size)
        self._most = 2 * max(8, min(MOST, fit) // 2)

    def add(
        self, means: np.ndarray, squares: float, fourths: float, count: int
    ) -> None:
        """Takes draws.

        Args:
            means: Means of equal parts of them, `[N, B, C]`; in every call of
                parts of the same size.
            squares: Σ |draw - centre|².
            fourths: Σ |draw - centre|⁴.
            count: How many draws.
        """
        self.count += count
        self._squares += float(squares)
        self._fourths += float(fourths)
        self._waiting += list(np.asarray(means, np.float64))
        while len(self._waiting) >= self._merged:
            self._take()

    def _take(self) -> None:
        """As many waiting parts as there is room for."""
        room = self._most - len(self._means)
        taken = min(room, len(self._waiting) // self._merged) * self._merged
        parts = np.stack(self._waiting[:taken])
        self._waiting = self._waiting[taken:]
        parts = parts.reshape(-1, self._merged, *parts.shape[1:]).mean(axis=1)
        self._means = np.concatenate([self._means, parts])
        if len(self._means) == self._most:
            self._means = halved(self._means)
            self._merged *= 2

    @property
    def mean(self) -> np.ndarray:
        """Mean of the draws, `[B, C]`; those of an unfinished part left out."""
        return self._means.mean(axis=0)

    def noise(self) -> np.ndarray:
        """Copies of the error of `mean`, `[M, B, C]`.

        Their mean is zero and their covariance that of the error.
        """
        return (self._means - self.mean) / math.sqrt(len(self._means) - 1.0)

    @property
    def variance(self) -> float:
        """Variance of one draw, summed over all coordinates."""
        step = float(np.sum(np.square(self.mean - self.centre)))
        sum_of_squares = self._squares - self.count * step
        # Not `max`, which would hide NaN.
        return float(np.maximum(0.0, sum_of_squares)) / max(1, self.count - 1)

    @property
    def variance_error(self) -> float:
        """Standard error of `variance`."""
        mean = self._squares / self.count
        spread = max(0.0, self._fourths / self.count - mean**2)
        return math.sqrt(spread / self.count)


def halved(means: np.ndarray) -> np.ndarray:
    """Neighbours merged along the first axis; an odd last one is dropped."""
    pairs = len(means) // 2
    return means[: 2 * pairs].reshape(pairs, 2, *means.shape[1:]).mean(axis=1)
