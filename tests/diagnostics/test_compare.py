"""compare: its numbers against enumeration, its table, its verdict."""

import json
import random
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.statistics import bit_strings, one_hots, sigmoid, softmax
from tfgumbel.diagnostics import Comparison, Row, compare
from tfgumbel.diagnostics.recommendation import recommend
from tfgumbel.diagnostics.selection import select

TARGETS = np.array([0.3, -0.4], "float32")
LOGITS = {
    "bernoulli": np.array([[0.5, -1.0], [0.0, 1.2]], "float32"),
    "categorical": np.array([[[0.5, -1.0, 0.2]], [[0.0, 1.2, 0.4]]], "float32"),
}


def cost_fn(z):
    """One target for each of the two examples."""
    flat = tf.reshape(z, [tf.shape(z)[0], -1])
    weighted = tf.reduce_sum(flat * np.arange(1.0, flat.shape[1] + 1), axis=1)
    return tf.square(weighted - tg.estimators.tile_context(TARGETS, z))


def toy_cost(target):
    return lambda z: tf.square(z[:, 0] - target)


def toy(estimators, target=0.45, **options):
    options = {"train_steps": 0, "progress": False, **options}
    return compare(
        toy_cost(target),
        [[0.0]],
        estimators,
        distribution="bernoulli",
        **options,
    )


def enumerated(law):
    """Mean and total variance of REINFORCE, and the variance's fourth moment.

    In NumPy: for each example over all states, then averaged over examples.
    """
    logits = LOGITS[law].astype("float64")
    states = bit_strings(2) if law == "bernoulli" else one_hots(3)[:, None]
    means, variances, spreads = [], [], []
    for example, target in zip(logits, TARGETS, strict=True):
        if law == "bernoulli":
            theta = sigmoid(example)
            q = np.prod(np.where(states > 0, theta, 1 - theta), axis=1)
        else:
            theta = softmax(example)
            q = theta[0]
        flat = states.reshape(len(states), -1)
        f = np.square(flat @ np.arange(1.0, flat.shape[1] + 1) - target)
        g = f[:, None] * (flat - theta.ravel())
        mean = q @ g
        square = np.square(g - mean).sum(1)
        means.append(mean)
        variances.append(q @ square)
        spreads.append(q @ np.square(square) - (q @ square) ** 2)
    return np.array(means), np.mean(variances), np.mean(spreads) / 2


@pytest.mark.parametrize("law", LOGITS)
def test_variance_and_snr_are_those_of_enumeration(law):
    result = compare(
        cost_fn,
        LOGITS[law],
        ["reinforce"],
        40_000,
        distribution=law,
        train_steps=0,
        progress=False,
    )
    row = result["reinforce"]
    means, variance, spread = enumerated(law)
    error = np.sqrt(spread / row.draws)
    assert 5 * error < 0.1 * variance
    assert abs(row.variance - variance) < 5 * error
    signal = np.sqrt(np.square(means).sum() / (2 * variance))
    assert row.snr == pytest.approx(signal, rel=0.1)
    assert row.draws >= 40_000 and row.evaluations == 1
    assert row.variance_time == pytest.approx(row.variance * row.milliseconds)
    assert row.mse == pytest.approx(row.variance, rel=0.01)
    assert row.bias < 5 * row.bias_se
    assert row.bias_se == pytest.approx(np.sqrt(row.variance / row.draws))


def test_the_bias_is_that_of_quadrature():
    names = ["gumbel_softmax", "reinforce", "rloo", "disarm", "st_gumbel"]
    result = toy(names, draws=40_000)
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    y = sigmoid(np.log(u) - np.log1p(-u))
    relaxed = np.mean(2 * (y - 0.45) * y * (1 - y))
    exact = 0.25 * (1 - 2 * 0.45)
    row = result["gumbel_softmax"]
    assert row.bias_detected and result["st_gumbel"].bias_detected
    assert abs(row.bias - abs(relaxed - exact)) < 5 * row.bias_se
    assert row.mse == pytest.approx(row.variance + row.bias**2, rel=1e-3)
    for name in ("reinforce", "rloo", "disarm"):
        assert result[name].bias_detected is False


