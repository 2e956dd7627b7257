"""`check_distribution` and `check_estimator` find what is wrong."""

import re

import keras
import pytest

import tfgumbel as tg
from tests.testing.faulty_distributions import (
    DISTRIBUTIONS,
    ESTIMATORS,
    Cauchy,
    HalfSpin,
    Hurdle,
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
    for distribution in (Rayleigh, Spin, HalfSpin, Hurdle, Cauchy):
        report = tg.testing.check_distribution(distribution(), seed=seed)
        report.raise_if_failed()
    for estimator in (ScoreFunction, OfOneSample):
        tg.testing.check_estimator(estimator, seed=seed).raise_if_failed()


@pytest.mark.full
def test_new_estimators_do_not_share_a_layer():
    """One of a name is made again and again, each time with its own."""
    dense = keras.layers.Dense(1)
    tg.testing.check_estimator(
        "reinforce", "bernoulli", only=["seeds"], baseline=dense
    ).raise_if_failed()
    assert not dense.built


def test_nothing_to_learn_is_no_fault():
    distribution = tg.distributions.Exponential(fixed="log_rate")
    checks = ["score", "closed score", "reparameterised sample"]
    report = tg.testing.check_distribution(distribution, only=checks)
    assert {outcome.status for outcome in report} == {"not applicable"}


def test_what_counts_is_at_most_as_many_as_there_are():
    distribution = tg.distributions.Subset()  # k is a parameter
    report = tg.testing.check_distribution(distribution, only=["mean"])
    assert report.raise_if_failed()["mean"].status == "pass"


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("bernoulli", [-14.0, 0.3]),
        ("categorical", [[0.0, 0.0, -10.0], [0.0, 1.0, -13.0]]),
    ],
)
def test_what_is_hardly_ever_drawn_is_no_fault(name, inputs):
    report = tg.testing.check_distribution(name, inputs)
    report.raise_if_failed()
    assert "too few for a mean" in report["score"].detail


def test_inputs_of_another_number_are_refused():
    with pytest.raises(ValueError, match="each of mean, scale. Received: 1"):
        tg.testing.check_estimator("rloo", "gaussian", 0.3)
