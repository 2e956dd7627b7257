"""What holds for every distribution, against scipy, sums and quadrature."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla
from tests.distributions.cases import BY_ID, CASES
from tests.helpers.statistics import assert_mean
from tfgumbel.distributions import ClosedFormKL, Scored

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
DISCRETE = ("bernoulli", "categorical")
COUNT = 40_000


def tiled(case, count, dtype="float32"):
    """The row's unconstrained parameters, `[count, 1, ...]`."""
    tensors = [
        tf.constant(np.broadcast_to(raw, (count, 1, *np.shape(raw))), dtype)
        for raw in case.raw
    ]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def constrained(case, count, dtype="float32"):
    return case.distribution.constrain(tiled(case, count, dtype))


def flat(case, sample):
    """Samples `[N]`, or `[N, D]` for vectors."""
    shape = [-1, case.event] if case.event else [-1]
    return np.reshape(np.asarray(sample, np.float64), shape)


def test_every_distribution_has_a_row():
    rows = {case.name for case in CASES} | set(DISCRETE)
    assert rows == set(tg.distributions.available())


@every
def test_parameters_are_what_the_bijections_say(case):
    for found, expected in zip(
        constrained(case, 2), case.parameters(), strict=True
    ):
        assert found.shape[:2] == (2, 1)
        expected = np.broadcast_to(expected, found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.core
@every
def test_log_probability_is_that_of_scipy(case):
    parameters = constrained(case, 300)
    sample = case.distribution.sample(parameters, [5, 6])
    found = case.distribution.log_probs(parameters, sample)
    z = flat(case, sample)
    z = z[:, :2] if case.id == "dirichlet" else z
    expected = case.log_density(z, *case.parameters())
    np.testing.assert_allclose(found[:, 0], expected, rtol=2e-4, atol=2e-4)
    data = np.asarray(sample, np.float64)
    np.testing.assert_allclose(
        case.distribution.log_prob(parameters, data), found[:, 0]
    )


@every
def test_the_log_probability_sees_the_sample(case):
    """A pathwise estimate of an entropy differentiates both."""
    if case.whole:
        pytest.skip("whole numbers")
    parameters = constrained(case, 20, "float64")
    sample = case.distribution.sample(parameters, [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(sample)
        log_prob = case.distribution.log_probs(parameters, sample)
    if case.event:
        assert np.all(np.isfinite(tape.gradient(log_prob, sample)))
        return
    z, h = flat(case, sample), 1e-5
    sides = [case.log_density(z + s, *case.parameters()) for s in (h, -h)]
    expected = (sides[0] - sides[1]) / (2 * h)
    found = tape.gradient(log_prob, sample)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@every
def test_mean_mode_and_what_inference_offers(case):
    distribution = case.distribution
    parameters = constrained(case, 2)
    raw = tf.nest.flatten(tiled(case, 2))
    shape = distribution.sample_shape([tensor.shape for tensor in raw])
    for name in distribution.inference:
        value = distribution.infer(parameters, name, lambda: [1, 2])
        assert value.shape == shape
    for name in ("mean", "mode"):
        expected = getattr(case, name)
        if name in distribution.inference and expected is not None:
            found = getattr(distribution, name)(parameters)[0, 0]
            np.testing.assert_allclose(
                found, expected(*case.parameters()), rtol=2e-5, atol=1e-6
            )


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.prior], ids=lambda case: case.id
)
def test_divergence_is_the_integral(case):
    """In closed form to rounding, else in expectation."""
    distribution = case.distribution
    z, _ = case.nodes()
    log_p = case.log_density(z, *map(np.asarray, case.prior))
    log_q = case.log_density(z, *case.parameters())
    mass = case.mass()
    held = mass > 1e-300
    exact = np.sum(mass[held] * (log_q - log_p)[held])
    layer = tg.KLDivergence(distribution, case.prior, seed=4)
    if distribution.lacks(ClosedFormKL) is None:
        found = layer.divergence(tiled(case, 1))
        np.testing.assert_allclose(found, [[exact]], rtol=2e-3, atol=1e-5)
    else:
        found = layer.divergence(tiled(case, COUNT), training=True)
        assert_mean(found[:, 0], exact, smallest_bias=0.1)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.distribution.lacks(Scored) is None],
    ids=lambda case: case.id,
)
def test_a_score_is_the_gradient_of_the_log_probability(case):
    distribution = case.distribution
    parameters = constrained(case, 3)
    sample = distribution.sample(parameters, [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log_prob = distribution.log_probs(parameters, sample)
    zero = tf.UnconnectedGradients.ZERO
    expected = tape.gradient(log_prob, parameters, unconnected_gradients=zero)
    found = distribution.score(parameters, sample)
    names = distribution.parameters
    for name, one, other in zip(names, found, expected, strict=True):
        if name not in distribution.constants:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@every
def test_a_sample_has_no_gradient(case):
    parameters = constrained(case, 1)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        sample = case.distribution.sample(parameters, [5, 6])
    assert all(g is None for g in tape.gradient(sample, parameters))


def test_divergence_from_a_laplace_prior_on_the_other_side():
    laplace = tg.distributions.Laplace()
    scale = tf.constant([0.7])
    prior = (tf.constant([0.0]), tf.constant([1.5]))
    left, right = (
        laplace.kl((tf.constant([x]), scale), prior) for x in (-0.8, 0.8)
    )
    np.testing.assert_allclose(left, right, rtol=1e-6)


def test_log_ratio_of_kumaraswamy_variables_that_round_to_one():
    """With x = -log(1 - z): log(b / d) + (d - b) x."""
    kumaraswamy = tg.distributions.Kumaraswamy()
    one, b = tf.ones(50), tf.fill([50], 0.02)
    flat, steep = (
        kumaraswamy.log_ratio((one, b), (one, d * one), [1, 2]).numpy()
        for d in (1.0, 3.0)
    )
    x = (flat - np.log(0.02)) / 0.98
    assert np.max(x) > 30.0
    expected = np.log(0.02 / 3.0) + 2.98 * x
    np.testing.assert_allclose(steep, expected, rtol=1e-4, atol=1e-4)


EXTREMES = [-np.inf, -1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30, np.inf]


@pytest.mark.parametrize("name", ["exponential", "poisson", "weibull"])
def test_extreme_parameters_stay_finite(name):
    distribution = tg.distributions.get(name)
    count = len(distribution.parameters)
    grid = np.stack(np.meshgrid(*[EXTREMES] * count), -1).reshape(-1, count)
    raw = [tf.constant(column[:, None], tf.float32) for column in grid.T]
    with tf.GradientTape() as tape:
        tape.watch(raw)
        parameters = distribution.constrain(raw)
        sample = distribution.sample(parameters, [1, 2])
        log_prob = distribution.log_probs(parameters, sample)
    gradients = tape.gradient(log_prob, raw)
    for tensor in [sample, log_prob, *gradients]:
        assert np.all(np.isfinite(tensor)), name


# By mpmath, at parameters that float32 holds.
NEAR = {
    "gamma": (9204.544, 339.39453, 9195.804, 339.7206, 0.0167900901),
    "beta": (8159.8315, 5.2472715, 8153.6772, 5.2514329, 6.44599744e-6),
    "poisson": (8159.8315, 8161.3003, 1.32169864e-4),
}


@eager_and_slow_xla
@pytest.mark.parametrize("name", [*NEAR, "dirichlet"])
def test_divergence_of_near_ones_of_large_parameters(name, compiled):
    """Terms of some 70,000 cancel."""
    *numbers, exact = NEAR["beta" if name == "dirichlet" else name]
    numbers = tf.constant(numbers)
    q, p = tf.split(numbers, 2)
    if name != "dirichlet":
        q, p = tf.unstack(q), tf.unstack(p)
    else:
        q, p = [q], [p]
    found = compiled(tg.distributions.get(name).kl)(tuple(q), tuple(p))
    np.testing.assert_allclose(found, exact, atol=1e-5)


@pytest.mark.parametrize("size", [0.7, 60.0])
@pytest.mark.parametrize("name", ["gamma", "beta", "poisson", "von_mises"])
def test_derivatives_of_divergences(name, size):
    """The first two, by differences."""
    count = 1 if name == "poisson" else 2

    def divergence(numbers):
        q, p = tf.split(numbers, 2)
        kl = tg.distributions.get(name).kl
        return kl(tuple(tf.unstack(q)), tuple(tf.unstack(p)))

    def gradient(numbers):
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            value = divergence(numbers)
        return tape.gradient(value, numbers)

    numbers = np.resize([1.0, 1.3, 0.8, 1.1], 2 * count) * size
    for function in (divergence, gradient):
        found, exact = tf.test.compute_gradient(
            function, [tf.constant(numbers)], delta=1e-4
        )
        np.testing.assert_allclose(found[0], exact[0], rtol=1e-5, atol=1e-7)


def test_the_curvature_of_a_divergence_is_the_information():
    """Of Laplace variables, where the divergence is zero and |μ - μ'| bends."""
    prior, moved = tf.constant([0.3, 2.0]), tf.Variable([0.3, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        with tf.GradientTape() as inner:
            q, p = (tuple(tf.unstack(x)) for x in (moved, prior))
            value = tg.distributions.Laplace().kl(q, p)
        gradient = tf.unstack(inner.gradient(value, moved))
    np.testing.assert_allclose([value, *gradient], 0.0, atol=1e-7)
    hessian = [tape.gradient(entry, moved) for entry in gradient]
    np.testing.assert_allclose(hessian, np.eye(2) / 4.0, atol=1e-6)


def test_a_prior_of_fewer_axes_gets_a_gradient_of_its_own():
    q, p = tf.constant([[1.0, 2.0]]), tf.constant([1.2])
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = tg.distributions.Poisson().kl((q,), (p,))
    np.testing.assert_allclose(tape.gradient(value, p), [2.0 - 3.0 / 1.2], 1e-5)
    assert value.shape == (1, 2)


def test_divergence_of_rates_that_are_far_apart():
    poisson = tg.distributions.Poisson()
    log_rates = tf.constant([-30.0, 30.0]), tf.constant([30.0, -30.0])
    with tf.GradientTape() as tape:
        tape.watch(log_rates)
        value = poisson.kl(*map(poisson.constrain, log_rates))
    q, p = (np.exp(np.asarray(log_rate, float)) for log_rate in log_rates)
    exact = q * np.log(q / p), p - q
    for found, expected in zip(
        tape.gradient(value, log_rates), exact, strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "sample"),
    [
        ("beta", (30_000.0, 39_000.0), 0.436),
        ("weibull", (913.49890, 4657.8340), 4651.5024),
        ("poisson", (6215.6929,), 6142.0),
        ("binomial", (9850.0, 0.0035661845), 4890.0),
        ("binomial", (3102.0, 2660.1577), 3102.0),
        ("binomial", (1e6, 2.0), 880_797.0),
        ("inverse_gaussian", (1e-3, 1e6), 9.9981e-4),
    ],
)
def test_log_probability_where_large_terms_cancel(name, parameters, sample):
    parameters = tuple(map(tf.constant, parameters))
    distribution = tg.distributions.get(name)
    found = tf.function(distribution.log_probs)(parameters, tf.constant(sample))
    first, *rest = map(float, parameters)
    peer = {
        "beta": lambda other: scipy.stats.beta(first, other),
        "weibull": lambda scale: scipy.stats.weibull_min(first, scale=scale),
        "poisson": lambda: scipy.stats.poisson(first),
        "binomial": lambda logits: scipy.stats.binom(
            first, scipy.special.expit(logits)
        ),
        "inverse_gaussian": lambda shape: scipy.stats.invgauss(
            first / shape, scale=shape
        ),
    }[name](*rest)
    whole = name in ("poisson", "binomial")
    exact = peer.logpmf if whole else peer.logpdf
    np.testing.assert_allclose(
        found, exact(float(np.float32(sample))), rtol=3e-4, atol=1e-6
    )


@pytest.mark.parametrize("count", [15.0, 17.0, 40.0, 300.0])
def test_counts_in_double_precision(count):
    rate = np.float64(1.25 * count)
    poisson = tg.distributions.Poisson()
    found = poisson.log_probs((tf.constant(rate),), tf.constant(count))
    exact = scipy.stats.poisson(rate).logpmf(count)
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    q, p = ((tf.constant(x), tf.ones([], x.dtype)) for x in (rate, rate / 1.5))
    found = tg.distributions.Gamma().kl(q, p)
    exact = rate / 3 * scipy.special.digamma(rate)
    exact += scipy.special.gammaln(rate / 1.5) - scipy.special.gammaln(rate)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("location", "scale"),
    [(-30.0, 0.02), (-3.0, 0.02), (0.25, 0.7), (0.5, 40.0), (8.0, 0.02)],
)
@pytest.mark.parametrize("bounds", [(0, np.inf), (-np.inf, 1), (-1, 1.5)])
def test_truncated_normals_of_other_sizes_than_their_bounds(
    bounds, location, scale
):
    """Log-probability and mean, and their gradients by differences."""
    distribution = tg.distributions.TruncatedNormal(bounds=bounds)
    parameters = tuple(map(tf.constant, (location, scale)))
    sample = distribution.sample(parameters, [1, 2])

    def exact(location, scale):
        low, high = ((bound - location) / scale for bound in bounds)
        peer = scipy.stats.truncnorm(low, high, location, scale)
        return np.array([peer.logpdf(float(sample)), peer.mean()])

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(parameters)
        log_prob = distribution.log_probs(parameters, sample)
        mean = distribution.mean(parameters)
    location, scale = map(float, parameters)
    expected = exact(location, scale)
    np.testing.assert_allclose([log_prob, mean], expected, rtol=1e-5, atol=1e-5)
    found = [tape.gradient(value, parameters) for value in (log_prob, mean)]
    h = 1e-5
    expected = [
        exact(location + h, scale) - exact(location - h, scale),
        exact(location, scale + h) - exact(location, scale - h),
    ]
    expected = np.transpose(expected) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=5e-4)


def test_a_truncated_normal_has_no_density_beyond_its_bounds():
    distribution = tg.distributions.TruncatedNormal(bounds=(-1, 1.5))
    parameters, sample = (tf.zeros(2), tf.ones(2)), tf.constant([-1.1, 1.6])
    assert np.all(distribution.log_probs(parameters, sample) == -np.inf)


def test_the_score_of_a_gamma_variable_that_is_lost_to_rounding():
    """At zero: E z - z in the rate."""
    rate = tf.constant([2.0])
    with tf.GradientTape() as tape:
        tape.watch(rate)
        gamma = tg.distributions.Gamma()
        log_prob = gamma.log_probs((tf.constant([3.0]), rate), tf.zeros(1))
    np.testing.assert_allclose(tape.gradient(log_prob, rate), [1.5], rtol=1e-6)


def test_the_axis_of_the_categories_is_in_the_configuration():
    turned = tg.distributions.Categorical(axis=1)
    again = tg.distributions.get(tg.distributions.serialize(turned))
    assert again.axis == 1


def test_a_count_is_one_number_for_each_variable():
    binomial = tg.distributions.Binomial()
    found = binomial.flatten((tf.constant(5), tf.zeros([2, 3])))
    np.testing.assert_array_equal(found, [[5, 5, 5, 0, 0, 0]] * 2)


def test_angles_of_hardly_any_concentration():
    """The slope of A is 1/2 there, and that of the divergence A' (κ - κ')."""
    location, concentration = tf.constant(0.5), tf.constant(1e-6)
    prior = location, tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        q = location, concentration
        divergence = tg.distributions.VonMises().kl(q, prior)
    slope = tape.gradient(divergence, concentration)
    np.testing.assert_allclose(slope, -1.0, rtol=1e-3)


@pytest.mark.parametrize("concentration", [15.0, 30.0, 5e3, 1e5])
def test_concentrated_angles(concentration):
    """Nearly a Gaussian of the variance 1 / κ, up to terms in 1 / κ."""
    distribution = tg.distributions.VonMises()
    parameters = tuple(map(tf.constant, (0.5, concentration)))
    prior = tuple(map(tf.constant, (0.0, 1e-6)))
    sample = np.float32(0.5 + 2.0 / np.sqrt(concentration))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(parameters)
        divergence = distribution.kl(parameters, prior)
        log_prob = distribution.log_probs(parameters, tf.constant(sample))
    scores = [tape.gradient(v, parameters[1]) for v in (divergence, log_prob)]
    mean = scipy.special.i1e(concentration) / scipy.special.i0e(concentration)
    slope = 1.0 - mean / concentration - mean**2  # of the mean cosine
    exact = [concentration * slope, np.cos(np.float64(sample) - 0.5) - mean]
    np.testing.assert_allclose(scores, exact, rtol=1e-3)
    entropy = scipy.stats.vonmises(concentration).entropy()
    exact = np.log(2.0 * np.pi) - entropy
    np.testing.assert_allclose(divergence, exact, rtol=1e-5)


@pytest.mark.full
@every
@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_double_precision_in_a_graph(case, jit):
    if jit and not case.distribution.compiles:
        pytest.skip("its sampler has no kernel")

    @tf.function(jit_compile=jit)
    def log_prob():
        parameters = constrained(case, 2, "float64")
        sample = case.distribution.sample(parameters, [1, 2])
        return case.distribution.log_prob(parameters, sample)

    assert log_prob().dtype == tf.float64


@every
def test_parameters_are_brought_to_one_precision(case):
    """As where one is a NumPy array and the other comes from a network."""
    raw = tiled(case, 2)
    if not isinstance(raw, tuple):
        pytest.skip("has one parameter")
    first, *others = raw
    raw = [first, *(np.asarray(part, "float64") for part in others)]
    expected = constrained(case, 2)
    found = case.distribution.constrain(tuple(raw))
    assert {part.dtype for part in found} == {tf.float64}
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    case.distribution.log_prob(found, case.distribution.sample(found, [1, 2]))


@pytest.mark.parametrize("name", ["gamma", "beta", "dirichlet", "student_t"])
def test_a_second_derivative_that_is_not_there_is_refused_by_name(name):
    """TensorFlow's error is about an operation, RandomGammaGrad."""
    parameters = constrained(BY_ID[name], 2)
    distribution = tg.distributions.get(name)
    with tf.GradientTape() as outer, tf.GradientTape() as tape:
        outer.watch(parameters)
        tape.watch(parameters)
        sample = distribution.reparameterize(parameters, [1, 2])
        gradient = tape.gradient(sample, parameters[0])
    with pytest.raises(LookupError, match="Dirichlet .* no second one"):
        outer.gradient(gradient, parameters[0])


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "permutation"])
def test_relaxed_samples_in_double_precision(name):
    distribution = tg.distributions.get(name)
    parameters = distribution.constrain(tf.zeros([1, 3], tf.float64))
    noise = distribution.noise(parameters, [1, 2])
    relaxed = distribution.soften(distribution.perturb(parameters, noise), 0.5)
    assert relaxed.dtype == tf.float64


