"""Error rates of the test and of the bounds, by simulation.

A mean of normal chunks is drawn here as the chunks themselves, so that a
simulated comparison is one matrix. The rule that stood here before, five
times the noise, fails these tests: in one dimension it is five standard
errors, in 60 it is thirty, and finds next to nothing.
"""

import numpy as np
import pytest
import scipy.stats

from benchmarks import bias_tests
from benchmarks.bias_tests import DIMENSIONS, variances
from tfgumbel.diagnostics.bias_test import BiasTest
from tfgumbel.diagnostics.verdict import holm

COPIES = 128
KINDS = ("equal", "falling", "one large")
EVERY = [
    (kind, dimension)
    for dimension in DIMENSIONS
    for kind in (KINDS if dimension > 1 else KINDS[:1])
]
CASES = [
    *(("equal", dimension) for dimension in DIMENSIONS),
    *(("falling", 3), ("falling", 60), ("one large", 20), ("one large", 200)),
]


def bias_test(chunks, reference=0.0):
    mean = chunks.mean(axis=0)
    noise = (chunks - mean) / np.sqrt(len(chunks) - 1.0)
    return BiasTest(mean - reference, noise)


def drawn(rng, variance, bias=0.0, copies=COPIES):
    return rng.normal(size=[copies, len(variance)]) * np.sqrt(variance) + bias


def five_times_the_noise(test):
    """The rule of the past."""
    return test.square > 25.0 * test.trace


def false_alarms(kind, dimension, trials, copies, rates):
    rng = np.random.default_rng(dimension)
    variance = variances(kind, dimension)
    p = [
        bias_test(drawn(rng, variance, copies=copies)).p_value
        for _ in range(trials)
    ]
    for rate in rates:
        count = np.sum(np.array(p) <= rate)
        error = np.sqrt(trials * rate * (1.0 - rate))
        assert abs(count - trials * rate) <= 4.0 * error, (rate, count)


@pytest.mark.full
@pytest.mark.parametrize(("kind", "dimension"), CASES)
def test_false_alarms_come_at_the_stated_rate(kind, dimension):
    false_alarms(kind, dimension, 500, COPIES, [0.1, 0.01])


FEWER = pytest.mark.xfail(reason="672 alarms of 8000 at 0.1: fewer than stated")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "dimension"),
    [
        pytest.param(*case, marks=[FEWER] if case == ("one large", 200) else [])
        for case in EVERY
    ],
)
def test_false_alarms_at_small_rates(kind, dimension):
    false_alarms(kind, dimension, 8000, 160, [0.1, 0.01, 0.001])


def direction(rng, where, dimension):
    """The direction of most noise, or any."""
    if where == "most noise":
        return np.eye(dimension)[0]
    vector = rng.normal(size=dimension)
    return vector / np.linalg.norm(vector)


def planted(kind, dimension, where, trials, alpha):
    """Tests of a bias of the size that they call detectable."""
    rng = np.random.default_rng(100 + dimension)
    variance = variances(kind, dimension)
    sizes = [
        bias_test(drawn(rng, variance)).detectable(alpha) for _ in range(20)
    ]
    bias = np.median(sizes) * direction(rng, where, dimension)
    return [bias_test(drawn(rng, variance, bias)) for _ in range(trials)]


def found_at_least_as_often_as_stated(kind, dimension, where, trials):
    alpha = 1e-3
    tests = planted(kind, dimension, where, trials, alpha)
    found = np.mean([test.p_value <= alpha for test in tests])
    assert found >= 0.9 - 3.0 * np.sqrt(0.09 / trials)
    if kind == "equal":  # Where nothing is given away to the worst direction.
        assert found <= 0.9 + 4.0 * np.sqrt(0.09 / trials)
    if dimension >= 20:
        old = np.mean([five_times_the_noise(test) for test in tests])
        assert old < 0.05


@pytest.mark.parametrize("where", ["most noise", "anywhere"])
@pytest.mark.parametrize(("kind", "dimension"), CASES)
def test_a_detectable_bias_is_found(kind, dimension, where):
    found_at_least_as_often_as_stated(kind, dimension, where, 120)


@pytest.mark.exhaustive
@pytest.mark.parametrize("where", ["most noise", "anywhere"])
@pytest.mark.parametrize(("kind", "dimension"), EVERY)
def test_a_detectable_bias_is_found_everywhere(kind, dimension, where):
    found_at_least_as_often_as_stated(kind, dimension, where, 1000)


@pytest.mark.parametrize("where", ["most noise", "anywhere"])
@pytest.mark.parametrize(
    ("kind", "dimension"),
    [("equal", 1), ("falling", 3), ("equal", 20), ("one large", 60)],
)
@pytest.mark.parametrize("size", [1.5, 4.0])
def test_bounds_hold_at_the_stated_rate(kind, dimension, where, size):
    # size is in units of the noise, √(tr Σ).
    rng = np.random.default_rng(200 + dimension)
    variance = variances(kind, dimension)
    length = size * np.sqrt(variance.sum() / COPIES)
    bias = length * direction(rng, where, dimension)
    trials, alpha = 60, 0.05
    tests = [bias_test(drawn(rng, variance, bias)) for _ in range(trials)]
    above = sum(test.upper(alpha) < length for test in tests)
    below = sum(test.lower(alpha) > length for test in tests)
    most = alpha * trials + 3.0 * np.sqrt(alpha * trials)
    assert above <= most and below <= most
    for test in tests[:5]:
        assert test.lower(alpha) <= np.sqrt(test.square) <= test.upper(alpha)


