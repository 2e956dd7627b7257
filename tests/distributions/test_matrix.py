"""Every distribution under every estimator that serves it.

The gradient in the unconstrained parameters, against the derivative of a sum
or an integral. Categorical and Bernoulli variables are enumerated in
tests/estimators.
"""

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.distributions.cases import BY_ID, CASES
from tests.distributions.test_contract import DISCRETE, tiled
from tests.helpers.statistics import assert_mean
from tfgumbel import distributions, estimators

ARGUMENTS = {
    "reinforce": {"baseline": 0.4},
    "nvil": {"baseline": "moving_average"},
    "rloo": {"samples": 4},
    "vimco": {"samples": 2, "add_log_prob": False},
    "iwae": {"samples": 2, "add_log_prob": False},
    "dreg": {"samples": 2},
    "pathwise": {"samples": 2},
    "muprop": {"samples": 2},
    "double_cv": {"alpha": -0.8},
    "rodeo": {},
    "measure_valued": {},
    "rebar": {},
    "relax": {"relaxed_cost": True},
}
BOUNDS = ("dreg", "iwae", "vimco")
# A biased estimator has a bias curve instead.
CELLS = [
    (case, name)
    for case in CASES
    for name in estimators.available(case.distribution)
    if estimators.get(name).unbiased and name != "exact"
]
# One through the probability and one through the sample for each row.
OFTEN = ("rloo", "pathwise")


def of_vector(case, z):
    """A number: of two entries of a vector, or of all if it is discrete."""
    if case.atoms is None:
        return z[:, 0] + 0.5 * z[:, 1]
    weights = np.cos(1.0 + 2.0 * np.arange(case.event)).astype(np.float32)
    return (z @ weights[:, None])[:, 0]


def wave(case, z, sin=np.sin):
    """Smooth, and with a slope; of an angle, the same at -π and π."""
    if case.name == "von_mises":
        return sin(z - 0.4) + 0.3 * sin(2 * z)
    return sin(0.8 * z) + 0.2 * z


def exact_wave(case):
    def cost(z):
        return wave(case, of_vector(case, z) if case.event else z)

    return cost


def cost(case):
    def cost_fn(z):
        z = tf.reshape(z, [tf.shape(z)[0], max(case.event, 1)])
        return wave(case, of_vector(case, z) if case.event else z[:, 0], tf.sin)

    return cost_fn


def draws(case, name, count, seed=(2, 7)):
    """Gradients in the learned parameters, `[count, ...]` each."""
    estimator = estimators.get(
        name, distribution=case.distribution, **ARGUMENTS[name]
    )
    given = tiled(case, count)
    tensors = given if isinstance(given, tuple) else (given,)
    if name == "nvil":  # Gives the running mean a past.
        past = tiled(case, 200)
        estimator(cost(case), past, [3, 1])
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = estimator(cost(case), given, list(seed))
    gradients = tape.gradient(value, tensors)
    found = [
        np.reshape(gradients[index], [count, -1]) for index in case.indices
    ]
    return value.numpy(), found


def exact(case, name):
    f = exact_wave(case)

    def value(raw=None):
        if name not in BOUNDS:
            return case.expectation(f, raw)
        with_q = ARGUMENTS[name].get("add_log_prob", True)
        return case.bound(f, raw, add_log_prob=with_q)

    return value(), case.derivative(value)