WHOLE = [case for case in CASES if case.whole]


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.id)
def test_whole_numbers_may_be_integers(case):
    """As the data are whose probability is asked for."""
    parameters = constrained(case, 5)
    sample = case.distribution.sample(parameters, [5, 6])
    expected = case.distribution.log_prob(parameters, sample)
    for integers in (tf.cast(sample, tf.int32), np.asarray(sample, int)):
        found = case.distribution.log_prob(parameters, integers)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "shape", "sample"),
    [
        ("categorical", (3, 3), (3,)),  # of indices
        ("bernoulli", (4, 1), (4,)),
        ("poisson", (4, 2), (5, 4, 2)),  # whose first axis is no batch
        ("permutation", (3, 3), (3, 3)),
    ],
)
def test_a_sample_with_more_or_fewer_axes_is_refused(name, shape, sample):
    """It would be broadcast, and be wrong."""
    law = tg.distributions.get(name)
    parameters = law.constrain(tf.zeros(shape))
    with pytest.raises(ValueError, match=f"a sample of '{name}' has"):
        law.log_prob(parameters, np.zeros(sample))


@pytest.mark.parametrize("name", ["gaussian", "categorical", "subset"])
def test_a_sample_by_numpy_needs_no_shape(name):
    """As from a replay buffer: `tf.numpy_function` forgets it, in a graph."""
    q = tg.distributions.get(name, **{"k": 1} if name == "subset" else {})
    raw = tf.constant([[0.3, -0.5, 0.1], [0.1, 0.2, -0.4]])
    parameters = q.constrain((raw, raw) if name == "gaussian" else raw)
    sample = q.sample(parameters, [1, 2])

    @tf.function(autograph=False)
    def found():
        again = tf.numpy_function(lambda z: z, [sample], tf.float32)
        return q.log_prob(parameters, again)

    np.testing.assert_array_equal(found(), q.log_prob(parameters, sample))


