"""`check_distribution` and `check_estimator` find what is wrong."""

import re

import pytest

import tfgumbel as tg
from tests.testing.faulty_distributions import (
    DISTRIBUTIONS,
    ESTIMATORS,
    Rayleigh,
    ScoreFunction,
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
@pytest.mark.parametrize("seed", range(5))
def test_the_right_ones_pass(seed):
    tg.testing.check_distribution(Rayleigh(), seed=seed).raise_if_failed()
    tg.testing.check_estimator(ScoreFunction, seed=seed).raise_if_failed()
