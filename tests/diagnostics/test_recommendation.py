"""What `compare` advises, on rows whose figures are given."""

import pytest

from tfgumbel.diagnostics.recommendation import recommend
from tfgumbel.diagnostics.row import Row


def row(name, variance, milliseconds=1.0, **options):
    given = {
        "acceptable": True,
        "evaluations": 1,
        "variance": variance,
        "variance_error": 0.1,
        "mse": variance,
        "milliseconds": milliseconds,
        "milliseconds_spread": 0.4,
        **options,
    }
    return Row(
        name,
        variance_evaluations=variance * given["evaluations"],
        variance_time=variance * milliseconds,
        **given,
    )


def advice(*rows):
    return recommend(rows, excluded=(), norm=1.0, tolerance=0.1, rounding=1e-6)


@pytest.mark.parametrize(("evaluations", "tied"), [(1, False), (4, True)])
def test_a_tie_is_of_variance_times_evaluations(evaluations, tied):
    """The error of the product is that of the variance, as often."""
    found = advice(
        row("first", 4.0 / evaluations, evaluations=evaluations),
        row("second", 5.0 / evaluations, evaluations=evaluations),
    )
    assert ("tied with second" in found.text) == tied


@pytest.mark.parametrize(
    ("variance", "options", "undecided"),
    [
        (1.0, {}, ("other",)),
        (1.0, {"comparable": False}, ()),  # It has another objective.
        (3.9, {}, ()),  # As good as the best, whatever its bias is.
        (5.0, {}, ()),
    ],
)
def test_what_could_be_better_is_undecided(variance, options, undecided):
    other = row("other", variance, acceptable=None, unbiased=False, **options)
    assert advice(row("best", 4.0), other).undecided == undecided


@pytest.mark.parametrize(
    ("milliseconds", "faster"), [(0.05, True), (0.7, False)]
)
def test_faster_is_what_is_so_beyond_the_spread(milliseconds, faster):
    found = advice(row("best", 4.0), row("quick", 5.0, milliseconds))
    assert ("quick comes first" in found.text) == faster


@pytest.mark.parametrize(
    ("acceptable", "better"), [(False, True), (None, False)]
)
def test_better_in_mean_square_is_said_of_biased_ones(acceptable, better):
    biased = row("biased", 1.0, acceptable=acceptable, unbiased=False)
    found = advice(row("best", 4.0), biased)
    assert ("lower mean square error" in found.text) == better
