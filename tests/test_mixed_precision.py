"""Half precision trains a VAE of the digits to the loss of float32.

Each row is trained for a few hundred steps in float32 and under a mixed
policy, with Keras's own loss scaling, from the same seeds. Two rows, of one
seed, are slow tests; `-m exhaustive` takes every layer and every estimator.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import tfgumbel as tg

SEEDS = (0, 1, 2)
EPOCHS = 12
POLICIES = ("mixed_float16", "mixed_bfloat16")
# Standard deviation between seeds below which a difference is not noise, in
# nats; the losses are 25 to 40.
LEAST_NOISE = 0.15


@functools.cache
def digits():
    return (load_digits().data / 16.0).astype("float32")


def pixels_cost(x, y):
    """Binary cross-entropy of an image, in nats; y are log-odds."""
    return 64.0 * keras.losses.binary_crossentropy(x, y, from_logits=True)


def perceptron(units, **kwargs):
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(48, "tanh"),
            keras.layers.Dense(units, **kwargs),
        ]
    )


def categories(x, variables=6):
    logits = perceptron(4 * variables)(x)
    logits = keras.layers.Reshape((variables, 4))(logits)
    return tg.CategoricalKL()(logits)


def bits(x):
    return tg.BernoulliKL()(perceptron(12)(x))


def gaussian(x):
    return tg.GaussianKL()((perceptron(6)(x), perceptron(6)(x)))


def triangle(x):
    kl = tg.GaussianKL(parameterization="tril")
    return kl((perceptron(4)(x), perceptron(10)(x)))


def gamma(x):
    return tg.KLDivergence("gamma", (1.0, 1.0))(
        (perceptron(6)(x), perceptron(6)(x))
    )


def vae(parameters, make):
    """A model whose loss is that of its reconstructions, and a divergence."""
    x = keras.Input((64,))
    z = make()(parameters(x))
    y = perceptron(64, dtype="float32")(z)
    model = tg.StochasticModel(x, y)
    model.compile(optimizer(), pixels_cost, jit_compile=False)
    return model, (digits(), digits())


def optimizer():
    return keras.optimizers.Adam(4e-3)


def joined():
    """Sampler and score-function cost, joined by hand."""
    x = keras.Input((64,))
    sampler = tg.ReinforceSampler(baseline=None, return_log_prob=True)
    z, log_prob = sampler(categories(x))
    cost = Reconstruction()(z, x)
    cost = tg.ScoreFunctionCost("nvil")(cost, log_prob, x)
    return costly(x, cost)


def costly(x, cost):
    model = keras.Model(x, cost)
    model.compile(optimizer(), tg.losses.MeanCost(), jit_compile=False)
    return model, (digits(), np.zeros(len(digits()), "float32"))


class Reconstruction(keras.layers.Layer):
    """The cost of a code: that of the image which is decoded from it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.decoder = perceptron(64, dtype="float32")

    def build(self, z_shape, x_shape):
        self.decoder.build(z_shape)
        self.built = True

    def call(self, z, x):
        return pixels_cost(tf.cast(x, tf.float32), self.decoder(z))


def expected(name):
    laws = {"categorical": categories, "bernoulli": bits, "gaussian": gaussian}
    law = next(law for law in laws if name in tg.estimators.available(law))
    x = keras.Input((64,))
    layer = tg.ExpectedCost(Reconstruction(), name, distribution=law)
    # The sum over every code is one over 64 of them, not 4,096.
    logits = categories(x, 3) if name == "exact" else laws[law](x)
    return costly(x, layer(logits, x))


def sampler(parameters, layer, *args, **kwargs):
    make = functools.partial(layer, *args, **kwargs)
    return functools.partial(vae, parameters, make)


ROWS = {
    "GumbelSoftmax": sampler(categories, tg.GumbelSoftmax),
    "GumbelSoftmax-hard": sampler(categories, tg.GumbelSoftmax, hard=True),
    "GumbelSoftmax-trained": sampler(
        categories, tg.GumbelSoftmax, trainable_temperature=True
    ),
    **{
        f"StraightThroughCategorical-{name}": sampler(
            categories, tg.StraightThroughCategorical, name
        )
        for name in tg.estimators.surrogates()
    },
    "StraightThroughEmbedding": sampler(
        categories, tg.StraightThroughEmbedding, 4, 8
    ),
    "SubsetSampler": sampler(categories, tg.SubsetSampler, 2),
    "SubsetSampler-relaxed": sampler(
        categories, tg.SubsetSampler, 2, "plackett_luce"
    ),
    "PermutationSampler": sampler(categories, tg.PermutationSampler),
    "StochasticGate": sampler(categories, tg.StochasticGate, weight=1e-3),
    "ConcreteSelector": sampler(lambda x: x, tg.ConcreteSelector, 12),
    "BinaryConcrete": sampler(bits, tg.BinaryConcrete),
    "StraightThroughBernoulli": sampler(bits, tg.StraightThroughBernoulli),
    "ReparamGaussian": sampler(gaussian, tg.ReparamGaussian),
    "ReparamGaussian-tril": sampler(triangle, tg.ReparamGaussian, "tril"),
    "ImplicitReparam": sampler(gamma, tg.ImplicitReparam, "gamma"),
    "ReinforceSampler": sampler(categories, tg.ReinforceSampler),
    "ReinforceSampler-bernoulli": sampler(
        bits, tg.ReinforceSampler, "bernoulli"
    ),
    "ReinforceSampler-gaussian": sampler(
        gaussian, tg.ReinforceSampler, "gaussian"
    ),
    "ScoreFunctionCost": joined,
    **{
        f"ExpectedCost-{name}": functools.partial(expected, name)
        for name in tg.estimators.available()
    },
}
QUICK = [
    ("GumbelSoftmax", "mixed_float16"),
    ("ExpectedCost-rebar", "mixed_bfloat16"),
]


def trained(make, policy, seed):
    """Training losses of the first and of the last epoch."""
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    model, data = make()
    history = model.fit(*data, 100, epochs=EPOCHS, verbose=0).history["loss"]
    keras.backend.clear_session()
    return history[0], history[-1]


@functools.cache
def losses(name, policy, seeds):
    """First and last loss of every seed, `[S, 2]`."""
    return np.array([trained(ROWS[name], policy, seed) for seed in seeds])


@pytest.mark.exhaustive
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ROWS)
def test_half_precision_ends_where_float32_does(name, policy):
    assert_same_end(name, policy, SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "policy"),
    [QUICK[0], pytest.param(*QUICK[1], marks=pytest.mark.exhaustive)],
)
def test_half_precision_of_one_seed_ends_where_float32_does(name, policy):
    assert_same_end(name, policy, SEEDS[:1])


def assert_same_end(name, policy, seeds):
    runs = np.array([losses(name, p, seeds) for p in ("float32", policy)])
    deviation = LEAST_NOISE
    if len(seeds) > 1:
        deviation = max(deviation, runs[..., 1].std(axis=1, ddof=1).max())
    error = deviation * np.sqrt(2 / len(seeds))
    first, last = runs.mean(axis=1).T
    print(f"FIGURES {name} {policy} {first} {last} {deviation:.3f}")
    assert np.all(first - last > 1.0)  # All of them learned.
    assert abs(last[1] - last[0]) < 3 * error
