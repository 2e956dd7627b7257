"""Tails of F against SciPy."""

import numpy as np
import pytest
import scipy.stats

from tfgumbel.diagnostics import f_distribution


@pytest.mark.parametrize("d", [1.0, 3.7, 200.0, 4e3])
@pytest.mark.parametrize("nu", [3.0, 127.0, 2.5e4])
def test_both_tails_and_the_quantile(d, nu):
    alphas = np.array([0.999, 0.5, 0.1, 1e-4, 1e-8, 1e-28])
    # Not SciPy's own quantile: that of 1.11 is infinite at 1e-8.
    f = np.array([f_distribution.quantile(a, d, nu) for a in alphas])
    tails = scipy.stats.f.sf(f, d, nu)
    np.testing.assert_allclose(tails, alphas, rtol=1e-5)
    np.testing.assert_allclose(
        f_distribution.survival(f, d, nu), tails, rtol=1e-6
    )
    np.testing.assert_allclose(
        f_distribution.distribution(f, d, nu), 1.0 - tails, rtol=1e-6
    )


def test_what_is_negative_is_never_exceeded_from_below():
    assert f_distribution.survival(-1.0, 2.0, 9.0) == 1.0
    assert f_distribution.distribution(-1.0, 2.0, 9.0) == 0.0