def test_in_one_dimension_it_is_students_t():
    rng = np.random.default_rng(3)
    for bias in (0.0, 0.2, 0.5):
        chunks = drawn(rng, np.ones(1), bias, copies=200)
        test = bias_test(chunks)
        p = scipy.stats.ttest_1samp(chunks[:, 0], 0.0).pvalue
        assert test.p_value == pytest.approx(p, rel=0.2)
        error = np.sqrt(chunks.var(ddof=1) / len(chunks))
        bound = abs(chunks.mean()) + scipy.stats.t.isf(0.01, 199) * error
        if bias == 0.5:  # Where luck plays no part in the bound.
            assert test.upper(0.01) == pytest.approx(bound, rel=0.03)


def rare(rng):
    """Nothing, except for a category of probability 0.03; less the mean."""
    return (rng.random([bias_tests.DRAWS, 1]) < 0.03) - 0.03


skew = pytest.mark.parametrize("draw", [rare, bias_tests.skew])


@pytest.mark.full
@skew
def test_skew_estimates_raise_no_more_alarms(draw):
    rng = np.random.default_rng(4)
    trials, alpha = 1000, 0.003
    tests = [bias_tests.bias_test(draw(rng)) for _ in range(trials)]
    alarms = sum(test.p_value <= alpha for test in tests)
    assert alarms <= trials * alpha + 3.0 * np.sqrt(trials * alpha)


@skew
def test_a_bias_of_skew_estimates_is_found(draw):
    rng = np.random.default_rng(8)
    for size in (1.0, 10.0):
        bias = size * bias_tests.bias_test(draw(rng)).detectable(1e-4)
        for sign in (-1.0, 1.0):
            draws = draw(rng)
            draws[:, 0] -= sign * bias
            test = bias_tests.bias_test(draws)
            assert test.p_value < 0.01
            assert 0.0 < test.lower(1e-3) < bias < test.upper(1e-3)


@pytest.mark.full
def test_heavy_tails_raise_no_more_alarms():
    rng = np.random.default_rng(5)
    trials, alpha = 500, 0.01
    alarms = 0
    for _ in range(trials):
        scale = np.exp(rng.normal(size=[COPIES, 8, 1]))
        draws = scale * rng.normal(size=[COPIES, 8, 30])
        alarms += bias_test(draws.mean(axis=1)).p_value <= alpha
    assert alarms <= trials * alpha + 3.0 * np.sqrt(trials * alpha)


def test_a_lucky_mean_excludes_no_bias():
    # As close to the gradient as one mean in ten thousand.
    chunks = drawn(np.random.default_rng(6), np.ones(1))
    chunks -= chunks.mean() - 1e-5
    error = 1.0 / np.sqrt(COPIES)
    assert bias_test(chunks).upper(0.01) > 2.0 * error


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_mean_that_rounding_explains_has_a_bound_all_the_same(dimension):
    chunks = drawn(np.random.default_rng(9), np.ones(dimension))
    noise = (chunks - chunks.mean(axis=0)) / np.sqrt(COPIES - 1.0)
    difference = np.full(dimension, 1e-9)
    test = BiasTest(difference, noise, rounding=1e-3)
    assert test.square == 0.0 and test.p_value == 1.0
    assert test.upper(0.01) > 2.0 / np.sqrt(COPIES)


def test_without_noise_only_rounding_is_left():
    test = BiasTest(np.array([3.0, 4.0]), np.zeros([9, 2]), rounding=0.5)
    assert test.p_value == 0.0
    assert test.lower(0.01) == 4.5 and test.upper(0.01) == 5.0
    assert test.detectable(0.01) == 0.5
    same = BiasTest(np.array([0.3, 0.4]), np.zeros([9, 2]), rounding=0.5)
    assert same.p_value == 1.0
    assert same.lower(0.01) == 0.0 and same.upper(0.01) == 0.5


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_a_few_draws_are_taken_for_one_dimension(copies):
    rng = np.random.default_rng(7)
    p = [
        bias_test(drawn(rng, np.ones(5), copies=copies)).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05
    test = bias_test(drawn(rng, np.ones(5), 1.0, copies=copies))
    assert np.isfinite([test.upper(0.01), test.detectable(0.01)]).all()


def test_holm_is_as_strict_as_bonferroni_for_the_least():
    assert holm([0.02, 0.001, 0.9]) == pytest.approx([0.04, 0.003, 0.9])
    assert holm([0.4, 0.5, 0.6]) == [1.0, 1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("scale", [2.0**-300, 2.0**300])
def test_units_do_not_matter(scale):
    random = np.random.default_rng(3)
    noise = 0.1 * random.normal(size=[200, 5])
    difference = 0.3 * random.normal(size=5)
    plain = BiasTest(difference, noise, 0.01)
    scaled = BiasTest(scale * difference, scale * noise, scale * 0.01)
    assert scaled.p_value == plain.p_value > 0.0
    assert scaled.length == scale * plain.length
    for name in ("upper", "lower", "detectable"):
        figures = [getattr(test, name)(0.01) for test in (plain, scaled)]
        assert figures[1] == scale * figures[0], name
