"""compare: its numbers against enumeration, its table, its verdict."""

import json
import random
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import bit_strings, one_hots, sigmoid, softmax
from tfgumbel.diagnostics import Comparison, compare
from tfgumbel.diagnostics.selection import common_distribution, select

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


def toy_cost(z):
    return tf.square(z[:, 0] - 0.45)


def toy(estimators, cost=toy_cost, logits=None, **options):
    logits = [[0.0]] if logits is None else logits
    options = {
        "distribution": "bernoulli",
        "train_steps": 0,
        "progress": False,
        **options,
    }
    return compare(cost, logits, estimators, **options)


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
    result = toy(
        ["reinforce"], cost_fn, LOGITS[law], draws=40_000, distribution=law
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
    assert row.variance_evaluations == row.variance
    assert row.mse == pytest.approx(row.variance, rel=0.01)
    # The spread of |g - E g|² is that of one example: they are independent.
    assert row.variance_error == pytest.approx(error, rel=0.1)
    assert result.gradient_norm == pytest.approx(
        np.sqrt(np.square(means).sum() / 2)
    )
    assert row.bias_detected is False and row.bias_lower == 0.0
    noise = np.sqrt(variance / row.draws)
    assert noise < row.bias_detectable < 5 * noise


@pytest.mark.full
def test_the_bias_is_that_of_quadrature():
    names = ["gumbel_softmax", "reinforce", "rloo", "disarm", "st_gumbel"]
    result = toy(names, draws=40_000)
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    y = sigmoid(np.log(u) - np.log1p(-u))
    relaxed = np.mean(2 * (y - 0.45) * y * (1 - y))
    exact = 0.25 * (1 - 2 * 0.45)
    bias = abs(relaxed - exact)
    row = result["gumbel_softmax"]
    assert row.bias_detected and result["st_gumbel"].bias_detected
    assert row.bias_lower < bias < row.bias_upper < 1.2 * bias
    assert row.bias == pytest.approx(bias, rel=0.1)
    assert row.relative_bias == pytest.approx(row.bias / exact)
    assert row.acceptable is False
    assert row.mse == pytest.approx(row.variance + row.bias**2)
    for name in ("reinforce", "rloo", "disarm"):
        assert result[name].bias_detected is False
        assert result[name].acceptable is True


def test_rounding_is_no_bias():
    # MuProp is exact for a linear cost, up to float32.
    result = toy(
        ["muprop"],
        lambda z: 3.0 * z[:, 0] - z[:, 1] + 50.0,
        [[0.3, -0.8]],
        draws=100,
    )
    assert result["muprop"].variance < 1e-8
    assert result["muprop"].bias_detected is False


@pytest.mark.full
def test_control_variates_are_trained_and_given_back():
    relax = tg.estimators.RELAX("bernoulli", name="mine")
    keras.utils.set_random_seed(0)
    relax.build([1, 1])
    before = [weight.numpy() for weight in relax.variables]
    random.seed(9)
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
        for key in ("milliseconds", "milliseconds_spread", "variance_time"):
            row.pop(key)
    return report["rows"]


@pytest.mark.full
def test_the_seed_decides():
    def run(seed):
        return without_times(toy(["nvil"], draws=50, train_steps=5, seed=seed))

    assert run(1) == run(1) != run(2)


@pytest.mark.full
def test_context_reaches_the_baseline():
    # Only a baseline that sees the example can tell the two costs apart.
    def variance(context):
        result = toy(
            ["nvil"],
            lambda z: (
                tg.estimators.tile_context([10.0, -10.0], z) + 0.0 * z[:, 0]
            ),
            [[0.0], [0.0]],
            draws=200,
            context=context,
            train_steps=300,
        )
        return result["nvil"].variance

    # The logits are the same for both, so they say nothing.
    assert variance(np.array([[1.0], [-1.0]], "float32")) < 1e-3
    assert variance(None) > 1.0


def test_what_fails_is_reported():
    def step(z):
        return tf.cast(z[:, 0] > 0.5, tf.float32)

    result = toy(["rebar", "reinforce"], step, [[0.0, 0.0]])
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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_estimates_that_are_not_finite_are_reported(value):
    def cost(z):
        return z[:, 1] + tf.where(z[:, 0] == 1.0, value, z[:, 0])

    names = ["reinforce", "gumbel_softmax"]
    result = toy(names, cost, [[0.0, 0.0]], draws=100)
    assert "not finite" in result["reinforce"].note
    # Relaxed samples miss it; what they are compared with does not.
    assert result.reference is None and result.recommended is None


@pytest.mark.full
def test_looks_rows_and_the_norm_share_the_error_rate():
    """Three looks at a row and the norm, or two at two rows and the norm."""
    name = "gumbel_softmax"
    one = toy([name], draws=10_000, max_draws=160_000)
    two = toy([name, "disarm"], draws=10_000, max_draws=40_000)
    assert (one.settings["looks"], two.settings["looks"]) == (3, 2)
    for figure in ("draws", "bias_detectable", "bias_upper", "bias_lower"):
        assert getattr(one[name], figure) == getattr(two[name], figure)
    # The least of two, by Holm, is twice itself.
    assert two[name].p_value == pytest.approx(one[name].p_value / 3 * 2 * 2)


@pytest.mark.full
def test_past_the_limit_a_reference_is_drawn():
    names = ["rloo", "disarm", "gumbel_softmax", "exact"]
    result = toy(names, draws=20_000, limit=1)
    # DisARM has no variance here, so that nothing is lost.
    assert result.reference == "the mean of 20000 draws of disarm"
    assert result.gradient_norm == pytest.approx(0.025, rel=1e-4)
    assert result["gumbel_softmax"].bias_detected
    assert result["gumbel_softmax"].acceptable is False
    for name in ("rloo", "disarm"):
        assert result[name].bias_detected is False
    assert "disarm" in str(result)


@pytest.mark.full
def test_the_reference_takes_half_as_many_evaluations_as_all():
    """But no more than halves the least noise that it meets."""
    names = ["reinforce", "st", "st_gumbel", "gumbel_softmax", "gapped"]
    result = toy(names, draws=1000, max_draws=1000, limit=1)
    assert result.reference == "the mean of 2500 draws of reinforce"


def test_the_noise_of_the_reference_counts():
    found = toy(["rloo"], draws=4000, max_draws=4000, limit=2)
    assert found.reference == "by enumeration"  # of both states
    known = found["rloo"]
    drawn = toy(["rloo"], draws=4000, max_draws=4000, limit=1)
    assert drawn.reference == "the mean of 4000 draws of rloo"
    row = drawn["rloo"]
    assert row.bias_detected is False
    # As many draws of the reference as of the estimator: √2 the noise, and a
    # third of the error rate goes to the norm.
    ratio = row.bias_detectable / known.bias_detectable
    assert ratio == pytest.approx(np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("where", [None, 1.0, "each row"])
def test_a_cost_with_noise_of_its_own_is_not_enumerated(where):
    """A sum over the states would hold one draw of the noise."""

    def noisy(z):
        noise = tf.random.normal([tf.shape(z)[0]])
        if where == "each row":  # As of an estimate with a constant seed.
            noise = 5.0 * tg.random.uniform([tf.shape(z)[0]], [1, 2])
        return z[:, 0] + noise * (z[:, 0] if where == 1.0 else 1.0)

    names = ["reinforce", "disarm"]
    result = toy(names, noisy, [[-3.0]] * 4, draws=100, max_draws=100)
    assert "draws of" in result.reference
    assert not any(row.bias_detected for row in result.rows)


def test_a_reference_is_made_where_none_is_unbiased():
    result = toy(["gumbel_softmax", "st"], draws=20_000, limit=1)
    assert "rloo with 8 samples" in result.reference
    assert result["gumbel_softmax"].bias_detected
    assert result["gumbel_softmax"].bias == pytest.approx(9.1e-3, rel=0.2)


def test_a_gradient_that_the_caller_knows():
    result = toy(["gumbel_softmax"], draws=20_000, limit=1, exact=[[0.025]])
    assert result.reference == "as given"
    assert result["gumbel_softmax"].bias_detected
    with pytest.raises(ValueError, match=r"logits' shape, \(1, 1\)"):
        toy(["gumbel_softmax"], exact=[0.025])


def test_a_bias_in_one_example_of_many_is_found():
    # Quadratic, for which st is exact at θ = ½ alone: one of 30 is elsewhere.
    logits = np.zeros([30, 1], "float32")
    logits[17] = 1.5
    estimators = {"st": tg.estimators.ST("bernoulli")}
    options = {"draws": 4000, "max_draws": 4000}
    row = toy(estimators, logits=logits, **options)["st"]
    assert row.bias_detected and row.worst_example == 17


def curved(z):
    return tf.math.log1p(tf.square(tf.reduce_sum(z[:, :, 0], axis=1) - 1.5))


@pytest.mark.full
def test_draws_are_raised_until_it_is_decided():
    logits = tf.random.stateless_normal([1, 3, 4], [1, 2])
    names = ["rloo", "gumbel_softmax", "st", "mve"]
    result = compare(curved, logits, names, progress=False)
    first, *others = (result[name].draws for name in names)
    assert 1000 <= first < 1200  # Nothing depends on it.
    assert max(others) >= 4000
    assert all(result[name].acceptable is not None for name in names)
    assert not result.undecided
    few = compare(curved, logits, names, max_draws=1000, progress=False)
    assert max(row.draws for row in few.rows) < 1200
    assert few.undecided and "Undecided" in few.recommendation
    assert few.settings["looks"] == 1 and result.settings["looks"] == 5


def test_hopeless_draws_are_not_begun():
    # 200 variables, whose gradient is nearly zero.
    result = toy(
        ["reinforce", "st"],
        lambda z: tf.reduce_mean(tf.square(z - 0.4999), axis=1),
        np.zeros([1, 200], "float32"),
        exact=np.full([1, 200], 0.25 * 2e-4 / 200),
    )
    assert result.undecided == ("st",) and result["st"].draws < 1200
    assert result.recommended == "reinforce"


@pytest.mark.full
def test_equal_estimators_are_tied():
    # ReinMax at τ = 1 is ZGR.
    logits = np.random.default_rng(1).normal(size=[1, 5, 3]).astype("float32")
    result = compare(
        lambda z: tf.square(tf.reduce_sum(z[:, :, 0], axis=1) - 4.0),
        logits,
        ["rloo", "zgr", "reinmax"],
        2000,
        progress=False,
    )
    equal = {"zgr", "reinmax"}
    assert result.recommended in equal
    (other,) = equal - {result.recommended}
    assert f"tied with {other}" in " ".join(result.recommendation.split())
    assert result["zgr"].variance == pytest.approx(result["reinmax"].variance)


@pytest.mark.full
def test_ctrl_c_keeps_what_is_finished(monkeypatch):
    from tfgumbel.diagnostics.measurement import Measurement

    draw_until, calls = Measurement.draw_until, []

    def interrupted(self, *arguments):
        calls.append(self)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw_until(self, *arguments)

    monkeypatch.setattr(Measurement, "draw_until", interrupted)
    result = toy(["disarm", "reinforce", "rloo"])
    assert result.interrupted and "Interrupted" in str(result)
    assert [row.name for row in result.rows] == ["disarm", "reinforce"]
    assert result.recommended == "disarm"
    del calls[:2]
    with pytest.raises(KeyboardInterrupt):
        calls.extend([None] * (2 - len(calls)))
        toy(["disarm"])


def test_all_that_fit_are_chosen_by_default():
    every = set(tg.estimators.available("bernoulli")) - {"vimco"}
    assert set(select(None, "bernoulli", 0, True)) == every
    fewer = every - {"arm", "arms", "measure_valued"}
    assert set(select(None, "categorical", 0, True)) == fewer
    assert set(select(None, "categorical", 0, False)) == fewer - {"exact"}


def test_the_distribution_is_that_of_the_estimators():
    one = tg.estimators.RLOO("bernoulli")
    for estimators in ([one], {"own": one}):
        assert common_distribution(None, estimators) == one.distribution


def test_another_objective_is_not_recommended():
    result = toy(["vimco", "exact"], draws=20)
    assert result["vimco"].bias is None and "bound" in result["vimco"].note
    assert result["exact"].variance < 1e-12
    assert result.recommended is None and not result.undecided
    assert "exact or has another objective" in result.recommendation


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimators": ["reinforced"]}, "must be one of .*'rebar'"),
        ({"estimators": []}, "empty"),
        ({"estimators": ["rloo", "rloo"]}, "twice"),
        ({"draws": 1}, "at least 2"),
        ({"max_draws": 999}, "at least `draws`"),
        ({"train_steps": -1}, "not be negative"),
        ({"tolerance": 0}, "a positive, finite"),
        (
            {"estimators": [tg.estimators.RLOO("categorical")]},
            "agree on one distribution",
        ),
        ({"seed": 0.5}, "`seed` must be an integer"),
        ({"seed": 2**70}, "`seed` must be an integer"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a positive"),
        ({"limit": -1}, "`limit` must not be negative"),
        ({"exact": [[np.nan]]}, "`exact` must hold finite numbers"),
        ({"logits": np.zeros([0, 1], "float32")}, "`logits` must hold numbers"),
        ({"logits": np.zeros([], "float32")}, "`logits` must have an axis"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        toy(**{"estimators": ["rloo"], **options})


def test_a_cost_of_the_wrong_shape():
    with pytest.raises(ValueError, match="one cost per sample"):
        toy(["rloo"], tf.reduce_sum, [[0.0, 0.0]])
    with pytest.raises(TypeError, match="`estimator` must be a name"):
        toy([3])


@pytest.fixture(scope="module")
def result():
    names = ["disarm", "reinforce", "gumbel_softmax", "exact"]
    return toy(names, draws=10_000)


def tables(text):
    """Header, rule and rows of the two tables."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("estimator")]
    return [lines[i : lines.index("", i)] for i in starts]


def test_the_tables_are_complete_and_aligned(result):
    text = str(result)
    assert all(len(line) <= 80 for line in text.splitlines())
    for header, rule, *rows in tables(text):
        rows = rows[: len(result.rows)]
        assert [row.split()[0] for row in rows] == [r.name for r in result.rows]
        assert {len(line) for line in (header, rule, *rows)} == {len(rule)}
    bias, cost = tables(text)
    assert "*" in bias[4] and "*" not in bias[2]
    assert "evals" in cost[0]
    words = " ".join(text.split())
    assert "norm is 0.0250, by enumeration" in words
    assert "* detected, at a false-alarm rate of 1 %" in words
    assert "Recommended: disarm" in words
    # What is said, is said once.
    for said in ("by enumeration", "false-alarm", "confidence", "seed 0"):
        assert words.count(said) == 1


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


@pytest.mark.full
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


@pytest.mark.full
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
        assert result[name].bias_detected is False
    assert result.reference.endswith("of pathwise")


@pytest.mark.full
def test_the_gradient_of_several_parameters_is_given_as_a_tuple():
    # ∇E (x + 3)² = 2 (μ + 3) in μ, and σ² in log σ².
    def compared(exact):
        return compare(
            lambda z: tf.square(z[:, 0] + 3.0),
            (tf.ones([1, 1]), tf.zeros([1, 1])),
            ["pathwise", "nvil"],
            1000,
            max_draws=1000,
            distribution="gaussian",
            exact=exact,
            progress=False,
        )

    result = compared(([[8.0]], [[1.0]]))
    assert result.gradient_norm == pytest.approx(np.sqrt(65.0))
    assert result["pathwise"].bias_detected is False
    assert "gaussian mean and scale" in str(result)
    assert compared(([[8.0]], [[2.0]]))["pathwise"].bias_detected
    with pytest.raises(ValueError, match="must have the logits' shape"):
        compared([[8.0]])


@pytest.mark.parametrize(
    ("distribution", "constant", "logits"),
    [
        (tg.distributions.Binomial(), 4.0, [2, 3]),
        pytest.param(
            *(tg.distributions.Subset(), [1.0, 2.0], [2, 3]),
            marks=pytest.mark.full,
        ),
        pytest.param(
            *(tg.distributions.Subset(axis=1), 2.0, [1, 3, 2]),
            marks=pytest.mark.full,
        ),
    ],
)
def test_a_constant_parameter_is_broadcast(distribution, constant, logits):
    result = compare(
        lambda z: tf.square(tf.reshape(z, [tf.shape(z)[0], -1])[:, 0] - 1.0),
        (tf.constant(constant), tf.zeros(logits)),
        ["nvil"],
        200,
        max_draws=200,
        distribution=distribution,
        train_steps=1,
        progress=False,
    )
    assert not any(row.failed for row in result.rows), str(result)
    assert result.settings["shape"] == logits


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25])
def test_the_scale_of_the_cost_does_not_matter(scale):
    def compared(scale):
        return toy(
            ["rloo", "gumbel_softmax"],
            lambda z: scale * tf.square(z[:, 0] - 0.2),
            [[0.3]],
            draws=500,
            max_draws=500,
        )

    plain, scaled = compared(1.0), compared(scale)
    assert plain["gumbel_softmax"].bias_detected
    assert scaled.recommended == plain.recommended
    for one, other in zip(plain.rows, scaled.rows, strict=True):
        assert other.bias_detected == one.bias_detected
        for name in ("bias_upper", "bias_lower", "bias_detectable"):
            figure = getattr(one, name) / plain.gradient_norm
            found = getattr(other, name) / scaled.gradient_norm
            assert found == pytest.approx(figure, rel=0.02), name


def test_a_gradient_lost_in_rounding_is_said():
    result = toy(
        ["rloo", "gumbel_softmax"],
        lambda z: 1e6 + tf.square(z[:, 0] - 0.2),
        [[0.3]],
        draws=200,
    )
    assert "by rounding in float32" in result.reference
    assert "less than rounding in float32" in result.recommendation


def test_a_gradient_that_is_not_finite_is_no_reference():
    result = toy("rloo", lambda z: z[:, 0] * np.nan, [[0.3]], draws=20)
    assert result.gradient_norm is None


def test_an_alias_is_a_name():
    assert not toy(["gumbel"], draws=2, max_draws=2)["gumbel"].failed


def test_one_estimator_and_a_generator_of_them():
    def names(estimators):
        result = toy(estimators, draws=20, max_draws=20)
        return [row.name for row in result.rows]

    assert names(
        tg.estimators.get("rloo", distribution="bernoulli", name="own")
    ) == ["own"]
    assert names(name for name in ("rloo", "disarm")) == ["rloo", "disarm"]
