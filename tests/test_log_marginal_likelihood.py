"""LogMarginalLikelihood against enumeration and closed forms."""

import json
import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tfgumbel import estimators

# Two Bernoulli variables, p(z) uniform, x given: log p(x, z) and q(z|x).
STATES = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
LOG_JOINT = np.array([-3.0, -1.5, -2.0, -4.5], "float32")
LOGITS = np.array([0.4, -0.6], "float32")
EXAMPLES = 20_000


def log_joint(z):
    """log p(x, z) of rows `[n, 2]`."""
    index = tf.cast(2.0 * z[:, 0] + z[:, 1], tf.int32)
    return tf.gather(LOG_JOINT, index)


def discrete_cost(logits):
    """-log w of the discrete model, its own samples."""
    bernoulli = tg.distributions.Bernoulli()
    parameters = bernoulli.constrain(logits)
    seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    z = bernoulli.sample(parameters, seed)
    return bernoulli.log_prob(parameters, z) - log_joint(z)


def enumerated_bound(samples):
    """E log 1/m Σ w over the joint states of m samples."""
    probability = 1 / (1 + np.exp(-LOGITS))
    q = np.prod(np.where(STATES, probability, 1 - probability), axis=1)
    mass, sums = q, np.exp(LOG_JOINT) / q
    for _ in range(samples - 1):
        mass = np.multiply.outer(mass, q)
        sums = np.add.outer(sums, np.exp(LOG_JOINT) / q)
    return np.sum(mass * np.log(sums / samples))


@pytest.mark.parametrize(
    ("samples", "chunk_size"), [(1, None), (2, None), (2, 1), (5, 2)]
)
def test_a_discrete_model_by_enumeration(samples, chunk_size):
    tf.random.set_seed(3)
    metric = tg.LogMarginalLikelihood(
        discrete_cost, samples, chunk_size=chunk_size
    )
    metric.update_state(tf.tile([LOGITS], [EXAMPLES, 1]))
    exact, error = enumerated_bound(samples), metric.standard_error()
    assert abs(float(metric.result()) - exact) < 5 * error
    others = [enumerated_bound(m) - exact for m in (1, 2, 5) if m != samples]
    assert 5 * error < 0.5 * np.min(np.abs(others))
    assert exact < np.log(np.sum(np.exp(LOG_JOINT)))


# z ~ N(0, 1), x|z ~ N(z, 1): x ~ N(0, 2), and z|x ~ N(x/2, 1/2).
X = np.linspace(-2.0, 3.0, 11).astype("float32")[:, None]
LOG_P = -(X[:, 0] ** 2) / 4 - np.log(4 * np.pi) / 2
NOISE = tf.random.Generator.from_seed(5)


def gaussian_cost(x, shift=0.0):
    """-log w, with the posterior moved by `shift` as q."""
    noise = NOISE.normal(tf.shape(x))
    z = x / 2 + shift + noise * math.sqrt(0.5)
    log_q = -tf.square(noise) / 2 - math.log(math.pi) / 2
    log_p = -(tf.square(z) + tf.square(x - z)) / 2 - math.log(2 * math.pi)
    return (log_q - log_p)[:, 0]


@pytest.mark.parametrize("samples", [1, 7, 25])
def test_the_posterior_gives_the_likelihood_itself(samples):
    metric = tg.LogMarginalLikelihood(gaussian_cost, samples, chunk_size=3)
    np.testing.assert_allclose(metric.bound(X), LOG_P, rtol=1e-5)
    metric.update_state(X[:5])
    metric.update_state(X[5:])
    assert float(metric.result()) == pytest.approx(LOG_P.mean(), rel=1e-5)
    expected = LOG_P.std(ddof=1) / np.sqrt(len(LOG_P))
    assert metric.standard_error() == pytest.approx(expected, rel=1e-5)


def test_the_bound_rises_from_the_elbo_to_the_likelihood():
    x = np.repeat(X, 1000, axis=0)
    gaps = []
    for samples in (1, 10, 100):
        metric = tg.LogMarginalLikelihood(
            lambda x: gaussian_cost(x, 0.5), samples
        )
        gap = np.repeat(LOG_P, 1000) - metric.bound(x).numpy()
        gaps.append(gap.mean())
    # KL(q ‖ posterior) = 0.5²; then var(w)/2m, with var(w) = √e - 1.
    variance = np.exp(0.5) - 1
    error = np.sqrt(0.5 / len(x))
    assert abs(gaps[0] - 0.25) < 5 * error < 0.05
    error = np.sqrt(variance / 10 / len(x))
    assert abs(gaps[1] - variance / 20) < 5 * error < 0.015
    assert abs(gaps[2]) < 0.01


