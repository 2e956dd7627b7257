"""Mean, variance and signal-to-noise of vectors that come in batches."""

from __future__ import annotations

import math

import numpy as np


class Moments:
    """Running mean and variance of i.i.d. vectors, in float64.

    Batches are merged by the formula of Chan, Golub and LeVeque (1979), so
    that a small variance around a large mean keeps its digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(())
        self.squares = np.zeros(())

    def add(self, mean: np.ndarray, squares: float = 0.0, count: int = 1):
        """Takes a batch.

        Args:
            mean: Mean of the batch, any shape; for a single vector, itself.
            squares: Σ |vector - mean|² over the batch and all coordinates.
            count: Vectors in the batch.
        """
        mean = np.asarray(mean, np.float64)
        total = self.count + count
        step = mean - self.mean
        self.squares = (
            self.squares
            + squares
            + np.sum(np.square(step)) * self.count * count / total
        )
        self.mean = self.mean + step * (count / total)
        self.count = total

    @property
    def variance(self) -> float:
        """Variance summed over the coordinates, with n - 1 in the divisor."""
        return float(self.squares) / max(1, self.count - 1)

    def squared_norm(self, reference: np.ndarray | float = 0.0) -> float:
        """|E g - reference|², without the part that noise adds: unbiased."""
        return _square(self.mean - reference, self.variance, self.count)

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio |E g| / √variance."""
        return snr(self.mean, self.variance, self.count)


def snr(mean: np.ndarray, variance: float, count: int) -> float:
    """|E g| / √variance, of the mean and the variance of `count` draws."""
    square = _square(mean, variance, count)
    if variance == 0.0:
        return math.inf if square else 0.0
    return math.sqrt(square / variance)


def _square(mean: np.ndarray, variance: float, count: int) -> float:
    """|E g|²: the part by which noise lengthens a mean is taken off."""
    square = float(np.sum(np.square(mean)))
    return max(0.0, square - variance / max(1, count))
