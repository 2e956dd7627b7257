"""KLDivergence: closed forms and estimates against quadrature."""

import json

import keras
import numpy as np
import pytest
import scipy.integrate
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.layers.continuous import CASES, continuous_cases, tiled, variable

COUNT = 20_000


def exact_divergence(case, index):
    """By quadrature."""
    q = variable(case, index)
    prior = case.law(*(np.asarray(p) for p in case.prior))

    def integrand(z):
        z = np.array(z)
        log_q = q.logpdf(z)
        if log_q < -500:
            return 0.0
        return np.exp(log_q) * (log_q - prior.logpdf(z))

    low, high = case.support
    cuts = [low, high]
    if np.isinf(high):
        cuts = [low, 0.0, 1.0, high] if np.isinf(low) else [low, 1.0, high]
    elif high == 1.0:
        cuts = [0.0, 0.5, 1.0]
    elif case.name == "mixture":
        cuts = [-40.0, -5.0, -1.0, 0.5, 3.0, 40.0]
    elif case.name == "gamma":
        cuts = [low, 1e-3, 1.0, 3.0, 6.0, high]
    return sum(
        scipy.integrate.quad(integrand, a, b, limit=200, epsabs=1e-7)[0]
        for a, b in zip(cuts, cuts[1:], strict=False)
    )


@continuous_cases()
def test_divergence_is_the_integral(case):
    """In closed form to rounding, else in expectation."""
    exact = [exact_divergence(case, i) for i in range(len(case.inputs[0]))]
    layer = tg.KLDivergence(case.name, case.prior, seed=4, **case.kwargs)
    if case.analytic:
        divergence = layer.divergence(tiled(case, 1))[0]
        np.testing.assert_allclose(divergence, exact, rtol=1e-4, atol=1e-5)
    else:
        estimates = layer.divergence(tiled(case, COUNT))
        assert_mean(estimates, exact, smallest_bias=0.1)


@pytest.mark.full
def test_samples_of_the_estimate_are_averaged():
    (case,) = (c for c in CASES if c.name == "student_t")
    spread = [
        np.std(
            tg.KLDivergence(
                case.name, case.prior, samples=samples, seed=4
            ).divergence(tiled(case, 2000)),
            axis=0,
        )
        for samples in (1, 16)
    ]
    np.testing.assert_allclose(spread[0] / spread[1], 4.0, rtol=0.2)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ((1.0,), r"\(concentration, rate\).*Received: prior=\(1.0,\)"),
        (2.0, "Received: prior=2.0"),
        ((1.0, 0.0), "rate .*positive.*Received"),
        ((np.inf, 1.0), "concentration .*positive"),
        ((np.nan, 1.0), "must hold no NaN"),
    ],
)
def test_bad_priors_are_refused(prior, message):
    with pytest.raises(ValueError, match=message):
        tg.KLDivergence("gamma", prior=prior)


# Free bits and capacity

RNG = np.random.default_rng(8)
MEAN = RNG.normal(size=(5, 6)).astype("float32")
LOG_VARIANCE = RNG.normal(size=(5, 6)).astype("float32")
EACH = (np.exp(LOG_VARIANCE) + MEAN**2 - 1 - LOG_VARIANCE) / 2
LAYERS = {
    "gaussian": (tg.GaussianKL, (MEAN, LOG_VARIANCE)),
    "bernoulli": (tg.BernoulliKL, MEAN),
    "categorical": (tg.CategoricalKL, MEAN.reshape(5, 2, 3)),
    "laplace": (lambda **k: tg.KLDivergence("laplace", **k), (MEAN, MEAN)),
    "estimated": (
        lambda **k: tg.KLDivergence("kumaraswamy", seed=3, **k),
        (MEAN, MEAN),
    ),
}