def test_fixed_parameters_receive_no_gradient():
    raw = tiled(BY_ID["gamma"], 3)
    distribution = tg.distributions.Gamma(fixed="concentration")
    with tf.GradientTape() as tape:
        tape.watch(raw)
        parameters = distribution.constrain(raw)
        sample = distribution.reparameterize(parameters, [1, 2])
        value = sample + distribution.log_probs(parameters, sample)
    concentration, rate = tape.gradient(value, raw)
    assert concentration is None and np.all(np.isfinite(rate))
    assert distribution.learned() == ["rate"]


# The register


def test_ten_lines_of_a_users_own_work_at_every_door():
    """The example of `register`, whose docstring is run too."""

    @tg.distributions.register("rayleigh_of_a_test")
    class Rayleigh(tg.distributions.Distribution):
        parameters = {"scale": tg.distributions.positive}

        def reparameterize(self, parameters, seed):
            (scale,) = parameters
            noise = tg.random.exponential(tf.shape(scale), seed)
            return scale * tf.sqrt(2.0 * noise)

        def log_probs(self, parameters, sample):
            ratio = sample / parameters[0]
            return tf.math.log(ratio / parameters[0]) - ratio**2 / 2

        def mean(self, parameters):
            return parameters[0] * np.sqrt(np.pi / 2)

        def mode(self, parameters):
            return parameters[0]

    try:
        check_every_door("rayleigh_of_a_test")
    finally:
        from tfgumbel.distributions import _register

        del _register._REGISTER["rayleigh_of_a_test"]


