"""Laws other than categories and bits, against quadrature and closed forms."""

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf

from tests.statistics import assert_mean
from tfgumbel import estimators
from tfgumbel.estimators import distribution as distributions
from tfgumbel.estimators import univariate

# Parameters, the index of each learned one, and the law in SciPy.
LAWS = {
    "gaussian": (
        (0.3, -0.4),
        (0, 1),
        lambda mean, lv: scipy.stats.norm(mean, np.exp(lv / 2)),
    ),
    "exponential": (
        (0.4,),
        (0,),
        lambda log_rate: scipy.stats.expon(scale=np.exp(-log_rate)),
    ),
    "gamma": (
        (1.7, 0.3),
        (1,),
        lambda a, log_rate: scipy.stats.gamma(a, scale=np.exp(-log_rate)),
    ),
    "weibull": (
        (1.6, -0.2),
        (1,),
        lambda k, log_scale: scipy.stats.weibull_min(
            k, scale=np.exp(log_scale)
        ),
    ),
    "poisson": (
        (0.5,),
        (0,),
        lambda log_rate: scipy.stats.poisson(np.exp(log_rate)),
    ),
    "binomial": (
        (5.0, 0.4),
        (1,),
        lambda n, logits: scipy.stats.binom(n, 1 / (1 + np.exp(-logits))),
    ),
}
ESTIMATORS = {
    "reinforce": {"baseline": 0.4},
    "rloo": {"samples": 4},
    "pathwise": {"samples": 2},
    "measure_valued": {},
}
PAIRS = [
    (name, law)
    for name in ESTIMATORS
    for law in LAWS
    if law in type(estimators.get(name)).distributions
    or name in ("reinforce", "rloo")
]


def wave(z):
    """Smooth and bounded, with every moment's part in it."""
    return np.sin(0.8 * z) + 0.3 * z


def smooth(z):
    return tf.sin(0.8 * z) + 0.3 * z


def expectation(law, parameters):
    frozen = LAWS[law][2](*parameters)
    if law in ("poisson", "binomial"):
        z = np.arange(60)
        return float(np.sum(frozen.pmf(z) * wave(z)))
    low, high = frozen.ppf([1e-12, 1 - 1e-12])
    return scipy.integrate.quad(
        lambda z: frozen.pdf(z) * wave(z), low, high, limit=200
    )[0]


def exact(law):
    """d/dφ E f for each learned parameter, by central differences."""
    parameters, learned, _ = LAWS[law]
    found = []
    for index in learned:
        values = []
        for sign in (1, -1):
            moved = list(parameters)
            moved[index] += sign * 1e-3
            values.append(expectation(law, moved))
        found.append((values[0] - values[1]) / 2e-3)
    return np.array(found)


def drawn(estimator, law, cost, shape):
    """Costs, and the gradients in the learned parameters, last axis."""
    parameters, learned, _ = LAWS[law]
    tensors = [tf.fill(shape, np.float32(p)) for p in parameters]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        given = tensors[0] if len(tensors) == 1 else tuple(tensors)
        value = estimator(cost, given, [2, 7])
    gradients = tape.gradient(value, tensors)
    return value, np.stack([gradients[index] for index in learned], axis=-1)


@pytest.mark.parametrize(("name", "law"), PAIRS)
def test_gradient_of_one_variable(name, law):
    estimator = estimators.get(name, distribution=law, **ESTIMATORS[name])
    value, gradient = drawn(
        estimator, law, lambda z: smooth(z[:, 0]), [200_000, 1]
    )
    expected = exact(law)
    assert_mean(gradient[:, 0], expected, 0.1 * np.abs(expected).max())
    expected = expectation(law, LAWS[law][0])
    assert_mean(np.array(value)[:, None], [expected], 0.05)


@pytest.mark.parametrize(("name", "law"), PAIRS)
def test_gradient_of_a_product_of_two(name, law):
    # f(z) = w(z_1) w(z_2): the gradient in one is E w times that of E w.
    estimator = estimators.get(name, distribution=law, **ESTIMATORS[name])
    _, gradient = drawn(
        estimator,
        law,
        lambda z: smooth(z[:, 0]) * smooth(z[:, 1]),
        [400_000, 2],
    )
    expected = expectation(law, LAWS[law][0]) * exact(law)
    bias = 0.3 * np.abs(expected).max()
    for variable in (0, 1):
        assert_mean(gradient[:, variable], expected, bias)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "measure_valued"])
def test_a_step_has_a_gradient(name):
    # E 1[z > 1/2] = P(z > 1/2), whose derivatives are known.
    estimator = estimators.get(
        name, distribution="gaussian", **ESTIMATORS[name]
    )
    _, gradient = drawn(
        estimator,
        "gaussian",
        lambda z: tf.cast(z[:, 0] > 0.5, tf.float32),
        [100_000, 1],
    )
    (mean, log_variance), _, _ = LAWS["gaussian"]
    scaled = (0.5 - mean) * np.exp(-log_variance / 2)
    density = scipy.stats.norm.pdf(scaled)
    expected = [density * np.exp(-log_variance / 2), density * scaled / 2]
    assert_mean(gradient[:, 0], expected, 0.03)


