"""`check_distribution` and `check_estimator` find what is wrong."""

import re

import pytest

import tfgumbel as tg
from tests.testing.faulty_distributions import (
    DISTRIBUTIONS,
    ESTIMATORS,
    HalfSpin,
    OfOneSample,
    Rayleigh,
    ScoreFunction,
    Spin,
)


def require_found(report, fault):
    outcome = report[fault.check]
    assert outcome.status == "fail", outcome
    assert re.search(fault.says, outcome.detail), outcome
    assert outcome.times >= fault.times, outcome
    assert outcome.advice and "#" in outcome.link


@pytest.mark.parametrize("fault", DISTRIBUTIONS, ids=lambda fault: fault.id)
def test_a_fault_of_a_distribution_is_found(fault):
    report = tg.testing.check_distribution(
        fault.make, only=[fault.check], **fault.kwargs
    )
    require_found(report, fault)


@pytest.mark.parametrize("fault", ESTIMATORS, ids=lambda fault: fault.id)
def test_a_fault_of_an_estimator_is_found(fault):
    report = tg.testing.check_estimator(fault.make, only=[fault.check])
    require_found(report, fault)


@pytest.mark.full
@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in range(1, 5))],
)
def test_the_right_ones_pass(seed):
    for distribution in (Rayleigh, Spin, HalfSpin):
        report = tg.testing.check_distribution(distribution(), seed=seed)
        report.raise_if_failed()
    for estimator in (ScoreFunction, OfOneSample):
        tg.testing.check_estimator(estimator, seed=seed).raise_if_failed()


def test_what_counts_is_at_most_as_many_as_there_are():
    distribution = tg.distributions.Subset()  # k is a parameter
    report = tg.testing.check_distribution(distribution, only=["mean"])
    assert report.raise_if_failed()["mean"].status == "pass"
