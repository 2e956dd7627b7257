import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_xla, graph_and_xla
from tests.helpers.statistics import (
    assert_distribution,
    assert_frequencies,
    sigmoid,
    softmax,
)

DRAWS = 200_000
NOISE = {
    "uniform": scipy.stats.uniform.cdf,
    "exponential": scipy.stats.expon.cdf,
    "gumbel": scipy.stats.gumbel_r.cdf,
    "logistic": scipy.stats.logistic.cdf,
    "normal": scipy.stats.norm.cdf,
}
# All zeros, all ones, the edges of the sign, and values between.
BITS = np.array(
    [0, 1, 2, 255, 2**16 + 1, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 3 * 2**30]
    + [2**32 - 2**16, 2**32 - 129, 2**32 - 128, 2**32 - 2, 2**32 - 1],
    np.uint32,
)


def draw_from_bits(compiled, monkeypatch, name):
    """Noise `name` for the random bits BITS, in float64.

    Where there are two rows of bits, the second is BITS from its end.
    """

    def bits(shape, seed, dtype):
        rows = BITS if len(shape) == 1 else np.stack([BITS, BITS[::-1]])
        return tf.constant(rows.view(dtype.as_numpy_dtype))

    monkeypatch.setattr(tg.random, "_random_bits", bits)
    draw = getattr(tg.random, name)
    noise = compiled(lambda: draw([len(BITS)], [0, 0]))().numpy()
    assert np.all(np.isfinite(noise))
    return noise.astype(np.float64)


@pytest.mark.parametrize("name", NOISE)
def test_noise_follows_its_distribution(compiled, name):
    draw = compiled(lambda seed: getattr(tg.random, name)([DRAWS], seed))
    noise = draw(tf.constant([3, 5]))
    assert noise.dtype == tf.float32
    assert np.all(np.isfinite(noise))
    assert_distribution(noise, NOISE[name])


def test_uniform_of_extreme_bits(compiled, monkeypatch):
    noise = draw_from_bits(compiled, monkeypatch, "uniform")
    exact = (BITS * (1 - 2.0**-23) + 0.5) / 2.0**32
    np.testing.assert_allclose(noise, exact, rtol=2e-7)
    assert noise.min() == 2.0**-33
    assert noise.max() == 1 - 2.0**-23


def test_exponential_of_extreme_bits(compiled, monkeypatch):
    uniform = draw_from_bits(compiled, monkeypatch, "uniform")
    noise = draw_from_bits(compiled, monkeypatch, "exponential")
    np.testing.assert_allclose(noise, -np.log1p(-uniform), rtol=1e-6)
    assert noise.min() > 0


def test_gumbel_of_extreme_bits(compiled, monkeypatch):
    uniform = draw_from_bits(compiled, monkeypatch, "uniform")
    noise = draw_from_bits(compiled, monkeypatch, "gumbel")
    exact = -np.log(-np.log1p(-uniform))
    np.testing.assert_allclose(noise, exact, rtol=1e-6, atol=1e-6)
    assert -2.8 < noise.min() and 22.8 < noise.max() < 22.9


def sign_and_tail():
    signed = BITS.view(np.int32) + np.float64(0.5)
    return np.sign(signed), np.abs(signed) * 2.0**-32


def test_logistic_of_extreme_bits(compiled, monkeypatch):
    noise = draw_from_bits(compiled, monkeypatch, "logistic")
    sign, tail = sign_and_tail()
    exact = -sign * scipy.special.logit(tail)
    np.testing.assert_allclose(noise, exact, rtol=1e-6, atol=3e-7)
    assert 22.8 < -noise.min() < 22.9 and 22.8 < noise.max() < 22.9