def marks(name):
    return [] if name in OFTEN else [pytest.mark.slow]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(c, n, id=f"{c.id}-{n}", marks=marks(n))
        for c, n in CELLS
        # Of vectors, its integral has four dimensions.
        if not (n in BOUNDS and c.event and c.atoms is None)
    ],
)
def test_gradient(case, name):
    count = 60_000 if name in OFTEN else 150_000
    value, gradients = draws(case, name, count)
    expected_value, expected = exact(case, name)
    assert_mean(value[:, None], [expected_value], smallest_bias=0.05)
    largest = max(np.abs(part).max() for part in expected)
    for found, part in zip(gradients, expected, strict=True):
        assert_mean(found, part, smallest_bias=0.15 * largest + 0.01)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if "exact" in estimators.available(c.distribution)],
    ids=lambda case: case.id,
)
def test_enumeration_of_vectors(case):
    estimator = estimators.Exact(case.distribution)
    logits = tiled(case, 3)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimator(cost(case), logits, [0, 0])
    gradient = tape.gradient(value, logits)[:, 0]
    expected_value, (expected,) = exact(case, "exact")
    np.testing.assert_allclose(value, [expected_value] * 3, rtol=1e-5)
    np.testing.assert_allclose(gradient, [expected] * 3, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(BY_ID[id], name, id=f"{id}-{name}")
        for id in ("gaussian-log_variance", "gamma-fixed", "poisson")
        for name in estimators.available(BY_ID[id].distribution)
        if name not in (*BOUNDS, "stl", "muprop")
    ],
)
def test_gradient_of_a_product_of_two(case, name):
    """f(z) = w(z_1) w(z_2): the gradient in one is E w times that of E w."""
    estimator = estimators.get(
        name, distribution=case.distribution, **ARGUMENTS[name]
    )
    given = tiled(case, 400_000)
    given = given if isinstance(given, tuple) else (given,)
    tensors = [tf.repeat(tensor, 2, axis=1) for tensor in given]

    def product(z):
        w = tf.sin(0.8 * z) + 0.2 * z
        return w[:, 0] * w[:, 1]

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        packed = tuple(tensors) if len(tensors) > 1 else tensors[0]
        value = estimator(product, packed, [2, 7])
    gradients = tape.gradient(value, tensors)
    factor, slopes = exact(case, "pathwise")
    for index, slope in zip(case.indices, slopes, strict=True):
        bias = 0.3 * np.abs(factor * slope).max() + 0.01
        for variable in (0, 1):
            found = gradients[index][:, variable]
            assert_mean(found, factor * slope[0], bias)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "measure_valued"])
def test_a_step_has_a_gradient(name):
    # E 1[z > 1/2] = P(z > 1/2), whose derivatives are known.
    mean, log_variance = 0.3, -0.4
    estimator = estimators.get(name, distribution="gaussian", **ARGUMENTS[name])
    tensors = tf.fill([100_000, 1], mean), tf.fill([100_000, 1], log_variance)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = estimator(
            lambda z: tf.cast(z[:, 0] > 0.5, tf.float32), tensors, [2, 7]
        )
    found = np.concatenate(tape.gradient(value, tensors), axis=-1)
    scaled = (0.5 - mean) * np.exp(-log_variance / 2)
    density = np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi)
    expected = [density * np.exp(-log_variance / 2), density * scaled / 2]
    assert_mean(found, expected, 0.03)


# What follows from the capabilities


def test_capabilities_say_who_serves_whom():
    matrix = {
        name: set(estimators.available(name))
        for name in tg.distributions.available()
        if name != "truncated_normal"
    }
    score = {"reinforce", "nvil", "rloo", "vimco"}
    assert all(score <= served for served in matrix.values())
    for name, served in matrix.items():
        structured = name in ("subset", "permutation")
        whole = structured or name in (*DISCRETE, "poisson", "binomial")
        for pathwise in ("pathwise", "iwae", "dreg", "stl"):
            assert (pathwise in served) != whole, name
        # By name, the size of a subset is an input.
        finite = name in (*DISCRETE, "permutation")
        assert ("exact" in served) == finite
        assert ("rebar" in served) == finite
        assert ("gumbel_softmax" in served) == finite
        assert ("reinmax" in served) == (name in DISCRETE)
        assert ("disarm" in served) == (name in DISCRETE)
        assert ("unordered_set" in served) == (name in DISCRETE)
        for only in ("arm", "arms"):
            assert (only in served) == (name == "bernoulli")
        assert ("rodeo" in served) == (name in DISCRETE)
    weak = {n for n, served in matrix.items() if "measure_valued" in served}
    assert weak == {
        *("bernoulli", "gaussian", "exponential", "poisson", "binomial")
    }
    without_mean = {n for n, s in matrix.items() if "muprop" not in s}
    assert without_mean == {
        *("logistic_normal", "student_t", "von_mises", "permutation")
    }
    sized = set(estimators.available("subset", k=2))
    assert sized == {"exact", "double_cv", "muprop", *score}
    with_mean = {n for n, s in matrix.items() if "double_cv" in s}
    assert with_mean == set(matrix) - without_mean


