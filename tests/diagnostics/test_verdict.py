"""What is said of a mean of several examples, from draws made by hand."""

import numpy as np
import pytest

from tfgumbel.diagnostics.bias_test import BiasTest
from tfgumbel.diagnostics.chunks import Chunks
from tfgumbel.diagnostics.reference import Reference
from tfgumbel.diagnostics.verdict import judge

DRAWS = 160
ALPHA = 1e-3


def chunks(rng, mean, deviation=1.0):
    draws = mean + deviation * rng.normal(size=[DRAWS, *np.shape(mean)])
    found = Chunks(mean)
    square = np.square(draws - mean).sum(axis=(1, 2))
    found.add(draws, square.sum(), np.square(square).sum(), DRAWS)
    return found


def exact(gradient):
    return Reference(gradient, None, 0.0, "by hand")


def test_one_of_many_examples():
    # A bias that 200 examples hide, and that one by itself shows.
    rng = np.random.default_rng(0)
    gradient = np.zeros([200, 1])
    biased = gradient.copy()
    biased[17] = 7.5 / np.sqrt(DRAWS)
    drawn = chunks(rng, biased)
    verdict = judge(drawn, exact(gradient), ALPHA)
    assert verdict.p_value < ALPHA and verdict.example == 17
    noise = drawn.noise().reshape(-1, 200)
    together = BiasTest((drawn.mean - gradient).ravel(), noise).p_value
    assert verdict.p_value < 0.1 * together
    alone = BiasTest(drawn.mean[17], drawn.noise()[:, 17]).p_value
    assert verdict.p_value == pytest.approx(2 * 200 * alone)


def test_all_of_them_a_little():
    # None by itself, all together.
    rng = np.random.default_rng(1)
    gradient = np.zeros([200, 1])
    drawn = chunks(rng, gradient + 1.0 / np.sqrt(DRAWS))
    verdict = judge(drawn, exact(gradient), ALPHA)
    assert verdict.p_value < ALPHA
    assert verdict.bias == pytest.approx(1.0 / np.sqrt(DRAWS), rel=0.2)
    assert verdict.lower < 1.0 / np.sqrt(DRAWS) < verdict.upper


@pytest.mark.full
@pytest.mark.parametrize("examples", [1, 5])
def test_false_alarms_of_several_examples(examples):
    rng = np.random.default_rng(2)
    gradient, trials, rate = np.zeros([examples, 3]), 100, 0.1
    alarms = sum(
        judge(chunks(rng, gradient), exact(gradient), ALPHA).p_value <= rate
        for _ in range(trials)
    )
    assert alarms <= trials * rate + 3.0 * np.sqrt(trials * rate)
    if examples == 1:
        assert alarms >= trials * rate - 3.0 * np.sqrt(trials * rate)


@pytest.mark.full
def test_the_noise_of_a_reference_is_allowed_for():
    # Three times that of the draws: without it every mean is an alarm.
    rng = np.random.default_rng(3)
    gradient, trials, rate = np.zeros([1, 20]), 100, 0.1
    alarms = 0
    for _ in range(trials):
        other = chunks(rng, gradient, 3.0)
        reference = Reference(other.mean, other.noise(), 0.0, "drawn")
        verdict = judge(chunks(rng, gradient), reference, ALPHA)
        alarms += verdict.p_value <= rate
    assert alarms == pytest.approx(
        trials * rate, abs=4.0 * np.sqrt(trials * rate)
    )


def test_the_norm_of_a_reference_has_bounds():
    rng = np.random.default_rng(4)
    gradient = np.full([2, 50], 0.1)
    norm = np.sqrt(0.5)
    held = {0.1: 0, 0.5: 0}
    for _ in range(50):
        drawn = chunks(rng, gradient)
        reference = Reference(drawn.mean, drawn.noise(), 0.0, "drawn")
        for rate in held:
            low, high = reference.bounds(rate)
            held[rate] += low < norm < high
        assert reference.norm() == pytest.approx(norm, rel=0.3)
    assert held[0.1] >= 40 and held[0.5] >= 18
    assert exact(gradient).bounds(0.1) == pytest.approx((norm, norm), rel=1e-12)
