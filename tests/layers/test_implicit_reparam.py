"""ImplicitReparam: law, gradient, density and divergence, by scipy."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_distribution, assert_mean
from tests.layers.continuous import (
    BOUNDS,
    CASES,
    continuous_cases,
    softplus,
    tiled,
    unconstrained,
    variable,
)

every = continuous_cases()
COUNT = 20_000


def layer_of(case, **kwargs):
    return tg.ImplicitReparam(case.name, seed=3, **case.kwargs, **kwargs)


@every
def test_samples_follow_the_law(case):
    z = layer_of(case)(tiled(case, COUNT), training=True)
    for index, column in enumerate(np.asarray(z).T):
        uniform = variable(case, index).cdf(column.astype("float64"))
        assert_distribution(uniform, scipy.stats.uniform.cdf)


def quantiles_slope(case, inputs, which, z, entry=...):
    """Central difference of the quantile function at z in one input.

    The quantile, where F(·; φ ± h) is what F(z; φ) was, by Newton's method
    from z.
    """
    h, moved = 1e-5, []
    target = case.law(*case.natural([np.array(x) for x in inputs])).cdf(z)
    for sign in (1, -1):
        arrays = [np.array(x) for x in inputs]
        arrays[which][entry] += sign * h
        law = case.law(*case.natural(arrays))
        x = z
        for _ in range(5):
            x = x - (law.cdf(x) - target) / np.exp(law.logpdf(x))
        moved.append(x)
    return (moved[0] - moved[1]) / (2 * h)


def sample_and_gradients(case, count):
    inputs = tiled(case, count, "float64")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = layer_of(case, dtype="float64")(inputs, training=True)
    return inputs, z.numpy(), tape.gradient(z, inputs)


@continuous_cases(lambda c: c.implicit and c.name != "mixture")
def test_gradient_is_that_of_the_quantile_function(case):
    inputs, z, gradients = sample_and_gradients(case, 200)
    # Where the cdf is rounded, so is its difference.
    law = case.law(*case.natural([x.numpy() for x in inputs]))
    inside = np.abs(law.cdf(z) - 0.5) < 0.4999
    for i, gradient in enumerate(gradients):
        expected = quantiles_slope(case, inputs, i, z)
        np.testing.assert_allclose(
            gradient[inside], expected[inside], rtol=2e-5, atol=1e-7
        )


def test_gradient_of_a_mixture_is_that_of_its_quantile_function():
    (case,) = (c for c in CASES if c.name == "mixture")
    inputs, z, gradients = sample_and_gradients(case, 100)
    for i, gradient in enumerate(gradients):
        for k in range(3):
            expected = quantiles_slope(case, inputs, i, z, np.s_[..., k])
            np.testing.assert_allclose(
                gradient[..., k], expected, rtol=1e-5, atol=1e-6
            )


def second_moment_of_beta(a, b):
    return a * (a + 1) / ((a + b) * (a + b + 1))


def second_moment_of_student_t(df, location, scale):
    return location**2 + scale**2 * df / (df - 2)


def second_moment_of_dirichlet(concentration):
    total = concentration.sum(-1, keepdims=True)
    a = concentration[..., :1]
    return a * (a + 1) / (total * (total + 1))


MOMENTS = {
    "beta": (second_moment_of_beta, ([0.5, 3.0], [1.5, 2.0]), [0.01] * 2),
    "student_t": (
        second_moment_of_student_t,
        ([6.0, 7.0], [-0.5, 0.2], [1.0, 1.0]),
        [0.04, 0.1, 0.1],
    ),
    "dirichlet": (second_moment_of_dirichlet, ([[0.4, 1.0, 3.0]],), [0.01]),
}


# The cost, its expectation, natural parameters, and which one is moved.
CURVED = {
    "inverse_gaussian": (
        tf.square,
        lambda mean, shape: mean**2 + mean**3 / shape,
        ([0.8], [1.0]),
        1,
    ),
    "von_mises": (
        tf.cos,
        lambda location, concentration: (
            scipy.special.i1e(concentration) / scipy.special.i0e(concentration)
        ),
        ([0.0], [0.9]),
        1,
    ),
    "mixture": (
        tf.square,
        lambda logits, mean, stddev: (
            scipy.special.softmax(logits) @ (mean**2 + stddev**2)
        ),
        ([1.4, -0.3], [2.0, -0.5], [0.5, 1.0]),
        0,
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("name", CURVED)
def test_second_derivative_of_an_expectation(name):
    """Samples move as quantiles do, and not as they were drawn."""
    cost, expected, natural, which = CURVED[name]
    distribution = tg.distributions.get(name)
    parameters = [tf.constant([p] * 100_000, tf.float32) for p in natural]
    moved = parameters[which]
    draw = tf.function(lambda *p: distribution.reparameterize(p, [1, 2]))
    with tf.GradientTape() as outer:
        outer.watch(moved)
        with tf.GradientTape() as inner:
            inner.watch(moved)
            value = cost(draw(*parameters))
        slope = inner.gradient(value, moved)[:, 0]
    found = outer.gradient(slope, moved)[:, 0]
    step = np.zeros(len(natural[which]))
    step[0] = 1e-3
    around = [
        expected(
            *(
                np.array(p) + sign * step * (i == which)
                for i, p in enumerate(natural)
            )
        )
        for sign in (1, 0, -1)
    ]
    exact = (around[0] - 2 * around[1] + around[2]) / 1e-6
    assert_mean(found, np.squeeze(exact), smallest_bias=0.2 * abs(exact).max())


@pytest.mark.full
@pytest.mark.parametrize("name", MOMENTS)
def test_gradient_of_the_second_moment(name):
    """Of z², and for a Dirichlet sample of its first entry, in expectation."""
    moment, natural, smallest_biases = MOMENTS[name]
    location = 1 if name == "student_t" else None
    raw = [
        np.array(value) if i == location else unconstrained(value)
        for i, value in enumerate(natural)
    ]

    def expected_moment(raw):
        return moment(
            *(x if i == location else softplus(x) for i, x in enumerate(raw))
        )

    inputs = [tf.constant(np.stack([x] * 100_000), tf.float32) for x in raw]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = tg.ImplicitReparam(name, seed=5)(inputs, training=True)
        value = z[..., :1] if name == "dirichlet" else z
        value = tf.square(value)
    gradients = tape.gradient(value, inputs)
    assert_mean(value, expected_moment(raw), smallest_bias=0.1)
    for i, gradient in enumerate(gradients):
        expected = np.zeros_like(raw[i])
        for entry in np.ndindex(raw[i].shape):
            h = np.zeros_like(raw[i])
            h[entry] = 1e-5
            plus, minus = (
                expected_moment([*raw[:i], raw[i] + s * h, *raw[i + 1 :]])
                for s in (1, -1)
            )
            expected[entry] = np.sum(plus - minus) / 2e-5
        assert_mean(gradient, expected, smallest_biases[i])


@every
def test_log_prob_is_the_density(case):
    layer = layer_of(case)
    inputs = tiled(case, 50)
    z = layer(inputs, training=True)
    natural = case.natural([x.numpy().astype("float64") for x in inputs])
    expected = case.law(*natural).logpdf(np.asarray(z, np.float64))
    np.testing.assert_allclose(
        layer.log_prob(inputs, z), expected, rtol=1e-4, atol=2e-4
    )


def test_dirichlet_of_two_is_beta():
    """Mean, density and divergence."""
    (case,) = (c for c in CASES if c.name == "beta")
    pair = tiled(case, 4)
    both = tf.stack(pair, axis=-1)
    beta, dirichlet = (tg.ImplicitReparam(n) for n in ("beta", "dirichlet"))
    np.testing.assert_allclose(dirichlet(both)[..., 0], beta(pair), rtol=1e-6)
    z = tf.fill([4, 3], 0.3)
    np.testing.assert_allclose(
        dirichlet.log_prob(both, tf.stack([z, 1 - z], axis=-1)),
        beta.log_prob(pair, z),
        rtol=1e-5,
    )
    divergences = [tg.KLDivergence("beta", case.prior)]
    divergences.append(tg.KLDivergence("dirichlet", (list(case.prior),)))
    np.testing.assert_allclose(
        divergences[1].divergence(both),
        divergences[0].divergence(pair),
        rtol=1e-5,
    )


@every
def test_inference_without_a_sample(case):
    inputs = tiled(case, 2)
    layer = layer_of(case)
    center = [variable(case, i).mean() for i in range(len(layer(inputs)[0]))]
    if case.name == "logistic_normal":
        assert layer.inference == "median"
        center = tf.sigmoid(inputs[0][0])
    if case.name in ("von_mises", "student_t"):
        center = case.mode
    np.testing.assert_allclose(layer(inputs)[0], center, rtol=2e-5)
    if case.mode is not None:
        mode = layer_of(case, inference="mode")(inputs)
        np.testing.assert_allclose(mode[0], case.mode, rtol=2e-5, atol=1e-6)
        assert_no_higher_neighbour(case)


def assert_no_higher_neighbour(case):
    low, high = case.support
    for i, mode in enumerate(case.mode):
        law = variable(case, i)
        for z in (mode - 1e-2, mode + 1e-2):
            if mode > 0 and low < z < high:
                assert law.logpdf(np.array(z)) < law.logpdf(np.array(mode))


SUPPORTS = {
    "truncated_normal": BOUNDS,
    **dict.fromkeys(("gamma", "exponential", "weibull"), (0.0, np.inf)),
    **dict.fromkeys(("beta", "kumaraswamy", "dirichlet"), (0.0, 1.0)),
    "inverse_gaussian": (0.0, np.inf),
    "logistic_normal": (0.0, 1.0),
}
EXTREMES = [-np.inf, -1e30, -1e4, -100.0, -10.0, 0.0, 10.0, 100.0, 1e4, np.inf]


@pytest.mark.parametrize(
    "name", [c.name for c in CASES] + ["dirichlet", "exponential", "weibull"]
)
def test_extreme_inputs_give_finite_samples_densities_and_gradients(name):
    kwargs = {"bounds": BOUNDS} if name == "truncated_normal" else {}
    layer = tg.ImplicitReparam(name, seed=6, **kwargs)
    divergence = tg.KLDivergence(name, seed=6, **kwargs)
    count = len(layer.distribution.parameters)
    grid = np.stack(np.meshgrid(*[EXTREMES] * count), -1).reshape(-1, count)
    last = 4 if name in ("mixture", "dirichlet") else 20
    inputs = [
        tf.constant(np.resize(column, (len(grid) // last * last,)), "float32")
        for column in grid.T
    ]
    inputs = [tf.reshape(x, [-1, last]) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = layer(inputs, training=True)
        density = layer.log_prob(inputs, z)
        values = [z, density, divergence.divergence(inputs)]
        values.append(layer(inputs, training=False))
        total = tf.add_n([tf.reduce_sum(value) for value in values[:3]])
    for tensor in [*values, *tape.gradient(total, inputs)]:
        assert np.all(np.isfinite(tensor))
    low, high = SUPPORTS.get(name, (-np.inf, np.inf))
    assert np.all((z > low) & (z < high))


def test_small_concentrations_keep_to_the_support():
    """Samples of Gamma(0.01, 1) underflow in float32 more often than not."""
    inputs = [tf.fill([2000, 3], float(unconstrained(0.01)))]
    gamma = tg.ImplicitReparam("gamma", seed=1)
    z = gamma([inputs[0], tf.fill([2000, 3], 0.5413)], training=True)
    tiny = np.finfo("float32").tiny
    assert 0.3 < np.mean(z < 2 * tiny) < 0.6  # P(z < tiny) = 0.42
    z = tg.ImplicitReparam("dirichlet", seed=1)(inputs, training=True).numpy()
    assert np.all((z > 0) & (z < 1))
    np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-6)


# Those with loops of their own; the others, on demand.
UNDER_XLA = ("gamma", "von_mises", "truncated_normal")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.exhaustive] * (name not in UNDER_XLA)
        )
        for name in [*(c.name for c in CASES), "dirichlet"]
    ],
)
def test_xla_equals_a_graph_in_law_and_gradient(name):
    """The noise differs: the mean, and the mean gradient, do not."""
    kwargs = {"bounds": BOUNDS} if name == "truncated_normal" else {}
    layer = tg.ImplicitReparam(name, seed=6, **kwargs)
    count = len(layer.distribution.parameters)
    shape = [20_000, 3]
    inputs = [tf.fill(shape, 2.0 - 0.5 * i) for i in range(count)]
    results = []
    for jit_compile in (False, True):

        @tf.function(jit_compile=jit_compile)
        def values():
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                z = layer(inputs, training=True)
                cost = tf.math.tanh(z) + 0.1 * tf.math.tanh(z / 3) ** 2
            return [z, layer.log_prob(inputs, z), *tape.gradient(cost, inputs)]

        results.append([tf.reshape(v, [20_000, -1]) for v in values()])
    for graph, xla in zip(*results, strict=True):
        assert np.all(np.isfinite(xla))
        error = np.sqrt((np.var(graph, 0) + np.var(xla, 0)) / 20_000)
        assert np.all(error < 0.1)
        difference = np.mean(graph, 0) - np.mean(xla, 0)
        assert np.all(np.abs(difference) < 5 * error + 1e-6)


def test_replicas_draw_different_samples(strategy):
    with strategy.scope():
        layer = tg.ImplicitReparam("gamma", seed=1)

    @tf.function
    def draw():
        return layer([tf.ones([2, 3])] * 2, training=True)

    first, second = strategy.experimental_local_results(strategy.run(draw))
    assert not np.any(first.numpy() == second.numpy())


@pytest.mark.full
def test_fit_learns_a_gamma_variable():
    """KL is least at the prior, whose mean is 3 / 2."""
    x = keras.Input((1,))
    inputs = [keras.layers.Dense(4)(x), keras.layers.Dense(4)(x)]
    inputs = tg.KLDivergence("gamma", prior=(3.0, 2.0))(inputs)
    model = keras.Model(x, tg.ImplicitReparam("gamma", seed=1)(inputs))
    model.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    model.fit(np.ones((960, 1)), batch_size=8, verbose=0)
    np.testing.assert_allclose(model(np.ones((1, 1))), 1.5, rtol=0.1)


@pytest.mark.parametrize("layer", [tg.ImplicitReparam, tg.KLDivergence])
@pytest.mark.parametrize(
    ("name", "kwargs", "error", "message"),
    [
        ("cauchy", {}, ValueError, "'beta'.*'gamma'.*Received: .*'cauchy'"),
        ("gamma", {"bounds": (0, 1)}, TypeError, "`bounds`.*'gamma'"),
        ("truncated_normal", {}, ValueError, "`bounds`.*Received: bounds=None"),
        (
            "truncated_normal",
            {"bounds": (1, 1)},
            ValueError,
            r"low < high.*\(1, 1\)",
        ),
    ],
)
def test_bad_distributions_are_refused(layer, name, kwargs, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        layer(name, **kwargs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poisson", "ExpectedCost.*'measure_valued'.*'poisson'"),
        ("categorical", "ExpectedCost.*'rebar'.*'categorical'"),
    ],
)
def test_discrete_distributions_are_refused(name, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        tg.ImplicitReparam(name)


def test_bad_inputs_are_refused():
    gamma = tg.ImplicitReparam("gamma")
    with pytest.raises(ValueError, match=r"\(concentration, rate\).*1 tensor"):
        gamma(tf.ones([2, 3]))
    with pytest.raises(ValueError, match="rate of shape .2, 4.*of shape .2, 3"):
        gamma([tf.ones([2, 3]), tf.ones([2, 4])])
    with pytest.raises(ValueError, match="`concentration` .*2 categories"):
        tg.ImplicitReparam("dirichlet")(tf.ones([2, 1]))
