"""Means and variances of chunks against NumPy, and copies of the error."""

import numpy as np
import pytest

from tfgumbel.diagnostics.chunks import MOST, Chunks, halved


def filled(draws, size, calls, centre):
    """Chunks that took `[n, B, C]` draws in calls."""
    chunks = Chunks(centre)
    for part in np.split(draws, calls):
        square = np.square(part - centre).sum(axis=(1, 2))
        means = part.reshape(-1, size, *part.shape[1:]).mean(axis=1)
        chunks.add(means, square.sum(), np.square(square).sum(), len(part))
    return chunks


@pytest.mark.parametrize(
    ("count", "size", "calls"), [(12, 1, 3), (1200, 4, 6), (40_000, 2, 8)]
)
def test_mean_variance_and_its_error(count, size, calls):
    rng = np.random.default_rng(0)
    draws = rng.gamma(2.0, 0.1, [count, 2, 3]) + 1e3
    chunks = filled(draws, size, calls, draws[0])
    assert chunks.count == count
    np.testing.assert_allclose(chunks.mean, draws.mean(axis=0), rtol=1e-6)
    variance = draws.var(axis=0, ddof=1).sum()
    assert chunks.variance == pytest.approx(variance, rel=1e-3)
    square = np.square(draws - draws[0]).sum(axis=(1, 2))
    error = square.std() / np.sqrt(count)
    assert chunks.variance_error == pytest.approx(error)
    noise = chunks.noise()
    assert len(noise) < MOST
    if count < MOST:  # Of so few as they came, the error is known.
        np.testing.assert_allclose(
            np.mean(np.square(noise), axis=0), draws.var(0, ddof=1) / count
        )
    if count > MOST * size:
        assert len(chunks.noise()) >= MOST // 2


@pytest.mark.full
def test_copies_have_the_covariance_of_the_error():
    # Of 2,000 means of 512 draws each: their own covariance, and the copies'.
    rng = np.random.default_rng(1)
    mix = np.array([[1.0, 0.5], [0.0, 0.3]])
    means, copies = [], 0.0
    for _ in range(2000):
        draws = (rng.normal(size=[512, 2]) @ mix)[:, None]
        chunks = filled(draws, 2, 2, np.zeros([1, 2]))
        means.append(chunks.mean[0])
        noise = chunks.noise()[:, 0]
        np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=1e-12)
        copies += noise.T @ noise / len(noise) / 2000
    np.testing.assert_allclose(copies, mix.T @ mix / 512, rtol=0.02)
    np.testing.assert_allclose(np.cov(np.transpose(means)), copies, rtol=0.1)


def test_a_draw_that_is_not_finite_is_seen():
    chunks = Chunks(np.zeros([1, 1]))
    chunks.add(np.full([2, 1, 1], np.nan), np.nan, np.nan, 2)
    assert np.isnan(chunks.variance)


def test_an_odd_last_mean_is_dropped():
    np.testing.assert_array_equal(halved(np.arange(5.0)), [0.5, 2.5])
