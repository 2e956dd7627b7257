"""Tails of F against SciPy."""

import numpy as np
import pytest
import scipy.stats

from tfgumbel.diagnostics import f_distribution


@pytest.mark.parametrize("d", [1.0, 3.7, 200.0, 4e3])
@pytest.mark.parametrize("nu", [3.0, 127.0, 2.5e4])
def test_both_tails_and_the_quantile(d, nu):
    alphas = np.array([0.999, 0.5, 0.1, 1e-4, 1e-8])
    f = scipy.stats.f.isf(alphas, d, nu)
    np.testing.assert_allclose(
        f_distribution.survival(f, d, nu), alphas, rtol=1e-6
    )
    np.testing.assert_allclose(
        f_distribution.distribution(f, d, nu), 1.0 - alphas, rtol=1e-6
    )
    for alpha, value in zip(alphas, f, strict=True):
        found = f_distribution.quantile(alpha, d, nu)
        assert found == pytest.approx(value, rel=1e-5)


def test_what_is_negative_is_never_exceeded_from_below():
    assert f_distribution.survival(-1.0, 2.0, 9.0) == 1.0
    assert f_distribution.distribution(-1.0, 2.0, 9.0) == 0.0