@pytest.mark.parametrize("law", LAWS)
def test_samples_density_and_score(law):
    parameters, learned, make = LAWS[law]
    instance, frozen = distributions.get(law), make(*parameters)
    tensors = [tf.fill([100_000, 1], np.float32(p)) for p in parameters]
    packed = instance.prepare(
        tensors[0] if len(tensors) == 1 else tuple(tensors)
    )
    sample = instance.sample(packed, [3, 4]).numpy()[:, 0]
    assert_mean(
        np.stack([sample, sample**2], -1),
        [frozen.mean(), frozen.var() + frozen.mean() ** 2],
        0.05 * (1 + frozen.var()),
    )
    rows, z = packed[:50], sample[:50, None]
    density = frozen.logpmf if hasattr(frozen.dist, "pmf") else frozen.logpdf
    with tf.GradientTape() as tape:
        tape.watch(rows)
        log_prob = instance.log_prob(rows, tf.constant(z))
    np.testing.assert_allclose(log_prob, density(z[:, 0]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        instance.score(rows, tf.constant(z)),
        tape.gradient(log_prob, rows),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        instance.mean(rows)[0], [frozen.mean()], rtol=1e-5
    )


def test_mode_is_where_the_density_is_largest():
    grid = tf.constant(np.linspace(0, 6, 6001), tf.float32)[:, None]
    for law, (parameters, _, _) in LAWS.items():
        instance = distributions.get(law)
        tensors = [tf.fill([6001, 1], np.float32(p)) for p in parameters]
        packed = instance.prepare(
            tensors[0] if len(tensors) == 1 else tuple(tensors)
        )
        places = grid
        if law in ("poisson", "binomial"):
            places = tf.minimum(tf.floor(grid), 5.0)
        best = places[tf.argmax(instance.log_prob(packed, places))]
        np.testing.assert_allclose(
            instance.harden(packed)[0], best, atol=2e-3, err_msg=law
        )


def test_the_weak_derivative_of_a_bit_is_exact():
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


def test_constants_receive_no_gradient():
    concentration, log_rate = tf.fill([4, 1], 2.0), tf.zeros([4, 1])
    for name in ("reinforce", "pathwise", "measure_valued"):
        estimator = estimators.get(name, distribution="gamma")
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([concentration, log_rate])
            cost = estimator(
                lambda z: z[:, 0] ** 2, (concentration, log_rate), [1, 2]
            )
        assert tape.gradient(cost, concentration) is None
        assert np.all(np.isfinite(tape.gradient(cost, log_rate)))


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("measure_valued", "gaussian"),
        pytest.param("pathwise", "gaussian", marks=pytest.mark.slow),
        pytest.param("pathwise", "weibull", marks=pytest.mark.slow),
        pytest.param("measure_valued", "exponential", marks=pytest.mark.slow),
        pytest.param("measure_valued", "gamma", marks=pytest.mark.slow),
    ],
)
def test_under_xla(name, law):
    parameters, learned, _ = LAWS[law]
    estimator = estimators.get(name, distribution=law, samples=3)
    tensors = [tf.fill([5, 2], np.float32(p)) for p in parameters]
    given = tensors[0] if len(tensors) == 1 else tuple(tensors)
    instance = estimator.law
    estimator.build(instance.prepare(given).shape)

    @tf.function(jit_compile=True)
    def run(packed):
        with tf.GradientTape() as tape:
            tape.watch(packed)
            cost = estimator(lambda z: tf.reduce_sum(z**2, 1), packed, [1, 2])
        return tape.gradient(cost, packed)

    gradient = run(instance.prepare(given))
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


def test_bad_input():
    with pytest.raises(ValueError, match=r"for 'poisson' use one of"):
        estimators.Pathwise("poisson")
    with pytest.raises(ValueError, match="'gaussian'"):
        estimators.Rebar("gaussian")
    with pytest.raises(ValueError, match=r"\(mean, log_variance\).*3 tensors"):
        estimators.Reinforce("gaussian")(
            lambda z: z[:, 0], (tf.zeros([2, 1]),) * 3, [1, 2]
        )
    with pytest.raises(ValueError, match=r"\(mean, log_variance\).*shape"):
        estimators.Reinforce("gaussian")(
            lambda z: z[:, 0], tf.zeros([2, 1]), [1, 2]
        )
    with pytest.raises(TypeError, match="log_rate"):
        estimators.Reinforce("poisson")(
            lambda z: z[:, 0], tf.zeros([2, 1], tf.int32), [1, 2]
        )
    with pytest.raises(ValueError, match="number of variables"):
        estimators.MeasureValued("poisson").build((None, None))
    with pytest.raises(ValueError, match=r"need none: .*measure_valued"):
        estimators.Pathwise("gaussian")(
            lambda z: tf.round(z[:, 0]) * 0 + tf.cast(z[:, 0] > 0, tf.float32),
            (tf.zeros([2, 1]), tf.zeros([2, 1])),
            [1, 2],
        )


def test_config_round_trip():
    for name, law in PAIRS:
        estimator = estimators.get(name, distribution=law, **ESTIMATORS[name])
        again = estimators.get(keras.saving.serialize_keras_object(estimator))
        assert again.get_config() == estimator.get_config()


def test_every_law_is_here():
    assert set(LAWS) == set(univariate.NAMES) == set(univariate.LAWS)
