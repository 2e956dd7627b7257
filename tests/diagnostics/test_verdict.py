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


@pytest.mark.parametrize("examples", [1, 2])
def test_error_rates_are_shared_by_bounds_and_by_examples(examples):
    gradient = np.zeros([examples, 3])
    drawn = chunks(np.random.default_rng(5), gradient + 0.2)
    verdict = judge(drawn, exact(gradient), ALPHA)
    noise, root = drawn.noise(), np.sqrt(examples)
    together = BiasTest(drawn.mean.ravel(), noise.reshape(len(noise), -1))
    rate = ALPHA if examples == 1 else ALPHA / 2
    for found, expected in (
        (verdict.lower, together.lower(ALPHA / 2)),
        (verdict.upper, together.upper(ALPHA / 2)),
        (verdict.detectable, together.detectable(rate)),
    ):
        assert found == pytest.approx(expected / root, rel=1e-12)
    expected, example = together.p_value, None
    if examples > 1:
        each = [BiasTest(drawn.mean[i], noise[:, i]).p_value for i in (0, 1)]
        expected, example = 2 * min(expected, 2 * min(each)), np.argmin(each)
    assert verdict.p_value == pytest.approx(expected, rel=1e-12)
    assert verdict.example == example
    assert judge(drawn, exact(drawn.mean), ALPHA).p_value == 1.0


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


@pytest.mark.parametrize("copies", [101, 2 * DRAWS])
def test_a_reference_may_have_another_number_of_copies(copies):
    drawn, other = (
        chunks(np.random.default_rng(i), np.zeros([40, 1])) for i in (6, 7)
    )
    noise = np.tile(other.noise(), [2, 1, 1])[:copies]
    assert len(noise) != len(drawn.noise())
    reference = Reference(other.mean, noise, 0.0, "drawn")
    assert judge(drawn, reference, ALPHA).p_value > ALPHA


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
