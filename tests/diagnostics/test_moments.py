"""Merged moments against NumPy."""

import math

import numpy as np
import pytest

from tfgumbel.diagnostics import Moments


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 1, 5], [9]])
def test_moments_are_those_of_all_vectors(sizes):
    vectors = np.random.default_rng(0).normal(1e4, 0.1, [sum(sizes), 2, 3])
    moments, start = Moments(), 0
    for size in sizes:
        part = vectors[start : start + size]
        squares = np.sum(np.square(part - part.mean(0)))
        moments.add(part.mean(0), squares, size)
        start += size
    variance = vectors.var(axis=0, ddof=1).sum()
    np.testing.assert_allclose(moments.mean, vectors.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.variance, variance, rtol=1e-6)
    norm = np.linalg.norm(vectors.mean(0))
    assert moments.snr == pytest.approx(norm / np.sqrt(variance), rel=1e-6)


def test_the_squared_norm_is_unbiased():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        moments = Moments()
        for vector in rng.normal([3.0, 1.0], 1.0, [5, 2]):
            moments.add(vector)
        found.append(moments.squared_norm([1.0, 1.0]))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - 4.0) < 5 * error < 0.3


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_noise_is_no_signal(mean):
    vectors = np.random.default_rng(1).normal(mean, 1.0, [24, 6])
    moments = Moments()
    for vector in vectors:
        moments.add(vector)
    variances = vectors.var(axis=0, ddof=1)
    square = np.sum(vectors.mean(axis=0) ** 2 - variances / 24)
    expected = np.sqrt(max(square, 0.0) / variances.sum())
    assert moments.snr == pytest.approx(expected)


def test_without_noise():
    moments = Moments()
    moments.add([2.0], count=3)
    assert moments.snr == math.inf
    one = Moments()
    one.add([2.0])
    assert one.variance == 0.0
    still = Moments()
    still.add([0.0], count=3)
    assert still.snr == 0.0
