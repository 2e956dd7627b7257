"""Numbers in plain text."""

import pytest

from tfgumbel.diagnostics.table import number


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 3, "-"),
        (0.0, 3, "0"),
        (float("inf"), 3, "inf"),
        (float("nan"), 3, "nan"),
        (0.01, 3, "0.0100"),
        (0.00999, 3, "9.99e-3"),
        (-0.5, 2, "-0.50"),
        (123.0, 3, "123"),
        (123.0, 2, "1.2e+2"),
        (999.6, 3, "1.00e+3"),
        (1000.0, 3, "1.00e+3"),
        (-12345.0, 3, "-1.23e+4"),
        (1e-12, 2, "1.0e-12"),
    ],
)
def test_digits_are_as_many_as_asked_for(value, digits, text):
    assert number(value, digits) == text
