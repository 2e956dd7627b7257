"""Random shapes, precisions, extremes, masks and temperatures: no NaN, ever.

Hypothesis draws the examples, always the same ones; the exhaustive tests draw
many.
"""

import dataclasses

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tfgumbel as tg
from tests.layers.calls import differentiated, training_values
from tests.ops.derivatives import weights_like

FEW, MANY = 6, 100
# 65504 is float16's largest number.
EXTREMES = [-np.inf, -65504.0, -1e4, -30.0, 0.0, 6e-8, 30.0, 1e4, 65504.0]
SIZES = st.integers(2, 5)
TEMPERATURES = [1e-3, 0.05, 1.0, 30.0, 1e3]


@dataclasses.dataclass(frozen=True)
class Example:
    """One call of a layer: logits, extremes among them, and their mask."""

    logits: np.ndarray
    mask: np.ndarray
    temperature: float
    seed: int
    policy: str
    half: str  # the dtype of the logits

    @property
    def inputs(self):
        logits = tf.cast(tf.constant(self.logits, tf.float32), self.half)
        return logits, tf.constant(self.mask)


@st.composite
def examples(draw):
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 2), SIZES))
    seed = draw(st.integers(0, 2**31 - 1))
    random = np.random.default_rng(seed)
    logits = random.normal(scale=draw(st.sampled_from([1, 20])), size=shape)
    extreme = random.random(shape) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    logits = np.where(extreme, random.choice(EXTREMES, shape), logits)
    mask = random.random(shape) < draw(st.sampled_from([0.3, 0.7, 1.0]))
    # Every row has a legal category: one alone, where there was none.
    alone = random.integers(shape[-1], size=(*shape[:-1], 1))
    mask |= ~mask.any(-1, keepdims=True) & (np.arange(shape[-1]) == alone)
    return Example(
        logits.astype("float32"),
        mask,
        draw(st.one_of(st.sampled_from(TEMPERATURES), st.floats(1e-3, 1e3))),
        seed,
        draw(st.sampled_from(["float32", "mixed_float16", "bfloat16"])),
        draw(st.sampled_from(["float32", "float16", "bfloat16"])),
    )


def searched(count):
    """Runs a test of one example on `count` of them, always the same."""

    def decorate(test):
        given = hypothesis.given(example=examples())(test)
        return hypothesis.settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )(given)

    return decorate


def maker(cls, **options):
    """A function that makes such a layer for an example."""
    return lambda e: cls(
        temperature=e.temperature, seed=e.seed, dtype=e.policy, **options
    )


def makers(relaxed, exact):
    """By name, of a class of relaxed samples and one of exact ones."""
    return {
        "relaxed": maker(relaxed),
        "hard": maker(relaxed, hard=True),
        "decoupled": maker(relaxed, backward_temperature=0.5),
        "trained": maker(relaxed, trainable_temperature=True),
        **{
            name: maker(exact, estimator=name, noise_samples=3)
            for name in tg.estimators.surrogates()
        },
    }


CATEGORICAL = makers(tg.GumbelSoftmax, tg.StraightThroughCategorical)
BITS = makers(tg.BinaryConcrete, tg.StraightThroughBernoulli)
RELAXED = ("relaxed", "decoupled", "trained")


def check_categorical(name, example):
    layer = CATEGORICAL[name](example)
    logits, mask = example.inputs
    (y,), (gradient,) = differentiated(
        lambda x: [layer(x, mask, training=True)], logits
    )
    assert y.dtype == layer.compute_dtype and gradient.dtype == logits.dtype
    y, gradient = (tf.cast(t, tf.float32).numpy() for t in (y, gradient))
    assert np.all(np.isfinite(y)) and np.all(np.isfinite(gradient))
    assert np.all(y[~example.mask] == 0)
    np.testing.assert_allclose(y.sum(-1), 1, atol=2.0**-6)
    if name not in RELAXED:
        assert set(np.unique(y)) <= {0.0, 1.0} and np.all(y.sum(-1) == 1)
    assert np.all(gradient[~example.mask] == 0)
    alone = example.mask.sum(-1) == 1
    np.testing.assert_array_equal(y[alone], example.mask[alone])
    assert np.all(gradient[alone] == 0)
    impossible = np.isneginf(example.logits) & possible(example)
    assert np.all(gradient[impossible] == 0) and np.all(y[impossible] == 0)