def test_rounding_is_no_bias():
    # MuProp is exact for a linear cost, up to float32.
    result = compare(
        lambda z: 3.0 * z[:, 0] - z[:, 1] + 50.0,
        [[0.3, -0.8]],
        ["muprop"],
        100,
        distribution="bernoulli",
        progress=False,
    )
    assert result["muprop"].variance < 1e-8
    assert result["muprop"].bias_detected is False


def test_control_variates_are_trained_and_given_back():
    relax = tg.estimators.RELAX("bernoulli", name="mine")
    keras.utils.set_random_seed(0)
    relax.build([1, 1])
    before = [weight.numpy() for weight in relax.variables]
    state = random.getstate()
    result = toy({"plain": "reinforce", "relax": relax}, train_steps=500)
    assert result["relax"].variance < result["plain"].variance / 1000
    assert result.recommended == "relax"
    assert random.getstate() == state
    for old, weight in zip(before, relax.variables, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


def without_times(result):
    report = result.to_dict()
    for row in report["rows"]:
        row.pop("milliseconds"), row.pop("variance_time")
    return report["rows"]


def test_the_seed_decides():
    def run(seed):
        return without_times(toy(["nvil"], draws=50, train_steps=5, seed=seed))

    assert run(1) == run(1) != run(2)


def test_context_reaches_the_baseline():
    # Only a baseline that sees the example can tell the two costs apart.
    def variance(context):
        result = compare(
            lambda z: (
                tg.estimators.tile_context([10.0, -10.0], z) + 0.0 * z[:, 0]
            ),
            np.zeros([2, 1], "float32"),
            ["nvil"],
            200,
            distribution="bernoulli",
            context=context,
            train_steps=300,
            progress=False,
        )
        return result["nvil"].variance

    # The logits are the same for both, so they say nothing.
    assert variance(np.array([[1.0], [-1.0]], "float32")) < 1e-3
    assert variance(None) > 1.0


def test_what_fails_is_reported():
    def step(z):
        return tf.cast(z[:, 0] > 0.5, tf.float32)

    result = compare(
        step,
        np.zeros([1, 2], "float32"),
        ["rebar", "reinforce"],
        distribution="bernoulli",
        train_steps=0,
        progress=False,
    )
    assert result["rebar"].failed and result["rebar"].variance is None
    assert "needs the gradient of the cost" in result["rebar"].note
    assert result.recommended == "reinforce"
    assert "rebar: ValueError" in str(result)
    categorical = compare(
        cost_fn, LOGITS["categorical"], ["arm"], progress=False
    )
    assert "needs pairs of opposite" in categorical["arm"].note
    assert categorical.recommended is None
    assert "no estimator could be measured" in str(categorical)


def test_estimates_that_are_not_finite_are_reported():
    def cost(z):
        return tf.where(z[:, 0] > 0.5, np.nan, z[:, 1])

    result = compare(
        cost,
        np.zeros([1, 2], "float32"),
        ["reinforce"],
        distribution="bernoulli",
        progress=False,
    )
    assert "not finite" in result["reinforce"].note


def test_past_the_limit_there_is_no_bias():
    result = toy(["reinforce", "gumbel_softmax"], draws=20, limit=1)
    assert result["reinforce"].bias is None
    assert result["reinforce"].bias_detected is None
    assert result.recommended == "reinforce"
    assert "n/a" in str(result)


def test_all_that_fit_are_chosen_by_default():
    every = set(tg.estimators.available()) - {"vimco", "pathwise"}
    assert set(select(None, "bernoulli", 0, True)) == every
    fewer = every - {"arm", "disarm", "measure_valued"}
    assert set(select(None, "categorical", 0, True)) == fewer
    assert set(select(None, "categorical", 0, False)) == fewer - {"exact"}


def test_another_objective_is_not_recommended():
    result = toy(["vimco", "exact"], draws=20)
    assert result["vimco"].bias is None and "bound" in result["vimco"].note
    assert result["exact"].variance < 1e-12
    assert result.recommended is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimators": ["reinforced"]}, "must be one of .*'rebar'"),
        ({"estimators": []}, "empty"),
        ({"estimators": ["rloo", "rloo"]}, "twice"),
        ({"estimators": ["rloo"], "draws": 1}, "at least 2"),
        (
            {"estimators": [tg.estimators.RLOO("categorical")]},
            "agree on one distribution",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        toy(**options)


def test_a_cost_of_the_wrong_shape():
    with pytest.raises(ValueError, match="one cost per sample"):
        compare(
            lambda z: tf.reduce_sum(z),
            np.zeros([1, 2], "float32"),
            ["rloo"],
            distribution="bernoulli",
            progress=False,
        )
    with pytest.raises(TypeError, match="`estimator` must be a name"):
        toy([3])


@pytest.fixture(scope="module")
def result():
    names = ["disarm", "reinforce", "gumbel_softmax", "exact"]
    return toy(names, draws=10_000)


def test_the_table_is_complete_and_aligned(result):
    lines = str(result).splitlines()
    assert all(len(line) <= 80 for line in lines)
    start = next(i for i, line in enumerate(lines) if "estimator " in line)
    header, rule, *rows = lines[start : start + 6]
    assert [row.split()[0] for row in rows] == [r.name for r in result.rows]
    assert {len(line) for line in (header, rule, *rows)} == {len(rule)}
    assert all(len(row.split()) == len(header.split()) - 1 for row in rows)
    assert "*" in rows[2] and "* bias detected" in str(result)
    assert "10000 draws" in " ".join(str(result).split())
    assert "Recommended: disarm" in str(result)


def test_the_dictionary_is_json(result):
    report = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [row["name"] for row in report["rows"]] == [
        "disarm",
        "reinforce",
        "gumbel_softmax",
        "exact",
    ]
    assert report["rows"][0]["snr"] is None  # Infinite.
    assert report["recommended"] == "disarm"
    assert report["settings"]["seed"] == 0
    with pytest.raises(KeyError, match="rebar.*only"):
        result["rebar"]


def test_the_picture_shows_something(result, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    result.plot(tmp_path / "picture.png")
    pixels = image.imread(tmp_path / "picture.png")
    assert pixels.shape[0] > 300 and pixels.shape[1] > 600
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50
    empty = Comparison((), {}, None, "")
    empty.plot(tmp_path / "empty.png")


def test_a_picture_without_matplotlib(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        result.plot("never.png")


def test_a_progress_bar(capsys):
    toy(["rloo"], draws=20, progress=False)
    assert capsys.readouterr().out == ""
    toy(["rloo"], draws=20, progress=True, train_steps=500)
    assert "520/520" in capsys.readouterr().out


def row(name, variance, milliseconds, **options):
    return Row(
        name,
        variance=variance,
        milliseconds=milliseconds,
        variance_time=variance * milliseconds,
        draws=100,
        **options,
    )


def test_the_rule_of_the_recommendation():
    slow = row("slow", 1.0, 10.0, mse=1.0)
    fast = row("fast", 2.0, 1.0, mse=2.0)
    seen = row("seen", 0.1, 1.0, unbiased=False, bias_detected=True, mse=0.5)
    unknown = row("unknown", 0.0, 1.0, unbiased=False)
    unseen = row(
        "unseen", 1.0, 1.0, unbiased=False, bias_detected=False, mse=1.0
    )
    failed = Row("failed", failed=True)
    rows = [slow, fast, seen, unknown, failed]
    name, why = recommend(rows)
    assert name == "fast"
    assert "next is slow with 5.00 times" in why
    assert "seen is biased but has a lower mean square error" in why
    assert "unknown" not in why
    name, why = recommend([*rows, unseen])
    assert name == "unseen" and "too small to see" in why
    assert recommend(rows, excluded=["fast"])[0] == "slow"
    assert recommend([seen, unknown])[0] is None


def test_gaussian_variables():
    # (x + 3)² at N(1, 1): the variances of the survey, with log σ² for σ.
    result = compare(
        lambda z: tf.square(z[:, 0] + 3.0),
        (tf.ones([1, 1]), tf.zeros([1, 1])),
        ["reinforce", "pathwise", "measure_valued"],
        20_000,
        distribution="gaussian",
        progress=False,
    )
    for name, mean, stddev in (
        ("reinforce", 495, 1546),
        ("pathwise", 4, 72),
        ("measure_valued", 17.49, 68),
    ):
        np.testing.assert_allclose(
            result[name].variance, mean + stddev / 4, rtol=0.1
        )
        assert result[name].bias is None