def loss_and_gradients(layer, inputs):
    inputs = tf.nest.map_structure(tf.constant, inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        layer(inputs, training=False)
        (loss,) = layer.losses
    gradients = tape.gradient(loss, tf.nest.flatten(inputs))
    return float(loss), np.stack([np.asarray(g) for g in gradients])


@pytest.mark.parametrize("name", LAYERS)
def test_extremes_of_free_bits_and_capacity(name):
    """None free, and a capacity of zero, is the plain divergence.

    All free, each group costs what it is given and learns nothing.
    """
    make, inputs = LAYERS[name]
    loss, gradients = loss_and_gradients(make(weight=0.7), inputs)
    free = {"free_bits": 0.0}, {"free_bits": 0.0, "groups": 1}
    for arguments in (*free, {"capacity": 0.0}):
        found = loss_and_gradients(make(weight=0.7, **arguments), inputs)
        assert found[0] == pytest.approx(abs(loss), rel=1e-6)
        np.testing.assert_allclose(found[1], gradients * np.sign(loss))
    for arguments, count in (({}, EACH.size // 5), ({"groups": 2}, 2)):
        if name == "categorical" and not arguments:
            count = 2
        layer = make(weight=0.7, free_bits=50.0, **arguments)
        found = loss_and_gradients(layer, inputs)
        assert found[0] == pytest.approx(0.7 * 50.0 * count, rel=1e-6)
        assert not np.any(found[1])


@pytest.mark.parametrize(
    ("groups", "free_bits"),
    [
        (None, 0.8),
        (None, [0.0, 0.4, 0.8, 1.2, 5.0, 0.0]),
        (1, 6.0),
        (2, 3.0),
        (3, [9.0, 0.0, 2.0]),
        (6, 0.8),
    ],
)
def test_free_bits_by_the_formula(groups, free_bits):
    """Σ_j max(λ_j, mean over the batch of KL_j), of neighbours in a group."""
    sums = EACH.reshape(5, groups or 6, -1).sum(axis=2).mean(axis=0)
    paid = sums > free_bits
    layer = tg.GaussianKL(free_bits=free_bits, groups=groups, weight=0.3)
    loss, gradients = loss_and_gradients(layer, (MEAN, LOG_VARIANCE))
    assert loss == pytest.approx(0.3 * np.maximum(free_bits, sums).sum())
    pays = np.repeat(paid, EACH.shape[1] // len(paid))
    slopes = MEAN, (np.exp(LOG_VARIANCE) - 1) / 2
    for found, slope in zip(gradients, slopes, strict=True):
        expected = 0.3 * slope / 5 * pays
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert groups == 1 or np.any(pays) and not np.all(pays)


@pytest.mark.parametrize("capacity", [1.0, 30.0])
def test_capacity_by_the_formula(capacity):
    """Below it the divergence is pushed up, above it down."""
    total = EACH.sum(axis=1).mean()
    layer = tg.GaussianKL(capacity=capacity, weight=0.3)
    loss, (found, _) = loss_and_gradients(layer, (MEAN, LOG_VARIANCE))
    assert loss == pytest.approx(0.3 * abs(total - capacity))
    sign = np.sign(total - capacity)
    np.testing.assert_allclose(found, 0.3 * sign * MEAN / 5, rtol=1e-5)
    layer.capacity = total
    assert loss_and_gradients(layer, (MEAN, LOG_VARIANCE))[0] < 1e-5


@pytest.mark.parametrize("shape", [(2, 5), (3, 3)])
def test_a_mask_of_another_shape_is_refused(shape):
    layer = tg.CategoricalKL()
    with pytest.raises(ValueError, match=r"`mask`.*\(2, 3\)"):
        layer(tf.zeros([2, 3, 4]), mask=tf.ones(shape, tf.bool))


def test_masked_steps_are_free():
    shape = (5, 3, 2)
    mask = np.arange(15).reshape(5, 3) % 4 != 1
    layer = tg.GaussianKL(free_bits=0.7, groups=3)
    parameters = MEAN.reshape(shape), LOG_VARIANCE.reshape(shape)
    layer(parameters, mask=mask)
    each = EACH.reshape(shape).sum(axis=2) * mask
    expected = np.maximum(0.7, each.mean(axis=0)).sum()
    assert float(layer.losses[0]) == pytest.approx(expected)


def test_a_mask_as_a_list_is_a_mask():
    """Of sequences, for a pair of two as well; not the first number in it."""
    mask = [[True, False, False], [True, True, False]]
    q = tf.constant(np.random.default_rng(1).normal(size=(2, 3, 4)))
    for inputs in (q, [q, tf.zeros_like(q)]):
        layer = tg.CategoricalKL()
        losses = []
        for given in (mask, np.array(mask)):
            layer(inputs, mask=given)
            losses.append(float(layer.losses[0]))
        assert losses[0] == losses[1]
        each = layer.divergence(inputs).numpy()
        expected = np.sum(each[np.array(mask)]) / 2
        assert losses[0] == pytest.approx(expected, rel=1e-6)


def test_a_mask_comes_from_any_parameter():
    """The size of a subset has none where its logits do."""
    tokens = keras.Input((4,), dtype="int32")
    size = keras.Input((4,), dtype="int32")
    embedding = keras.layers.Embedding(9, 5, "normal", mask_zero=True)
    logits = embedding(tokens)
    layer = tg.KLDivergence("subset")
    _, passed = layer((size, logits))
    sampler = tg.SubsetSampler(None)
    drawn = sampler((size, logits))
    model = keras.Model([tokens, size], [passed, drawn])
    given = np.array([[3, 5, 0, 0]]), np.array([[1, 2, 2, 1]])
    for output in model(given):
        np.testing.assert_array_equal(
            output._keras_mask, [[True, True, False, False]]
        )
    table = embedding.embeddings.numpy()
    each = layer.divergence((given[1], table[given[0]])).numpy()
    assert float(model.losses[0]) == pytest.approx(each[0, :2].sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (tg.CategoricalKL, "prior_logits"),
        (tg.BernoulliKL, "prior_logits"),
        (tg.GaussianKL, "prior_stddev"),
    ],
)
def test_the_prior_has_a_name_of_its_own(layer, name):
    with pytest.raises(TypeError, match=f"{name}.*Received: prior=0.1"):
        layer(prior=0.1)


def test_one_number_is_no_prior_of_categories():
    message = "`prior_logits` must be .* factor is `weight`.*prior_logits=0.1"
    with pytest.raises(ValueError, match=message):
        tg.CategoricalKL(0.1)


@pytest.mark.parametrize(
    ("name", "q", "p"),
    [("bernoulli", (4, 1), (4,)), ("categorical", (4, 3), (2, 3))],
)
def test_a_prior_that_is_given_does_not_widen_q(name, q, p):
    layer = tg.KLDivergence(name)
    with pytest.raises(ValueError, match=f"`p` must broadcast to .*{q[-1]}"):
        layer([tf.zeros(q), tf.zeros(p)])
    layer([tf.zeros(q), tf.zeros(q[-1:])])


def test_a_prior_that_is_given_may_be_of_another_precision():
    layer, q, p = tg.KLDivergence("gamma"), (MEAN, MEAN), (-MEAN, MEAN)
    q64 = tuple(part.astype("float64") for part in q)
    np.testing.assert_allclose(
        layer.divergence([q64, p]), layer.divergence([q, p]), rtol=1e-4
    )


def test_a_prior_that_is_given_learns_only_what_is_paid():
    prior = tf.zeros_like(MEAN), tf.zeros_like(MEAN)
    for free_bits, learns in ((1.0, True), (50.0, False)):
        layer = tg.GaussianKL(free_bits=free_bits, groups=1)
        with tf.GradientTape() as tape:
            tape.watch(prior)
            layer([(tf.constant(MEAN), tf.constant(LOG_VARIANCE)), prior])
            (loss,) = layer.losses
        gradient = tape.gradient(loss, prior[0])
        np.testing.assert_allclose(
            gradient, -MEAN / 5 * learns, rtol=1e-5, atol=1e-7
        )


@pytest.mark.full
def test_the_capacity_is_annealed():
    """By a schedule of its own, by a callback, by hand; and it is saved."""
    rises = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 8.0)
    layer = tg.GaussianKL(capacity=rises)
    seen = []
    for _ in range(3):
        layer((MEAN, LOG_VARIANCE), training=True)
        seen.append(float(layer.capacity))
    assert seen == [0.0, 2.0, 4.0]
    total = EACH.sum(axis=1).mean()
    assert float(layer.losses[0]) == pytest.approx(abs(total - 4.0), rel=1e-5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()

    x = keras.Input((6,))
    q = keras.layers.Dense(6)(x), keras.layers.Dense(6)(x)
    mean, _ = tg.GaussianKL(capacity=0.0, name="kl")(q)
    plain, _ = tg.GaussianKL(name="plain")(q)
    model = keras.Model(x, [mean, plain])
    model.compile("sgd")
    callback = tg.TemperatureScheduler(
        lambda step: 0.5 * step, attribute="capacity"
    )
    history = model.fit(
        MEAN, batch_size=1, epochs=2, verbose=0, callbacks=[callback]
    )
    assert history.history["kl_capacity"] == [2.0, 4.5]
    assert float(model.get_layer("kl").capacity) == 4.5
    assert model.get_layer("plain").capacity is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"free_bits": -0.1}, ValueError, "free_bits=-0.1"),
        ({"free_bits": np.nan}, ValueError, "free_bits=nan"),
        ({"free_bits": "some"}, TypeError, "free_bits='some'"),
        ({"groups": 0}, ValueError, "groups=0"),
        ({"capacity": -1.0}, ValueError, "capacity=-1.0"),
        ({"capacity": "large"}, TypeError, "capacity='large'"),
        (
            {"capacity": 1.0, "free_bits": 0.1},
            ValueError,
            "free_bits=0.1 and capacity=1.0",
        ),
    ],
)
def test_bad_free_bits_and_capacities_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tg.GaussianKL(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 4}, "number of variables, 6.*groups=4"),
        ({"groups": 3, "free_bits": [1.0, 2.0]}, "`free_bits`"),
        ({"free_bits": [1.0] * 5}, "`free_bits`"),
    ],
)
def test_groups_that_do_not_fit_are_refused(arguments, message):
    layer = tg.GaussianKL(**{"free_bits": 1.0, **arguments})
    with pytest.raises(ValueError, match=message):
        layer((MEAN, LOG_VARIANCE))