class Counted:
    """A cost whose noise is the number of the call and of the row."""

    def __init__(self):
        self.calls = tf.Variable(0.0)
        self.rows = []

    def __call__(self, x):
        numbers = tf.cast(tf.range(1, tf.shape(x)[0] + 1), tf.float32)
        self.rows.append(x.shape[0])
        call = self.calls.assign_add(1.0)
        return 3 * tf.sin(call * numbers) + x[:, 0]


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_pieces_add_up(mode):
    """Seven samples of three examples: three, three and one."""
    cost = Counted()
    metric = tg.LogMarginalLikelihood(cost, samples=7, chunk_size=3)
    update = metric.update_state
    if mode != "eager":
        update = tf.function(update, jit_compile=mode == "xla")
    update(tf.constant(X[:3]))
    assert set(cost.rows) == {9, 3}
    noise = [
        np.reshape(np.sin(call * np.arange(1, 3 * count + 1)), [count, 3])
        for call, count in ((1, 3), (2, 3), (3, 1))
    ]
    log_weight = -3 * np.concatenate(noise) - X[:3, 0]
    expected = np.log(np.mean(np.exp(log_weight), axis=0))
    assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-4)


def test_weights_of_examples():
    weights = np.random.default_rng(1).uniform(size=11).astype("float32")
    metric = tg.LogMarginalLikelihood(gaussian_cost, samples=2)
    for part in (slice(0, 7), slice(7, 11)):
        metric.update_state(X[part], None, weights[part])
    mean = np.average(LOG_P, weights=weights)
    assert float(metric.result()) == pytest.approx(mean, rel=1e-5)
    number = weights.sum() ** 2 / np.sum(weights**2)
    variance = np.sum(weights**2 * (LOG_P - mean) ** 2) / weights.sum() ** 2
    expected = np.sqrt(variance * number / (number - 1))
    assert metric.standard_error() == pytest.approx(expected, rel=1e-4)
    # Weight zero is as if it had not been there.
    masked, fewer = (
        tg.LogMarginalLikelihood(gaussian_cost, samples=2) for _ in range(2)
    )
    masked.update_state(X, None, np.arange(11) < 6)
    fewer.update_state(X[:6])
    assert masked.standard_error() == pytest.approx(fewer.standard_error())


def test_nothing_seen_and_reset():
    metric = tg.LogMarginalLikelihood(gaussian_cost)
    assert metric.result() == 0.0 and math.isnan(metric.standard_error())
    metric.update_state(X)
    metric.reset_state()
    assert metric.result() == 0.0
    metric.update_state(X[:1])
    assert math.isnan(metric.standard_error())


def bernoulli_model(samples):
    """A model whose expected cost is the bound of the discrete model."""
    x = keras.Input((2,))
    logits = keras.layers.Identity(name="q")(x)
    layer = tg.ExpectedCost(
        lambda z: -log_joint(z),
        estimators.VIMCO("bernoulli", samples=samples),
        seed=2,
    )
    cost = layer(logits)
    return keras.Model(x, {"cost": cost, "q": logits}), layer


@pytest.mark.full
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_evaluate(jit_compile):
    """The layer's bound of two, and that of five calls, by enumeration."""
    model, layer = bernoulli_model(2)
    rows = []

    def cost(_, logits):
        rows.append(logits.shape[0])
        return layer(logits)

    metric = tg.LogMarginalLikelihood(cost, samples=3, chunk_size=2)
    model.compile(
        loss={"cost": tg.losses.MeanCost()},
        metrics={"q": metric},
        jit_compile=jit_compile,
    )
    x = np.tile(LOGITS, [EXAMPLES, 1])
    target = {"cost": x[:, 0], "q": x}
    for _ in range(2):  # Each starts anew.
        logs = model.evaluate(
            x, target, batch_size=5000, verbose=0, return_dict=True
        )
    found = logs["q_log_marginal_likelihood"]
    error = metric.standard_error()
    assert abs(found - enumerated_bound(6)) < 5 * error < 0.05
    assert abs(-logs["loss"] - enumerated_bound(2)) < 5 * 2 * error
    assert enumerated_bound(6) - enumerated_bound(2) > 0.05


def test_a_model_is_called_with_the_target_alone():
    model, _ = bernoulli_model(2)
    alone = keras.Model(model.input, model.output["cost"])
    metric = tg.LogMarginalLikelihood(alone, samples=2)
    x = np.tile(LOGITS, [4000, 1])
    metric.update_state(x, np.zeros(4000))
    error = metric.standard_error()
    assert abs(float(metric.result()) - enumerated_bound(4)) < 5 * error < 0.1


