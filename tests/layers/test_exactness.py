"""Samples follow their law exactly, rare categories included."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfgumbel as tg
from tests.helpers import definitions
from tests.helpers.cases import layer_cases
from tests.helpers.statistics import (
    assert_distribution,
    assert_frequencies,
    plackett_luce,
    sigmoid,
    softmax,
    subset_law,
)
from tests.layers.calls import tensors
from tests.layers.continuous import CASES

# The rarest category has probability 1e-4 in every precision: the logits are
# rounded to the policy's dtype first.
PROBABILITIES = np.array([0.6, 0.25, 0.1, 0.0499, 1e-4])
POLICIES = ["float32", "mixed_float16", "mixed_bfloat16"]
ONE_HOT_LAYERS = {
    "gumbel_softmax_hard": lambda **k: tg.GumbelSoftmax(hard=True, **k),
    "st": lambda **k: tg.StraightThroughCategorical("st", **k),
    "st_gumbel": lambda **k: tg.StraightThroughCategorical("gumbel", **k),
}
EXAMPLES = 20_000
sampling = layer_cases(lambda case: case.law is not None)


@pytest.mark.parametrize(
    "compiled", ["graph", pytest.param("xla", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "make", ONE_HOT_LAYERS.values(), ids=ONE_HOT_LAYERS.keys()
)
def test_rare_categories_come_as_often_as_they_should(make, policy, compiled):
    """Two million draws in training, some 200 of the rarest."""
    layer = make(seed=1, dtype=policy)
    logits = tf.cast(np.log(PROBABILITIES), layer.compute_dtype)
    layer(logits[None])
    batch = tf.repeat(logits[None], 250_000, axis=0)

    @tf.function(jit_compile=compiled == "xla")
    def count():
        sample = layer(batch, training=True)
        return tf.reduce_sum(tf.cast(sample, tf.float32), axis=0)

    counts = np.sum([count().numpy() for _ in range(8)], axis=0)
    assert_frequencies(
        np.repeat(np.arange(5), counts.astype(int)),
        softmax(tf.cast(logits, tf.float32)),
    )


def test_relaxed_samples_have_their_largest_entry_by_the_same_law():
    layer = tg.GumbelSoftmax(temperature=0.1, seed=1)
    logits = np.log(PROBABILITIES[:4]).astype("float32")
    y = layer(np.tile(logits, (EXAMPLES, 1)), training=True)
    assert_frequencies(np.argmax(y, -1), softmax(logits), least=50)


@sampling
def test_inference_samples_follow_the_law(case):
    """The mode "sample", which is a true sample whatever training gives."""
    layer = case.make(inference="sample")
    one = tf.nest.map_structure(lambda a: a[:1], tensors(case.inputs))
    many = tf.nest.map_structure(lambda a: tf.repeat(a, EXAMPLES, axis=0), one)
    sample = tf.nest.flatten(layer(*many))[0].numpy()
    LAWS[case.law](sample, case, layer, one)


def assert_categorical(sample, case, layer, inputs):
    (probabilities,) = case.inference["mean"](layer, *inputs)[:1]
    assert set(np.unique(sample)) == {0, 1}
    assert np.all(sample.sum(axis=-1) == 1)
    for d, p in enumerate(probabilities.numpy()[0]):
        assert np.all(sample[:, d, p == 0] == 0)
        legal = sample[:, d, p > 0]
        assert_frequencies(legal.argmax(axis=-1), p[p > 0])


def assert_embedding(sample, case, layer, inputs):
    """Each row of the table comes as often as its category should."""
    logits = definitions.legal(*inputs)
    table = layer.embeddings.numpy()
    for d, p in enumerate(tf.nn.softmax(logits)[0].numpy()):
        distance = np.abs(sample[:, d, None] - table).sum(axis=-1)
        assert np.all(distance.min(axis=-1) == 0)
        index = distance.argmin(axis=-1)
        assert np.all(p[index] > 0)
        order = np.cumsum(p > 0) - 1
        assert_frequencies(order[index], p[p > 0])


def assert_codes(sample, case, layer, inputs):
    """Each code comes as often as its distance says."""
    book = layer.codebook.numpy()[0, 0]
    logits = definitions.code_logits(layer, inputs[0], book)
    for d, p in enumerate(tf.nn.softmax(logits)[0].numpy()):
        distance = np.abs(sample[:, d, None] - book).sum(axis=-1)
        assert np.all(distance.min(axis=-1) == 0)
        assert_frequencies(distance.argmin(axis=-1), p)


def assert_bernoulli(sample, case, layer, inputs):
    bits = sample.reshape(EXAMPLES, -1)
    for bit, p in zip(bits.T, sigmoid(inputs[0]).ravel(), strict=True):
        assert_frequencies(bit.astype(int), [1 - p, p])


def assert_gaussian(sample, case, layer, inputs):
    mean, scale = inputs[0]
    name = getattr(layer, "parameterization", "log_variance")
    stddev = tg.ops.gaussian_stddev(scale, name)
    standard = (sample - mean) / stddev
    assert_distribution(standard, scipy.stats.norm.cdf)


def subset_probabilities(logits, k):
    """Every k-hot vector, and its share of the sum over them all."""
    k_hots = definitions.k_hots(logits.size, k)
    k_hots = k_hots[np.lexsort(k_hots.T[::-1])]
    scores = np.sum(np.where(k_hots > 0, logits, 0.0), axis=1)
    return k_hots, softmax(scores)


def assert_subset(sample, case, layer, inputs):
    assert_plackett_luce(sample, case, layer, inputs, subset_probabilities)


def assert_plackett_luce(sample, case, layer, inputs, law=subset_law):
    """Chi-square over every subset of each variable."""
    logits = inputs[0].numpy()[0].astype(np.float64)
    if len(inputs) > 1:
        logits = np.where(inputs[1].numpy()[0], logits, -np.inf)
    for d, row in enumerate(logits):
        k_hots, probabilities = law(row, layer.k)
        possible = probabilities > 0
        # A subset as a number in base 2; they come in ascending order.
        base = 2 ** np.arange(4)[::-1]
        codes, drawn = k_hots[possible] @ base, sample[:, d] @ base
        assert set(drawn) == set(codes)
        if len(codes) > 1:
            indices = np.searchsorted(codes, drawn)
            assert_frequencies(indices, probabilities[possible])


def assert_order(sample, case, layer, inputs):
    """Chi-square over every order of each list."""
    for d, row in enumerate(inputs[0].numpy()[0]):
        orders, probabilities = plackett_luce(row, row.size)
        drawn = sample[:, d].argmax(axis=-1)
        same = np.all(drawn[:, None] == orders, axis=-1)
        assert_pooled(same.argmax(axis=-1), probabilities)


def assert_pooled(indices, probabilities):
    """Chi-square, the rare ones together."""
    often = probabilities * len(indices) > 200
    places = np.where(often, np.cumsum(often) - 1, often.sum())
    shares = np.append(probabilities[often], probabilities[~often].sum())
    assert shares[-1] == 0 or shares[-1] * len(indices) > 100
    shares = shares if shares[-1] else shares[:-1]
    assert_frequencies(places[indices], shares)


def assert_matching(sample, case, layer, inputs):
    """Against matchings of other noise, found by trying all."""
    scores = inputs[0].numpy()[0]
    gumbel = np.random.default_rng(5).gumbel(size=(50_000, *scores.shape))
    orders = np.array(list(itertools.permutations(range(4))))

    def index(matrices):
        same = np.all(matrices.argmax(-1)[:, None] == orders, axis=-1)
        assert np.all(same.sum(axis=-1) == 1)
        return same.argmax(axis=-1)

    expected = index(definitions.matching(scores + gumbel))
    counts = np.bincount(expected, minlength=len(orders))
    assert_pooled(index(sample), counts / len(gumbel))


def assert_gaussian_tril(sample, case, layer, inputs):
    """Whitened, and so are sums of neighbouring coordinates."""
    mean, scale = inputs[0]
    deviation = (sample - mean.numpy())[..., None]
    white = np.linalg.solve(tg.ops.gaussian_tril(scale), deviation)[..., 0]
    assert_distribution(white, scipy.stats.norm.cdf)
    pairs = (white[..., :-1] + white[..., 1:]) / np.sqrt(2)
    assert_distribution(pairs, scipy.stats.norm.cdf)


def assert_continuous(sample, case, layer, inputs):
    (case,) = (c for c in CASES if c.name == layer.distribution.name)
    natural = case.natural([x.numpy()[0].astype("float64") for x in inputs[0]])
    uniform = case.law(*natural).cdf(sample.astype("float64"))
    for column in uniform.reshape(EXAMPLES, -1).T:
        assert_distribution(column, scipy.stats.uniform.cdf)


LAWS = {
    "categorical": assert_categorical,
    "subset": assert_subset,
    "plackett_luce": assert_plackett_luce,
    "bernoulli": assert_bernoulli,
    "order": assert_order,
    "matching": assert_matching,
    "embedding": assert_embedding,
    "codes": assert_codes,
    "gaussian": assert_gaussian,
    "gaussian_tril": assert_gaussian_tril,
    "continuous": assert_continuous,
}
