"""What `compare` advises, on rows whose figures are given."""

import math

import pytest

from tfgumbel.diagnostics.recommendation import draws_needed, recommend
from tfgumbel.diagnostics.row import Row


def row(name, variance, milliseconds=1.0, evaluations=1, **options):
    given = {
        "acceptable": True,
        "draws": 100,
        "variance_error": 0.01 * variance,
        "mse": variance,
        **options,
    }
    return Row(
        name,
        evaluations=evaluations,
        variance=variance,
        milliseconds=milliseconds,
        milliseconds_spread=0.1 * milliseconds,
        variance_evaluations=variance * evaluations,
        variance_time=variance * milliseconds,
        **given,
    )


def biased(name, variance, acceptable, **options):
    return row(name, variance, unbiased=False, acceptable=acceptable, **options)


SLOW = row("slow", 1.0, 10.0)
FAST = row("fast", 2.0, 1.0)
SEEN = biased("seen", 0.1, False, mse=0.5)


def test_the_least_variance_for_an_evaluation_is_recommended():
    found = recommend([SLOW, FAST, SEEN, Row("failed", failed=True)])
    assert found.name == "slow" and not found.undecided
    assert "next is fast with 2.0 times" in found.text
    assert "By variance * time, on this machine, fast comes" in found.text
    assert "with 0.20 of it" in found.text
    assert "seen is biased but of lower mean square error" in found.text
    many = row("many", 0.6, evaluations=2)
    assert recommend([many, SLOW]).name == "slow"
    assert "next is fast" in recommend([SLOW, row("far", 4.0), FAST]).text
    assert "next is" not in recommend([row("exact", 0.0), SLOW]).text
    assert "No other has an acceptable" in recommend([SLOW, SEEN]).text
    assert recommend([SLOW, FAST], excluded=["slow"]).name == "fast"


def test_what_is_biased_is_recommended_where_it_was_shown_to_be_small():
    small = biased("small", 0.5, True, bias_upper=0.2)
    found = recommend([SLOW, small], norm=4.0)
    assert found.name == "small"
    assert "by 0.050 of the gradient's norm at most" in found.text
    found = recommend([FAST, row("unbiased", 0.5, bias_upper=0.2)], norm=4.0)
    assert "biased by construction" not in found.text
    assert recommend([SLOW, biased("large", 0.5, False)]).name == "slow"


def test_what_is_undecided_is_said():
    maybe = biased(
        "maybe", 0.5, None, bias=0.3, bias_detectable=0.5, bias_upper=0.6
    )
    found = recommend([SLOW, maybe], norm=1.0)
    assert found.name == "slow" and found.undecided == ("maybe",)
    assert "2.0 times less" in found.text
    # 100 draws see 0.5; what there is to see is 0.3 - 0.1.
    assert "about 600 would" in found.text
    alone = recommend([maybe], norm=1.0)
    assert alone.name is None and alone.undecided == ("maybe",)
    unknown = recommend([biased("unknown", 1.0, None)])
    assert "of unknown bias" in unknown.text
    more = biased("more", 0.25, None)
    several = recommend([SLOW, maybe, more], norm=1.0)
    assert "maybe and more, more among them, with 4.0" in several.text


@pytest.mark.parametrize(
    ("bias", "norm", "rounding", "said"),
    [
        (0.4, 2.0, 0.0, "norm; about 600 would."),  # 0.4 - 0.2 to see
        (0.15, 1.0, 0.0, "norm; about 10,000 would."),
        (0.1, 1.0, 0.0, "norm."),  # No draws tell.
        (0.4, 0.1, 0.05, "nor would more of them"),
        (0.4, 2.0, 0.15, "norm; about 600 would."),
    ],
)
def test_how_many_draws_would_decide_is_said(bias, norm, rounding, said):
    row = biased("row", 0.5, None, bias=bias, bias_detectable=0.5)
    found = recommend([row], norm=norm, rounding=rounding)
    _, _, text = found.text.partition("Undecided: row")
    assert said in text and text.count("would") == said.count("would")


def test_draws_are_needed_to_tell_the_bias_from_the_limit():
    undecided = biased("undecided", 1.0, None, bias_detectable=0.4)
    for limit, bias in ((0.1, 0.3), (0.3, 0.1)):
        assert draws_needed(undecided, limit, bias) == pytest.approx(400)
    assert draws_needed(undecided, 0.3, 0.3) == math.inf
    assert draws_needed(Row("unknown"), 0.1, 0.3) == math.inf


def test_ties_go_to_what_is_unbiased():
    first = biased("first", 1.0, True, bias_upper=0.0)
    found = recommend([first, row("second", 1.02)], norm=1.0)
    assert found.name == "second" and "tied with first" in found.text
    third, fourth = row("third", 1.01), row("fourth", 4.0)
    found = recommend([first, row("second", 1.02), fourth, third])
    assert found.name == "third" and "next is fourth with 4.0" in found.text
    none = [row("one", 0.0), row("two", 0.0)]
    assert "0, tied with two" in recommend(none).text


def test_an_unbiased_one_with_a_bias_is_named():
    wrong = row("wrong", 0.1, acceptable=False, bias_detected=True)
    found = recommend([SLOW, wrong])
    assert found.name == "slow"
    assert "wrong is unbiased by construction, yet" in found.text
    also = biased("also", 0.1, False, bias_detected=True)
    assert "unbiased by" not in recommend([SLOW, also]).text
    alone = recommend([wrong, SEEN], norm=1.0).text
    assert "add an unbiased one" not in alone
    assert "the cost of one example depends on the others" in alone


def test_nothing_to_recommend():
    found = recommend([SEEN])
    assert found.name is None and "undecided, or unknown;" in found.text
    assert "undecided; add an unb" in recommend([SEEN], norm=1.0).text
    assert "no estimator could be measured" in recommend([]).text


@pytest.mark.parametrize(("evaluations", "tied"), [(1, False), (3, True)])
def test_a_tie_is_of_variance_times_evaluations(evaluations, tied):
    """The error of the product is that of the variance, as often."""
    options = {"evaluations": evaluations, "variance_error": 0.1}
    found = recommend(
        [
            row("first", 4.0 / evaluations, **options),
            row("second", 5.0 / evaluations, **options),
        ]
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
    other = biased("other", variance, None, **options)
    assert recommend([row("best", 4.0), other]).undecided == undecided


@pytest.mark.parametrize(
    ("milliseconds", "faster"), [(0.05, True), (0.7, False)]
)
def test_faster_is_what_is_so_beyond_the_spread(milliseconds, faster):
    found = recommend([row("best", 4.0), row("quick", 5.0, milliseconds)])
    assert ("quick comes first" in found.text) == faster
    quickest = row("quickest", 5.0, 0.01)
    found = recommend([row("best", 4.0), row("quick", 5.0, 0.05), quickest])
    assert "quickest comes first" in found.text


@pytest.mark.parametrize(
    ("variance", "acceptable", "better"),
    [(1.0, False, True), (1.0, None, False), (5.0, False, False)],
)
def test_better_in_mean_square_is_said_of_biased_ones(
    variance, acceptable, better
):
    other = biased("biased", variance, acceptable)
    found = recommend([row("best", 4.0), other])
    assert ("lower mean square error" in found.text) == better
