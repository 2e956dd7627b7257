"""What a study makes of draws and of a verdict, both made by hand."""

import types

import numpy as np
import pytest

from tfgumbel import estimators
from tfgumbel.diagnostics import Row, study
from tfgumbel.diagnostics.comparison import relative
from tfgumbel.diagnostics.verdict import Verdict


@pytest.mark.parametrize(
    ("unbiased", "lower", "upper", "p_value", "acceptable"),
    [
        (False, 0.0, 0.09, 1.0, True),
        (False, 0.05, 0.09, 1e-9, True),  # detected, and small enough
        (False, 0.0, 0.15, 1.0, None),  # small enough if the norm is large
        (False, 0.15, 0.3, 1e-9, None),
        (False, 0.25, 0.3, 1e-9, False),
        (True, 0.0, 0.3, 0.5, True),
        (True, 0.05, 0.09, 1e-9, False),  # It says that there is none.
    ],
)
def test_a_bias_is_acceptable_at_every_norm(
    unbiased, lower, upper, p_value, acceptable
):
    """A tenth of a norm that lies between 1 and 2."""
    bias = (lower + upper) / 2.0
    row = Row("name", unbiased=unbiased, variance=1.0)
    verdict = Verdict(bias, lower, upper, 0.1, p_value, None)
    found = study._judged(row, verdict, p_value, 1.5, [0.1, 0.2])
    assert found.acceptable is acceptable
    assert found.relative_bias == pytest.approx(bias / 1.5)


@pytest.mark.parametrize(
    ("length", "norm", "share"),
    [(0.0, 0.0, 0.0), (1.0, 0.0, np.inf), (1.0, 4.0, 0.25)],
)
def test_no_bias_is_no_share_of_any_norm(length, norm, share):
    assert relative(length, norm) == share


def test_the_figures_of_a_row():
    """Means over four examples, and milliseconds with half their quartiles."""
    setup = types.SimpleNamespace(batch=4)
    measurement = types.SimpleNamespace(
        estimator=estimators.RLOO("bernoulli", samples=3),
        chunks=types.SimpleNamespace(
            variance=8.0, variance_error=0.4, count=2, mean=np.full([4, 1], 2.0)
        ),
        seconds=[0.005, 0.001, 0.003, 0.002, 0.004],
    )
    found = study.Study({}, setup, None, None, 1, 0.1)
    found._measured["rloo"] = measurement
    row = found._row("rloo")
    assert (row.draws, row.evaluations, row.unbiased) == (2, 3, True)
    assert row.variance == 2.0 and row.variance_evaluations == 6.0
    assert row.variance_error == pytest.approx(0.1)
    assert row.snr == pytest.approx(np.sqrt((16.0 - 8.0 / 2) / 8.0))
    assert row.milliseconds == pytest.approx(3.0)
    assert row.milliseconds_spread == pytest.approx(1.0)
    assert row.variance_time == pytest.approx(6.0)


def test_a_verdict_is_at_the_rate_that_is_asked_for(monkeypatch):
    """And kept for as long as the draws and the reference are the same."""
    asked = []
    monkeypatch.setattr(study, "judge", lambda *given: asked.append(given))
    chunks = types.SimpleNamespace(count=2)
    exact = types.SimpleNamespace(source="by enumeration")
    found = study.Study({}, None, exact, None, 1, 0.1)
    found._measured["rloo"] = types.SimpleNamespace(chunks=chunks)
    for rate in (0.01, 0.01, 0.02):
        found._verdict("rloo", rate)
    chunks.count = 3
    found._verdict("rloo", 0.02)
    rates = [0.01, 0.02, 0.02]
    assert asked == [(chunks, exact, rate) for rate in rates]
