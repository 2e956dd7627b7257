"""What is particular to subsets of k of n; the tables hold the rest."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

import tfgumbel as tg
from tests.distributions.cases import FOUR
from tests.helpers.statistics import assert_mean

WEIGHTS = np.sqrt(np.arange(1.0, 5.0)).astype("float32")
SUBSETS = tg.ops.enumerate_subsets(4, 2)


def square(z):
    """(Σ √i z_i)²."""
    return tf.square(tf.linalg.matvec(z, WEIGHTS))


def repeated(count, logits=FOUR):
    return tf.constant(np.tile(logits, [count, 1]), tf.float32)


# Of four items with probabilities 0.3, 0.6, 0.5, 0.2, enumerated by hand.
VALUE = 9.266297
GRADIENT = [-0.91143, -0.11036, 0.40627, 0.61552]


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("exact", {}),
        ("reinforce", {"baseline": 9.0}),
        ("nvil", {"baseline": None}),
        ("rloo", {"samples": 4}),
        ("muprop", {"samples": 2}),
    ],
)
def test_every_estimator_of_the_expected_cost(name, arguments):
    """Against numbers that were enumerated elsewhere."""
    count = 40_000
    estimator = tg.estimators.get(name, distribution="subset", k=2, **arguments)
    layer = tg.ExpectedCost(square, estimator, seed=3)
    logits = repeated(count)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = layer(logits, training=True)
    gradient = tape.gradient(value, logits)
    if name == "exact":
        np.testing.assert_allclose(value[0], VALUE, rtol=1e-6)
        np.testing.assert_allclose(gradient[0], GRADIENT, atol=1e-4)
        return
    assert_mean(value, VALUE, smallest_bias=0.2)
    assert_mean(gradient, np.array(GRADIENT), smallest_bias=0.3)


@pytest.mark.full
@pytest.mark.parametrize(
    "k", [(1, 3), pytest.param(2, marks=pytest.mark.exhaustive)]
)
def test_a_sampler_learns_inside_a_model(k):
    """Which two items are right is told by a cost without a gradient."""
    inputs = keras.Input((3,))
    logits = keras.layers.Dense(4)(inputs)
    z = tg.ReinforceSampler("subset", "moving_average", k=k, seed=1)(logits)
    y = keras.layers.Dense(
        1, trainable=False, kernel_initializer=lambda *_, **__: [[1.0]] * 2
        + [[-1.0]] * 2,
    )(z)  # fmt: skip
    model = tg.StochasticModel(inputs, y)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.ones((64, 3), "float32")
    model.fit(x, np.full((64, 1), 2.0), epochs=60, batch_size=64, verbose=0)
    drawn = keras.Model(inputs, z).predict(x[:1], verbose=0)
    np.testing.assert_array_equal(drawn, [[1, 1, 0, 0]])


def test_the_log_probability_that_a_sampler_returns():
    sampler = tg.ReinforceSampler(
        "subset", None, k=2, return_log_prob=True, seed=2
    )
    logits = repeated(50)
    z, log_prob = sampler(logits, training=True)
    np.testing.assert_array_equal(np.sum(z, 1), 2.0)
    scores = SUBSETS @ FOUR
    expected = z.numpy() @ FOUR - scipy.special.logsumexp(scores)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


def test_sizes_of_the_examples():
    subset = tg.distributions.Subset()
    assert list(subset.parameters) == ["size", "logits"]
    sizes = tf.constant([[1.0, 2.0], [3.0, 4.0], [4.0, 1.0]])
    logits = tf.random.stateless_normal([3, 2, 5], [1, 2])
    q = subset.constrain((sizes, logits))
    z = subset.sample(q, [3, 4])
    np.testing.assert_array_equal(np.sum(z, -1), sizes)
    np.testing.assert_allclose(np.sum(subset.mean(q), -1), sizes, rtol=1e-5)
    np.testing.assert_array_equal(np.sum(subset.mode(q), -1), sizes)
    assert subset.kl(q, q).shape == [3, 2]
    one = tg.distributions.Subset(k=3).constrain(logits[1:2, :1])
    np.testing.assert_allclose(
        subset.log_probs(q, z)[1, 0],
        tg.distributions.Subset(k=3).log_probs(one, z[1:2, :1])[0, 0],
        rtol=1e-5,
    )


def test_sizes_of_the_examples_at_the_doors():
    """A sampler, a cost and a divergence take the pair."""
    sizes, logits = tf.constant([1.0, 3.0]), repeated(2)
    sampler = tg.ReinforceSampler("subset", None, return_log_prob=True, seed=1)
    z, log_prob = sampler((sizes, logits), training=True)
    np.testing.assert_array_equal(np.sum(z, 1), sizes)
    assert np.all(np.isfinite(log_prob))
    cost = tg.ExpectedCost(square, "rloo", distribution="subset", seed=1)
    mask = [True, True, True, False]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = cost((sizes, logits), category_mask=mask, training=True)
    gradient = tape.gradient(value, logits).numpy()
    np.testing.assert_allclose(gradient[:, 3], 0.0, atol=1e-7)
    # All three legal items: one subset only.
    np.testing.assert_allclose(gradient[1], 0.0, atol=1e-5)
    layer = tg.KLDivergence("subset")
    layer((sizes, logits), category_mask=mask)
    assert layer.divergence((sizes, logits)).shape == [2]


@pytest.mark.parametrize("axis", [1, -1])
def test_the_axis_of_the_items(axis):
    logits = tf.constant(np.random.default_rng(1).normal(size=(2, 3, 4)))
    if axis == 1:
        logits = tf.transpose(logits, [0, 2, 1])
    subset = tg.distributions.Subset(k=2, axis=axis)
    q = subset.constrain(logits)
    z = subset.sample(q, [1, 2])
    np.testing.assert_array_equal(np.sum(z, axis), np.full((2, 3), 2.0))
    assert subset.log_probs(q, z).shape == [2, 3]
    states = subset.support(logits.shape)
    assert len(states) == subset.count(logits.shape) == 6**3
    np.testing.assert_array_equal(np.sum(states, axis), 2.0)
    assert len(np.unique(states.reshape(6**3, -1), axis=0)) == 6**3


def test_sizes_beside_items_on_another_axis():
    subset = tg.distributions.Subset(axis=1)
    size, logits = tf.constant([[1.0, 2.0]]), tf.zeros([1, 4, 2])
    both = subset.flatten((size, logits))
    np.testing.assert_array_equal(both, [[1.0, 2.0] + [0.0] * 8])
    assert subset.flat_shape([size.shape, logits.shape]) == (1, 10)


@pytest.mark.parametrize("k", [2, (1, 2)])
def test_masked_items(k):
    """The same as the distribution over the legal items alone."""
    mask = np.array([True, False, True, True])
    logits = repeated(300)
    cost = tg.ExpectedCost(square, "exact", distribution="subset", k=k)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = cost(logits, category_mask=mask, training=True)
    gradient = tape.gradient(value, logits)
    least, most = (k, k) if isinstance(k, int) else k
    z = tg.ops.enumerate_subsets(4, (least, most))
    z = z[z[:, 1] == 0]
    q = scipy.special.softmax(z @ FOUR)
    f = np.square(z @ WEIGHTS)
    np.testing.assert_allclose(value[0], q @ f, rtol=1e-5)
    np.testing.assert_allclose(
        gradient[0], (q * (f - q @ f)) @ z, rtol=1e-4, atol=1e-5
    )
    sampler = tg.ReinforceSampler(
        "subset", None, k=k, return_log_prob=True, seed=4
    )
    drawn, log_prob = sampler(logits, category_mask=mask, training=True)
    index = [np.flatnonzero(np.all(z == row, 1))[0] for row in drawn.numpy()]
    np.testing.assert_allclose(log_prob, np.log(q[index]), rtol=1e-4)
    layer = tg.KLDivergence("subset", k=k)
    layer(logits, category_mask=mask)
    divergence = np.sum(q * np.log(q * len(z)))
    np.testing.assert_allclose(layer.losses[0], divergence, rtol=1e-4)


def test_too_few_legal_items():
    layer = tg.KLDivergence("subset", k=3)
    with pytest.raises(ValueError, match="at least 3 legal categories"):
        layer(repeated(2), category_mask=[True, True, False, False])


def test_the_prior_may_be_learned():
    layer = tg.KLDivergence("subset", k=2)
    q, p = repeated(3), repeated(3, FOUR[::-1].copy())
    found = layer.divergence([q, p])
    expected = tg.ops.subset_kl(q, p, k=2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "`k` must be at least 1.*k=0"),
        (2.0, TypeError, "k=2.0"),
        (True, TypeError, "k=True"),
        ((1, 2, 3), TypeError, r"pair .*k=\(1, 2, 3\)"),
        ((1, 2.0), TypeError, "pair"),
        ((3, 2), ValueError, "low <= high"),
        ((0, 0), ValueError, "high >= 1"),
        ((-1, 2), ValueError, "0 <= low"),
    ],
)
def test_bad_sizes(k, error, message):
    with pytest.raises(error, match=message):
        tg.distributions.Subset(k=k)


def test_bad_parameters():
    with pytest.raises(ValueError, match="items, 4 on axis -1.*k=5"):
        tg.distributions.Subset(k=5).constrain(tf.zeros([2, 4]))
    with pytest.raises(ValueError, match=r"k=\(1, 5\)"):
        tg.ReinforceSampler("subset", k=(1, 5))(tf.zeros([2, 4]))
    with pytest.raises(ValueError, match="or give it `k`.*1 tensor"):
        tg.distributions.Subset().constrain(tf.zeros([2, 4]))
    with pytest.raises(ValueError, match="`size` must broadcast"):
        tg.distributions.Subset().constrain((tf.ones([3]), tf.zeros([2, 4])))
    with pytest.raises(ValueError, match="its size is an input"):
        tg.estimators.Exact("subset")
    with pytest.raises(ValueError, match="noise given its sample|condition"):
        tg.estimators.REBAR("subset", k=2)