def possible(example):
    """Rows in which some legal category has a logit above -inf."""
    legal = example.mask & ~np.isneginf(example.logits)
    return legal.any(-1, keepdims=True)


def check_bits(name, example):
    layer = BITS[name](example)
    # Log-odds may be infinite on either side: the mask decides.
    sign = np.where(example.mask, 1.0, -1.0)
    example = dataclasses.replace(example, logits=example.logits * sign)
    logits, _ = example.inputs
    (y,), (gradient,) = differentiated(
        lambda x: [layer(x, training=True)], logits
    )
    assert y.dtype == layer.compute_dtype and gradient.dtype == logits.dtype
    y, gradient = (tf.cast(t, tf.float32).numpy() for t in (y, gradient))
    assert np.all((y >= 0) & (y <= 1)) and np.all(np.isfinite(gradient))
    if name not in RELAXED:
        assert set(np.unique(y)) <= {0.0, 1.0}
    certain = np.isinf(example.logits)
    assert np.all(y[certain] == (example.logits > 0)[certain])
    assert np.all(gradient[certain] == 0)


SCORE_FUNCTION = ("categorical", "bernoulli")


def check_reinforce(distribution, example):
    layer = tg.ReinforceSampler(
        distribution, baseline=None, seed=example.seed, dtype=example.policy
    )
    logits, _ = example.inputs
    (z, cost), (gradient,) = differentiated(
        lambda x: training_values(layer, [x]), logits
    )
    z = tf.cast(z, tf.float32).numpy()
    assert set(np.unique(z)) <= {0.0, 1.0} and np.all(np.isfinite(cost))
    assert np.all(np.isfinite(tf.cast(gradient, tf.float32)))
    if distribution == "categorical":
        assert np.all(z.sum(-1) == 1)


LEARNERS = tg.estimators.available("categorical")


def linear(z):
    flat = tf.reshape(z, [tf.shape(z)[0], -1])
    return tf.reduce_sum(flat * weights_like(flat[:1]), axis=1)


def check_expected_cost(name, example):
    layer = tg.ExpectedCost(linear, name, seed=example.seed)
    logits = tf.where(
        example.mask, example.inputs[0], tf.cast(-np.inf, example.half)
    )
    (cost,), (gradient,) = differentiated(
        lambda x: [layer(x, training=True)], logits
    )
    assert np.all(np.isfinite(cost))
    gradient = tf.cast(gradient, tf.float32).numpy()
    assert np.all(np.isfinite(gradient))
    some = possible(example)
    assert np.all(gradient[~example.mask & some] == 0)


def properties(count):
    """One test for each table above, on `count` examples a row."""

    @pytest.mark.parametrize("name", CATEGORICAL)
    @searched(count)
    def categorical(name, example):
        check_categorical(name, example)

    @pytest.mark.parametrize("name", BITS)
    @searched(count)
    def bits(name, example):
        check_bits(name, example)

    @pytest.mark.parametrize("name", SCORE_FUNCTION)
    @searched(count)
    def reinforce(name, example):
        check_reinforce(name, example)

    @pytest.mark.parametrize("name", LEARNERS)
    @searched(count)
    def expected_cost(name, example):
        check_expected_cost(name, example)

    return categorical, bits, reinforce, expected_cost


(
    test_categorical_layers,
    test_layers_of_bits,
    test_reinforce_sampler,
    test_expected_cost,
) = properties(FEW)
(
    test_many_categorical_layers,
    test_many_layers_of_bits,
    test_many_reinforce_samplers,
    test_many_expected_costs,
) = map(pytest.mark.exhaustive, properties(MANY))
