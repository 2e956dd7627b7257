"""KLDivergence: closed forms and estimates against quadrature."""

import numpy as np
import pytest
import scipy.integrate

import tfgumbel as tg
from tests.layers.continuous import CASES, continuous_cases, tiled, variable
from tests.statistics import assert_mean

COUNT = 20_000


def exact_divergence(case, index):
    """By quadrature."""
    q = variable(case, index)
    prior = case.law(*(np.asarray(p) for p in case.prior))

    def integrand(z):
        z = np.array(z)
        log_q = q.logpdf(z)
        if log_q < -500:
            return 0.0
        return np.exp(log_q) * (log_q - prior.logpdf(z))

    low, high = case.support
    cuts = [low, high]
    if np.isinf(high):
        cuts = [low, 0.0, 1.0, high] if np.isinf(low) else [low, 1.0, high]
    elif high == 1.0:
        cuts = [0.0, 0.5, 1.0]
    elif case.name == "mixture":
        cuts = [-40.0, -5.0, -1.0, 0.5, 3.0, 40.0]
    elif case.name == "gamma":
        cuts = [low, 1e-3, 1.0, 3.0, 6.0, high]
    return sum(
        scipy.integrate.quad(integrand, a, b, limit=200, epsabs=1e-7)[0]
        for a, b in zip(cuts, cuts[1:], strict=False)
    )


@continuous_cases()
def test_divergence_is_the_integral(case):
    """In closed form to rounding, else in expectation."""
    exact = [exact_divergence(case, i) for i in range(len(case.inputs[0]))]
    layer = tg.KLDivergence(case.name, case.prior, seed=4, **case.kwargs)
    if case.analytic:
        divergence = layer.divergence(tiled(case, 1))[0]
        np.testing.assert_allclose(divergence, exact, rtol=1e-4, atol=1e-5)
    else:
        estimates = layer.divergence(tiled(case, COUNT))
        assert_mean(estimates, exact, smallest_bias=0.1)


def test_samples_of_the_estimate_are_averaged():
    (case,) = (c for c in CASES if c.name == "student_t")
    spread = [
        np.std(
            tg.KLDivergence(
                case.name, case.prior, samples=samples, seed=4
            ).divergence(tiled(case, 2000)),
            axis=0,
        )
        for samples in (1, 16)
    ]
    np.testing.assert_allclose(spread[0] / spread[1], 4.0, rtol=0.2)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ((1.0,), r"\(concentration, rate\).*Received: prior=\(1.0,\)"),
        (2.0, "Received: prior=2.0"),
        ((1.0, 0.0), "rate .*positive.*Received"),
        ((np.inf, 1.0), "concentration .*positive"),
    ],
)
def test_bad_priors_are_refused(prior, message):
    with pytest.raises(ValueError, match=message):
        tg.KLDivergence("gamma", prior=prior)