@pytest.mark.full
def test_replicas_add(strategy):
    with strategy.scope():
        metric = tg.LogMarginalLikelihood(gaussian_cost, samples=2)
        metric.update_state(np.zeros([1, 1], "float32"))
        metric.reset_state()
    halves = [X[:4], X[4:8]]
    values = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(halves[c.replica_id_in_sync_group])
    )

    @tf.function
    def step(x):
        strategy.run(metric.update_state, args=(x,))

    step(values)
    assert float(metric.result()) == pytest.approx(LOG_P[:8].mean(), rel=1e-5)
    expected = LOG_P[:8].std(ddof=1) / np.sqrt(8)
    assert metric.standard_error() == pytest.approx(expected, rel=1e-5)


def registered_cost(x, _):
    return gaussian_cost(x)


def test_config_keeps_a_registered_cost_and_no_other():
    # Here, as other tests may clear what is registered.
    keras.saving.register_keras_serializable("tests")(registered_cost)
    for cost, kept in ((registered_cost, True), (lambda x: x[:, 0], False)):
        metric = tg.LogMarginalLikelihood(cost, 5, chunk_size=2, name="it")
        config = keras.saving.serialize_keras_object(metric)
        again = keras.saving.deserialize_keras_object(
            json.loads(json.dumps(config))
        )
        assert (again.samples, again.chunk_size, again.name) == (5, 2, "it")
        assert again.cost is (registered_cost if kept else None)
    with pytest.raises(ValueError, match="Compile the model again"):
        again.update_state(X)


@pytest.mark.full
def test_a_saved_model_loads_without_the_cost(tmp_path):
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    metric = tg.LogMarginalLikelihood(lambda x, _: gaussian_cost(x), samples=2)
    model.compile("sgd", loss="mse", metrics=[metric])
    model.optimizer.build(model.trainable_variables)
    model.evaluate(X, X, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.predict(X, verbose=0), again.predict(X, verbose=0)
    )
    with pytest.raises(ValueError, match="Compile the model again"):
        again.evaluate(X, X, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": 0}, ValueError, "samples=0"),
        ({"samples": 1.5}, TypeError, "samples=1.5"),
        ({"chunk_size": 0}, ValueError, "chunk_size=0"),
        ({"cost": 3}, TypeError, "cost=3"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        tg.LogMarginalLikelihood(**{"cost": gaussian_cost, **arguments})


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        (lambda x: x, ValueError, r"one number per row.*shape \(22, 1\)"),
        (lambda x: tf.reduce_mean(x), ValueError, r"shape \(\)"),
        (lambda x: tf.zeros([22], tf.int32), TypeError, "int32"),
    ],
)
def test_bad_costs(cost, error, message):
    with pytest.raises(error, match=message):
        tg.LogMarginalLikelihood(cost, samples=2).update_state(X)


def test_weights_that_are_not_of_the_examples():
    metric = tg.LogMarginalLikelihood(lambda x: x[:, 0], samples=3)
    x = tf.zeros([4, 2])
    for weights in (2.0, np.ones(4), np.ones((4, 1))):
        metric.update_state(x, sample_weight=weights)
    with pytest.raises(ValueError, match=r"per example.*\(4, 2\)"):
        metric.update_state(x, sample_weight=np.ones((4, 2)))
    with pytest.raises(ValueError, match="`sample_weight` .*broadcast"):
        metric.update_state(x, sample_weight=np.ones(3))


def test_large_bounds_keep_their_standard_error():
    values = np.random.default_rng(0).normal(1e4, 1.0, [500, 1])
    values = values.astype("float32")
    metric = tg.LogMarginalLikelihood(lambda x: x[:, 0], samples=1)
    metric.update_state(values)
    error = values.std(ddof=1, dtype="float64") / np.sqrt(500)
    assert metric.standard_error() == pytest.approx(error, rel=1e-3)


def test_costs_of_half_precision_are_added_up_in_float32():
    def cost(x):
        return tf.range(len(x), dtype="float16")

    metric = tg.LogMarginalLikelihood(cost, samples=4)
    metric.update_state(tf.zeros([1, 1]))
    expected = np.log(np.mean(np.exp(-np.arange(4.0))))
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


@pytest.mark.parametrize("inference", ["mode", "sample"])
def test_a_model_that_draws_nothing(inference):
    """At the mode of q there is no bound, but a number."""
    x = keras.Input((2,))
    z = tg.ReparamGaussian(inference=inference, name="code")((x, 0.0 * x))
    model = keras.Model(x, keras.ops.sum(z**2, axis=-1))
    metric = tg.LogMarginalLikelihood(model, samples=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if inference == "sample":
            metric.update_state(tf.ones([4, 2]))
        with tg.SamplingScope(seed=1):
            metric.update_state(tf.ones([4, 2]))
    if inference == "mode":
        with pytest.warns(UserWarning, match="draws no sample.*'code': 'mode'"):
            metric.update_state(tf.ones([4, 2]))