def test_normal_of_extreme_bits(compiled, monkeypatch, request):
    noise = draw_from_bits(compiled, monkeypatch, "normal")
    if "[xla]" in request.node.name:
        sign, tail = sign_and_tail()
        exact = -sign * scipy.special.ndtri(tail)
        assert 6.3 < -noise.min() < 6.4 and 6.3 < noise.max() < 6.4
    else:
        signed = np.float64(np.float32(BITS.view(np.int32))) * 2.0**-31
        radius = np.minimum(np.abs(signed) + 2.0**-33, 1.0)
        exact = np.sqrt(-2.0 * np.log(radius)) * np.cos(np.pi * signed[::-1])
        assert 6.7 < np.abs(noise).max() < 6.8
    np.testing.assert_allclose(noise, exact, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("name", NOISE)
def test_same_seed_gives_same_noise(compiled, name):
    draw = compiled(lambda seed: getattr(tg.random, name)([2, 8], seed))
    noise, again = draw(tf.constant([1, 2])), draw(tf.constant([1, 2]))
    assert noise.shape == (2, 8)
    np.testing.assert_array_equal(noise, again)
    assert not np.any(np.equal(noise, draw(tf.constant([2, 1]))))


def test_seed_may_be_a_list_or_any_integer_tensor():
    expected = tg.random.uniform([4], [1, 2])
    for dtype in (tf.int32, tf.int64, tf.uint32):
        noise = tg.random.uniform([4], tf.constant([1, 2], dtype))
        np.testing.assert_array_equal(noise, expected)


def test_shape_may_be_dynamic(compiled):
    @compiled
    def draw(like):
        return tg.random.gumbel(tf.shape(like), [1, 2])

    assert draw(tf.zeros([3, 2])).shape == (3, 2)


def test_split_gives_independent_seeds(compiled):
    @compiled
    def draw(seed):
        seeds = [tf.constant([7, 8], tf.int64), *tg.random.split(seed, 3)]
        return tf.stack([tg.random.normal([DRAWS], s) for s in seeds])

    noise = draw(tf.constant([7, 8]))
    correlation = np.corrcoef(noise)[np.triu_indices(4, 1)]
    assert np.all(np.abs(correlation) < 5 / np.sqrt(DRAWS))
    np.testing.assert_array_equal(noise, draw(tf.constant([7, 8])))


def test_neighbouring_seeds_are_independent():
    noise = [tg.random.normal([DRAWS], [1, i]) for i in range(3)]
    noise += [tg.random.normal([DRAWS], [i, 1]) for i in (0, 2)]
    correlation = np.corrcoef(noise)[np.triu_indices(5, 1)]
    assert np.all(np.abs(correlation) < 5 / np.sqrt(DRAWS))


def replica_noise(strategy, seeds):
    """Noise per seed and replica, `[seeds, replicas, 1000]`."""

    @tf.function
    def draw(seed):
        return tg.random.normal([1000], tg.random.replica_seed(seed))

    return np.stack(
        [
            strategy.experimental_local_results(
                strategy.run(draw, (tf.constant(seed),))
            )
            for seed in seeds
        ]
    )


def test_replicas_draw_different_reproducible_noise(strategy):
    # Were the replica merely added, seeds 1 apart would meet.
    seeds = [[0, 0], [1, 0], [0, 1], [1, 1]]
    noise = replica_noise(strategy, seeds)
    np.testing.assert_array_equal(noise, replica_noise(strategy, seeds))
    flat = noise.reshape(8, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(8, 1)]
    assert np.all(np.abs(correlation) < 5 / np.sqrt(1000))


def test_replica_seed_is_the_seed_itself_without_replicas(compiled):
    seed = compiled(tg.random.replica_seed)(tf.constant([4, 2]))
    np.testing.assert_array_equal(seed, [4, 2])


@pytest.mark.full
@graph_and_xla
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("categories", [4, 40])
def test_categorical_is_exact(compiled, dtype, categories):
    """In one block of categories, and in several."""
    weights = np.linspace(1, 3, categories)
    weights[[1, -1]] = 1.5e-4 * weights.sum()
    logits = tf.cast(tf.math.log(weights) + 2.0, dtype)

    @compiled
    def draw(seed):
        many = tf.broadcast_to(logits, [1_000_000, categories])
        return tg.random.categorical(many, seed)

    sample = draw(tf.constant([11, 12]))
    assert sample.dtype == tf.int32
    assert_frequencies(sample, softmax(tf.cast(logits, tf.float32)))


def test_uniform64_of_extreme_bits(compiled, monkeypatch):
    bits = np.array([0, 1, 2**12, 2**63, 2**64 - 1], np.uint64)
    monkeypatch.setattr(tg.random, "_random_bits", lambda *_: tf.constant(bits))
    noise = compiled(lambda: tg.random.uniform64([5], [0, 0]))()
    odd = [1, 1, 3, 2**52 + 1, 2**53 - 1]
    np.testing.assert_array_equal(noise, np.array(odd) * 2.0**-53)


def test_uniform64_follows_its_distribution(compiled):
    noise = compiled(lambda: tg.random.uniform64([DRAWS], [3, 5]))()
    assert_distribution(noise, scipy.stats.uniform.cdf)


@pytest.mark.parametrize("categories", [2, 40, 100])
def test_a_category_that_is_all_but_never_drawn_keeps_its_share(categories):
    logits = np.full(categories, -100.0, "float32")
    logits[0], logits[-1] = 0.0, -25.0
    share = np.exp(-25.0)
    uniform = 1.0 - np.array([1.5, 0.5]) * share
    found = tg.random.categorical_quantile([logits] * 2, uniform)
    np.testing.assert_array_equal(found, [0, categories - 1])


@eager_and_xla
@pytest.mark.parametrize("categories", [2, 16, 17, 97, 1000])
def test_quantile_inverts_the_cumulative_distribution(compiled, categories):
    """For a uniform in the middle of each category's share."""
    generator = np.random.default_rng(3)
    logits = generator.normal(size=categories).astype("float32")
    sums = np.cumsum(softmax(logits))
    middle = sums - softmax(logits) / 2
    rows = np.tile(logits, (categories, 1))
    index = compiled(tg.random.categorical_quantile)(rows, middle)
    np.testing.assert_array_equal(index, np.arange(categories))


@eager_and_xla
@pytest.mark.parametrize(
    ("categories", "place"), [(16, 12), (50, 31), (400, 130), (400, 399)]
)
def test_rare_category_has_its_share_of_the_uniforms(
    compiled, categories, place
):
    """A millionth of all, among those near it."""
    weights = np.linspace(1, 3, categories)
    weights[place] = 1e-6 * weights.sum()
    logits = np.log(weights).astype("float32")
    share = softmax(logits)[place]
    sums = np.cumsum(softmax(logits))
    near = np.linspace(sums[place] - 2 * share, sums[place] + share, 3001)
    near = near[(near > 0) & (near < 1)]
    quantile = compiled(tg.random.categorical_quantile)
    index = quantile(np.tile(logits, (len(near), 1)), near).numpy()
    assert np.all(np.diff(index) >= 0)
    assert abs(np.sum(index == place) - 1000) <= 3


@eager_and_xla
@pytest.mark.parametrize("categories", [5, 12, 30, 1000])
def test_impossible_categories_are_never_drawn(compiled, categories):
    """Nor at the ends of the uniforms, nor where sums meet."""
    generator = np.random.default_rng(4)
    logits = generator.normal(size=(200, categories)).astype("float32")
    logits[generator.uniform(size=logits.shape) < 0.6] = -np.inf
    logits[:, [0, 1, -2, -1]] = -np.inf
    logits[:, 2] = -3.0
    sums = np.cumsum(softmax(logits), axis=-1)
    quantile = compiled(tg.random.categorical_quantile)
    ends = (2.0**-53, 1 - 2.0**-53)
    for uniform in (*ends, *np.clip(sums.T[2:-2:7], *ends)):
        index = quantile(logits, np.broadcast_to(uniform, [200]))
        drawn = np.take_along_axis(logits, index.numpy()[:, None], axis=1)
        assert np.all(drawn > -np.inf)


@pytest.mark.parametrize("categories", [2, 32, 128])
def test_where_a_sum_is_met_the_next_category_is_drawn(categories):
    """The first whose sum is above the uniform number."""
    index = np.arange(categories)
    found = tg.random.categorical_quantile(
        tf.zeros([categories, categories]), index / categories
    )
    np.testing.assert_array_equal(found, index)


def test_quantile_of_a_number_of_categories_known_late():
    unknown = tf.TensorSpec([None, None], tf.float32)

    @tf.function(input_signature=[unknown])
    def draw(logits):
        return tg.random.categorical(logits, [1, 2])

    logits = np.random.default_rng(5).normal(size=(500, 40)).astype("float32")
    expected = tg.random.categorical(tf.constant(logits), [1, 2])
    np.testing.assert_array_equal(draw(logits), expected)


def test_categorical_takes_any_axis_and_impossible_categories():
    logits = np.full([3, 4, 5], -np.inf, np.float32)
    winner = np.arange(15).reshape(3, 5) % 4
    np.put_along_axis(logits, winner[:, None], -50.0, axis=1)
    for axis in (1, -2):
        sample = tg.random.categorical(tf.constant(logits), [1, 2], axis=axis)
        np.testing.assert_array_equal(sample, winner)


@graph_and_xla
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("logit", [-9.2, 0.4])
def test_bernoulli_is_exact(compiled, dtype, logit):
    logit = tf.cast(logit, dtype)

    @compiled
    def draw(seed):
        return tg.random.bernoulli(tf.fill([2_000_000], logit), seed)

    sample = draw(tf.constant([21, 22]))
    assert sample.dtype == tf.float32
    p = sigmoid(tf.cast(logit, tf.float32))
    assert_frequencies(tf.cast(sample, tf.int32), [1 - p, p])


def test_bernoulli_at_infinite_logits():
    sample = tg.random.bernoulli(tf.constant([-np.inf, np.inf] * 50), [1, 2])
    np.testing.assert_array_equal(sample, [0.0, 1.0] * 50)


@graph_and_xla
def test_normal_noise_far_out_is_finite(compiled):
    """One of these is rarer than 2^-26, where XLA's quantile is infinite."""

    @compiled
    def draw(seed):
        return tg.random.normal([2**22], seed)

    z = draw(tf.constant([3, 7])).numpy()
    assert 5.0 < np.max(np.abs(z)) < 6.8
    for bound in (1.0, 3.0, 4.0):
        count, p = np.sum(z > bound), math.erfc(bound / math.sqrt(2)) / 2
        error = math.sqrt(p / len(z))
        assert abs(count / len(z) - p) < 5 * error


def test_seeds_that_are_near_do_not_meet():
    """By a sum, the second of a seed would be the first of the next."""
    one = tg.random.numbered([3, 5], 1)
    assert not np.array_equal(one, tg.random.numbered([4, 5], 0))
    np.testing.assert_array_equal(one, tg.random.numbered([3, 5], 1))
    keras.utils.set_random_seed(3)
    assert len({tg.random.default_seed() for _ in range(1000)}) == 1000
