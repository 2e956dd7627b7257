"""Checks that anyone can run on a layer, distribution or estimator.

Each returns a `Report`: one line for each check, with what was measured, the
bound, and what to do where it fails. The tests of this package call the same
functions. None of them needs a test framework, nor SciPy.

>>> import tfgumbel as tg
>>> report = tg.testing.check_layer(tg.BinaryConcrete(), only=["calls"])
>>> report.raise_if_failed().passed
True
"""

from tfgumbel.testing.check_distribution import check_distribution
from tfgumbel.testing.check_estimator import check_estimator
from tfgumbel.testing.check_layer import check_layer
from tfgumbel.testing.report import Outcome, Report

__all__ = [
    "Outcome",
    "Report",
    "check_distribution",
    "check_estimator",
    "check_layer",
]