def check_every_door(name):
    raw = tf.fill([50_000, 1], 0.4)
    scale = float(tf.nn.softplus(0.4))
    z = tg.ImplicitReparam(name, seed=1)(raw, training=True).numpy()
    assert_mean(z[:, 0], scale * np.sqrt(np.pi / 2), smallest_bias=0.02)
    sampler = tg.ReinforceSampler(name, None, return_log_prob=True, seed=2)
    z, log_prob = sampler(raw, training=True)
    expected = scipy.stats.rayleigh(scale=scale).logpdf(z[:, 0])
    np.testing.assert_allclose(log_prob, expected, rtol=1e-3, atol=1e-4)
    # d/draw E z² = d/draw 2 σ².
    slope = 4 * scale * float(tf.sigmoid(0.4))
    for estimator in tg.estimators.available(name):
        cost = tg.ExpectedCost(
            lambda z: z[:, 0] ** 2, estimator, distribution=name, seed=3
        )
        if cost.estimator.objective != "expected cost":
            continue
        with tf.GradientTape() as tape:
            tape.watch(raw)
            value = cost(raw, training=True)
        gradient = tape.gradient(value, raw).numpy()[:, 0]
        assert_mean(gradient, slope, smallest_bias=0.5)
    divergence = tg.KLDivergence(name, 1.0, seed=4)
    found = divergence.divergence(raw, training=True).numpy()[:, 0]
    assert_mean(found, scale**2 - 1 - 2 * np.log(scale), smallest_bias=0.05)