@pytest.mark.parametrize("name", ["gamma", "weibull"])
def test_a_parameter_without_a_weak_derivative_is_named(name):
    with pytest.raises(
        ValueError, match=f"'{name}'.*'concentration'.*fixed=.*pathwise"
    ):
        estimators.MeasureValued(name)
    fixed = distributions.get(name, fixed="concentration")
    assert "measure_valued" in estimators.available(fixed)
    assert estimators.MeasureValued(name, fixed="concentration")


def test_a_gaussian_of_full_covariance_has_no_weak_derivative():
    with pytest.raises(ValueError, match="parameterization='tril'.*pathwise"):
        estimators.MeasureValued("gaussian", parameterization="tril")


def test_bad_input():
    with pytest.raises(ValueError, match=r"For 'poisson' use one of"):
        estimators.Pathwise("poisson")
    with pytest.raises(ValueError, match="conditioned.*'gaussian'"):
        estimators.REBAR("gaussian")
    with pytest.raises(ValueError, match="number of variables"):
        estimators.MeasureValued("poisson").build((None, None))
    with pytest.raises(ValueError, match=r"need none: .*measure_valued"):
        estimators.Pathwise("gaussian")(
            lambda z: tf.round(z[:, 0]) * 0 + tf.cast(z[:, 0] > 0, tf.float32),
            (tf.zeros([2, 1]), tf.zeros([2, 1])),
            [1, 2],
        )


def test_the_weak_derivative_of_a_bernoulli_variable_is_exact():
    estimator = estimators.MeasureValued("bernoulli")
    logits = tf.constant([[0.3, -1.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = estimator(lambda z: 2.0 * z[:, 0] - z[:, 1], logits, [1, 2])
    p = 1 / (1 + np.exp([-0.3, 1.0]))
    np.testing.assert_allclose(
        tape.gradient(cost, logits), [[2, -1] * p * (1 - p)], rtol=1e-5
    )
    assert estimator.evaluations == 5


def test_measure_valued_leaves_the_cost_its_own_gradient():
    # That of f at the sample: d/dw E w z = E z.
    w = tf.Variable(1.5)
    estimator = estimators.MeasureValued("poisson")
    log_rate = tf.fill([50_000, 2], 0.5)
    with tf.GradientTape() as tape:
        cost = estimator(lambda z: w * z[:, 0], log_rate, [1, 2])
    mean = float(tape.gradient(cost, w)) / 50_000
    np.testing.assert_allclose(mean, np.mean(cost) / 1.5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("measure_valued", "gaussian-log_variance"),
        ("pathwise", "gaussian-log_variance"),
        ("pathwise", "weibull"),
        ("measure_valued", "exponential"),
        ("measure_valued", "gamma-fixed"),
        ("muprop", "beta"),
        ("rloo", "mixture"),
    ],
)
def test_under_xla(name, id):
    case = BY_ID[id]
    estimator = estimators.get(name, distribution=case.distribution, samples=3)
    given = tiled(case, 5)
    tensors = given if isinstance(given, tuple) else (given,)
    shapes = tuple(tensor.shape for tensor in tensors)
    estimator.build(shapes if len(shapes) > 1 else shapes[0])

    @tf.function(jit_compile=True)
    def run(given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            cost = estimator(lambda z: tf.reduce_sum(z**2, 1), given, [1, 2])
        return tape.gradient(cost, given)

    for index in case.indices:
        gradient = tf.nest.flatten(run(given))[index]
        assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)


@pytest.mark.parametrize("log_variance", [-1e4, 1e4])
def test_extreme_log_variances_stay_finite(log_variance):
    for name in ("reinforce", "pathwise", "measure_valued"):
        estimator = estimators.get(name, distribution="gaussian")
        parameters = tf.zeros([3, 1]), tf.fill([3, 1], log_variance)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            cost = estimator(lambda z: tf.tanh(z[:, 0]), parameters, [1, 2])
        for gradient in tape.gradient(cost, parameters):
            assert np.all(np.isfinite(gradient)), name
