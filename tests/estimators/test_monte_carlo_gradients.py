"""Variances of single-sample gradients under N(1, 1), against quadrature.

The experiment is that of section 3 of Mohamed, Rosca, Figurnov and Mnih (JMLR
2020): three costs, three estimators, in μ and in σ.
"""

import math

import pytest

from benchmarks import monte_carlo_gradients as survey

# Score function, the same with b*, pathwise, measure-valued: in μ, then in σ.
# Rounded figures of an integration made apart from this one.
REFERENCE = {
    ("(x - k)²", -3.0): (
        ("495", "134", "4", "17.49"),
        ("1546", "664", "72", "68"),
    ),
    ("(x - k)²", 0.0): (
        ("30", "14", "4", "1.093"),
        ("136", "64", "12", "8"),
    ),
    ("(x - k)²", 3.0): (
        ("87", "38", "4", "4.372"),
        ("346", "184", "24", "20"),
    ),
    ("exp(-k x²)", 0.1): (
        (".5635", ".0405", ".0163", ".00251"),
        (".9354", ".141", ".0278", ".0220"),
    ),
    ("exp(-k x²)", 1.0): (
        (".1758", ".0722", ".2117", ".0126"),
        (".1767", ".1128", ".1757", ".0707"),
    ),
    ("exp(-k x²)", 10.0): (
        (".0769", ".0602", ".9416", ".0207"),
        (".00903", ".00874", ".892", ".1167"),
    ),
    ("cos(k x)", 0.5): (
        (".4552", ".1179", ".0393", ".00828"),
        (".7987", ".4601", ".0875", ".0653"),
    ),
    ("cos(k x)", 1.0): (
        (".324", ".324", ".2677", ".028"),
        (".8363", ".7826", ".3081", ".2026"),
    ),
    ("cos(k x)", 5.0): (
        (".5", ".5", "12.5", ".2957"),
        ("1", "1", "12.5", "1"),
    ),
}


@pytest.mark.parametrize(("label", "k"), REFERENCE)
def test_quadrature_gives_the_reference_figures(label, k):
    cost = survey.COSTS[label]
    assert k in cost.ks
    for parameter, figures in zip(
        survey.PARAMETERS, REFERENCE[label, k], strict=True
    ):
        found = survey.exact(cost, k, parameter)
        for (name, value), figure in zip(found.items(), figures, strict=True):
            # Half a unit of the last digit printed.
            unit = 10.0 ** -len(figure.partition(".")[2])
            message = f"{parameter}, {name}: {value} for {figure}"
            assert abs(value - float(figure)) <= 0.5001 * unit, message


def test_quadrature_agrees_with_closed_forms():
    # E cos ax = cos(a) exp(-a²/2), and sin² is (1 - cos of twice) / 2.
    k = 5.0
    mean_of_sin_squared = 0.5 - 0.5 * math.cos(2 * k) * math.exp(-2 * k**2)
    slope = -k * math.sin(k) * math.exp(-0.5 * k**2)
    found = survey.exact(survey.COSTS["cos(k x)"], k, "μ")["pathwise"]
    assert found == pytest.approx(k**2 * mean_of_sin_squared - slope**2)
    # exp(-a x²) N(x; 1, 1) is √v exp(-a v) N(x; v, v), v = 1 / (1 + 2a).
    moments = []
    for a, power in ((10.0, 1), (20.0, 2)):
        v = 1.0 / (1.0 + 2.0 * a)
        mass, d = math.sqrt(v) * math.exp(-a * v), v - 1.0
        second, fourth = d**2 + v, d**4 + 6.0 * d**2 * v + 3.0 * v**2
        s = second - 1.0 if power == 1 else fourth - 2.0 * second + 1.0
        moments.append(mass * s)
    found = survey.exact(survey.COSTS["exp(-k x²)"], 10.0, "σ")
    expected = moments[1] - moments[0] ** 2
    assert found["score function"] == pytest.approx(expected)
    # (f - b) s with f = x² and s = ε: b* = E[x² ε²] = 4.
    square = survey.COSTS["(x - k)²"]
    assert survey.optimal_baseline(square, 0.0, "μ") == pytest.approx(4.0)
    # E[x² s²] / E[s²] with s = ε² - 1: (2 + E[ε² s²]) / 2 = (2 + 10) / 2.
    assert survey.optimal_baseline(square, 0.0, "σ") == pytest.approx(6.0)


@pytest.mark.full
def test_measured_variances():
    # 72 cells; 5 standard errors are less than 10 % of the variance in most.
    # The others (the score function of a square) have heavy tails.
    rows = survey.measure(200_000)
    assert len(rows) == 8 * len(REFERENCE)
    resolved = [5 * row["standard_error"] / row["exact"] for row in rows]
    assert sum(share < 0.1 for share in resolved) >= 64
    assert max(resolved) < 0.3
    for row in rows:
        assert abs(row["deviation"]) < 5, row