def test_names_are_taken_once():
    with pytest.raises(ValueError, match="'gamma' is taken by"):
        tg.distributions.register("gamma")(tg.distributions.Poisson)
    with pytest.raises(TypeError, match="subclasses of `Distribution`"):
        tg.distributions.register("number")(int)


@pytest.mark.parametrize(
    ("identifier", "options", "error", "message"),
    [
        ("cauchy", {}, ValueError, "'beta'.*Received: distribution='cauchy'"),
        (3, {}, TypeError, "distribution=3"),
        (None, {}, TypeError, "distribution=None"),
        ("gamma", {"bounds": (0, 1)}, TypeError, "`bounds`.*'gamma'.*fixed"),
        ("gamma", {"fixed": "scale"}, ValueError, "`fixed`.*'rate'.*'scale'"),
        ("gaussian", {"parameterization": "best"}, ValueError, "'tril'.*best"),
        (
            tg.distributions.Gamma(),
            {"fixed": "rate"},
            ValueError,
            "`fixed` is an option",
        ),
    ],
)
def test_bad_identifiers(identifier, options, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        tg.distributions.get(identifier, **options)


@pytest.mark.parametrize(
    ("name", "inputs", "error", "message"),
    [
        ("gamma", tf.ones([2, 3]), ValueError, r"\(concentration, rate\).*1 t"),
        (
            "gamma",
            (tf.ones([2, 3]), tf.ones([2, 4])),
            ValueError,
            "rate of shape .2, 4.*of shape .2, 3",
        ),
        ("poisson", tf.ones([2], tf.int32), TypeError, "`log_rate`.*int32"),
        ("poisson", 0.3, TypeError, "`log_rate` must be a tensor"),
        ("dirichlet", tf.ones([2, 1]), ValueError, "`concentration`.*2 cat"),
        (
            "binomial",
            (tf.ones([3]), tf.ones([2, 2])),
            ValueError,
            "`total_count` must broadcast",
        ),
        ("gaussian", tf.ones([2, 3]), ValueError, r"pair \(mean, scale\)"),
    ],
)
def test_bad_parameters(name, inputs, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        tg.distributions.get(name).constrain(inputs)


@pytest.mark.parametrize("name", ["", 3, None])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(TypeError, match="`name` must be a string"):
        tg.distributions.register(name)
