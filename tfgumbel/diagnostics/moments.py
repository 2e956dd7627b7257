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
        """|E g - reference|², without the part that noise adds: unbiased.

        A finite number of draws lengthens the mean by variance / n on
        average; that is taken off, and what is negative is zero.
        """
        square = float(np.sum(np.square(self.mean - reference)))
        return max(0.0, square - self.variance / max(1, self.count))

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio |E g| / √variance."""
        signal = math.sqrt(self.squared_norm())
        noise = math.sqrt(self.variance)
        if noise == 0.0:
            return math.inf if signal > 0.0 else 0.0
        return signal / noise
