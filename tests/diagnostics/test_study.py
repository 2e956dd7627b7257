"""What a study makes of draws and of a verdict, both made by hand."""

import numpy as np
import pytest

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