def test_a_mask_renormalises_a_prior_that_is_given():
    """KL of both laws given that the category is legal."""
    q = np.array([[1.0, 2.0, 0.5]], "float32")
    p = np.array([[0.0, 3.0, -1.0]], "float32")
    mask = np.array([[True, False, True]])
    layer = tg.KLDivergence("categorical")
    np.testing.assert_allclose(
        layer.divergence([q, p], category_mask=mask),
        layer.divergence([q[:, [0, 2]], p[:, [0, 2]]]),
        rtol=1e-5,
    )


def test_an_estimate_below_zero_is_free_only_where_bits_are():
    """The estimates of a layer that does not train draw nothing of a state."""
    free_bits = np.tile([0.0, 0.5], 10)
    layer = tg.KLDivergence("student_t", (5.0, 0.0, 1.0), free_bits=free_bits)
    inputs = [np.full([1, 20], x, "float32") for x in (3.0, 0.2, 0.5)]
    before = layer.seed_state.numpy()
    found = layer.divergence(inputs)[0].numpy()
    assert np.any(found[free_bits == 0.0] < 0.0)
    layer(inputs)
    paid = np.where(free_bits > 0.0, np.maximum(free_bits, found), found)
    np.testing.assert_allclose(layer.losses, [paid.sum()], rtol=1e-5)
    np.testing.assert_array_equal(layer.seed_state, before)


def test_a_capacity_hands_nan_to_no_other_example():
    mean = MEAN.copy()
    mean[1] = np.nan
    layer = tg.GaussianKL(capacity=1.0)
    _, gradients = loss_and_gradients(layer, (mean, LOG_VARIANCE))
    for gradient in gradients:
        assert np.all(np.isfinite(np.delete(gradient, 1, axis=0)))
