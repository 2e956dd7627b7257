"""The table of layers: a row buys every contract test.

A row says how to make the layer, an example of what it is called with, and
what it must return in training, written in plain TensorFlow ops as a function
of the layer's noise. Autodiff of that definition gives the gradient that the
layer's own must equal.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import weights_like

RANDOM = np.random.default_rng(20)
# [B, D, K] for categories, the same for anything else.
LOGITS = RANDOM.normal(size=(3, 2, 4)).astype("float32")
MEAN, SCALE = RANDOM.normal(size=(2, 3, 2, 4)).astype("float32")
COST, LOG_PROB = RANDOM.normal(size=(2, 3)).astype("float32")
CONTEXT = RANDOM.normal(size=(3, 2)).astype("float32")
# Legal categories on every axis.
MASK = np.indices((3, 2, 4)).sum(axis=0) % 3 != 0
PRIOR = [[0.5, -1.0, 0.0, 0.2], [1.0, 0.3, 0.0, -0.4]]
SCHEDULE = {"initial": 2.0, "rate": 0.5, "minimum": 0.3}
SEED = 7


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """One row.

    Attributes:
        id: Name in the tests' ids.
        make: Makes the layer; keyword arguments replace the row's own.
        inputs: Positional arguments of a call, arrays or a pair of them.
        training: `(layer, noise, *inputs)` to the list of all that a training
            call yields: outputs, added losses, and the cost that a sampler
            without `return_log_prob` hands on.
        inference: `(layer, *inputs)` to the list of outputs, for each
            inference mode that draws nothing; the default mode first.
        noise: The function of `tfgumbel.random` that the layer draws with.
        law: What the samples follow: "categorical", "bernoulli", "gaussian".
        relaxed: Whether there is an inference mode "relaxed".
        axes: Axes that may hold the categories, if the layer takes an axis.
        anneals: The attribute that a schedule may be given for.
    """

    id: str
    make: Callable[..., keras.layers.Layer]
    inputs: tuple
    training: Callable[..., list]
    inference: dict[str, Callable[..., list]]
    noise: Callable | None = None
    law: str | None = None
    relaxed: bool = False
    axes: tuple = ()
    anneals: str | None = None

    @property
    def modes(self):
        """Every value of the argument `inference`."""
        if self.law is None:
            return []
        relaxed = ["relaxed"] if self.relaxed else []
        return [*self.inference, "sample", *relaxed]


def through(value, surrogate):
    """`value`, held constant, with the gradient of `surrogate`."""
    return surrogate + tf.stop_gradient(value - surrogate)


def sum_over_example(values):
    return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), 1)


def linear_cost(sample):
    """A cost per example that is no function of the layer's parameters."""
    sample = tf.cast(sample, tf.float32)
    return tf.stop_gradient(sum_over_example(weights_like(sample[:1]) * sample))


# Categorical variables.


def legal(logits, mask=None):
    if mask is None:
        return logits
    return tf.where(mask, logits, tf.cast(-np.inf, logits.dtype))


def one_hot(values, axis):
    largest = tf.reduce_max(values, axis, keepdims=True)
    return tf.stop_gradient(tf.cast(values == largest, values.dtype))


def temperature_of(layer, dtype):
    return tf.cast(tf.convert_to_tensor(layer.temperature), dtype)


def gumbel_softmax(layer, noise, logits, mask=None):
    tau = temperature_of(layer, logits.dtype)
    y = tf.nn.softmax((legal(logits, mask) + noise) / tau, layer.axis)
    return [y]


def gumbel_softmax_hard(layer, noise, logits, mask=None):
    (y,) = gumbel_softmax(layer, noise, logits, mask)
    return [through(one_hot(y, layer.axis), y)]


def straight_through(layer, noise, logits, mask=None):
    logits = legal(logits, mask)
    tau = temperature_of(layer, logits.dtype)
    sample = one_hot(logits + noise, layer.axis)
    return [through(sample, tf.nn.softmax(logits / tau, layer.axis))]


def softmax_at(p, logits, axis):
    """Something whose Jacobian in the logits is diag(p) - p pᵀ."""
    shift = logits - tf.stop_gradient(logits)
    return tf.nn.softmax(tf.stop_gradient(tf.math.log(p)) + shift, axis)


def reinmax(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = one_hot(logits + noise, layer.axis)
    middle = 0.5 * (tf.nn.softmax(logits / tau, layer.axis) + sample)
    second = softmax_at(middle, logits, layer.axis)
    first = tf.nn.softmax(logits, layer.axis)
    return [through(sample, 2.0 * second - 0.5 * first)]


def zgr(layer, noise, logits):
    sample = one_hot(logits + noise, layer.axis)
    p = tf.nn.softmax(logits, layer.axis)
    log_p = tf.nn.log_softmax(logits, layer.axis)
    log_prob = tf.reduce_sum(sample * log_p, layer.axis, keepdims=True)
    score = tf.stop_gradient(sample - p)
    return [through(sample, 0.5 * (p + score * log_prob))]


def gapped(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = one_hot(logits + noise, layer.axis)
    top = tf.reduce_max(logits, layer.axis, keepdims=True)
    lowered = tf.minimum(logits, top - 1.0)
    moved = sample * top + (1.0 - sample) * lowered
    shift = logits - tf.stop_gradient(logits)
    y = tf.nn.softmax((tf.stop_gradient(moved) + shift) / tau, layer.axis)
    return [through(sample, y)]


# What their ops give is proven by enumeration in tests/ops; here they show
# that the layer calls them right.


def mve(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = one_hot(logits + noise, layer.axis)
    return [
        tg.ops.minimum_variance_straight_through(
            logits, sample, tau, layer.axis
        )
    ]


def gumbel_rao(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = one_hot(logits + noise[0], layer.axis)
    return [tg.ops.gumbel_rao(logits, sample, noise[1:], tau, layer.axis)]


def gumbel_rao_noise(shape, seed):
    """That of the sample, then that of the average."""
    first = tg.random.gumbel(shape, seed)
    shape = tf.concat([[10], shape], axis=0)
    more = tg.random.gumbel(shape, tg.random.split(seed, 1)[0])
    return tf.concat([first[None], more], axis=0)


CATEGORICAL_INFERENCE = {
    "mode": lambda layer, logits, mask=None: [
        one_hot(legal(logits, mask), layer.axis)
    ],
    "mean": lambda layer, logits, mask=None: [
        tf.nn.softmax(legal(logits, mask), layer.axis)
    ],
}


def categorical_row(name, layer, training, mask=False, **kwargs):
    return LayerCase(
        name,
        functools.partial(
            layer, **{"seed": SEED, "temperature": 0.7, **kwargs}
        ),
        (LOGITS, MASK) if mask else (LOGITS,),
        training,
        CATEGORICAL_INFERENCE,
        noise=tg.random.gumbel,
        law="categorical",
        relaxed=True,
        axes=(-3, -2, 0, 1, 2),
        anneals="temperature",
    )


# Bits.


def step(values):
    return tf.stop_gradient(tf.cast(values > 0, values.dtype))


def binary_concrete(layer, noise, logits):
    return [tf.sigmoid((logits + noise) / temperature_of(layer, logits.dtype))]


def binary_concrete_hard(layer, noise, logits):
    (y,) = binary_concrete(layer, noise, logits)
    return [through(step(y - 0.5), y)]


def reinmax_bernoulli(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = step(logits + noise)
    middle = 0.5 * (tf.sigmoid(logits / tau) + sample)
    shift = logits - tf.stop_gradient(logits)
    log_odds = tf.stop_gradient(tf.math.log(middle / (1.0 - middle)))
    surrogate = 2.0 * tf.sigmoid(log_odds + shift) - 0.5 * tf.sigmoid(logits)
    return [through(sample, surrogate)]


def straight_through_bernoulli(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    return [through(step(logits + noise), tf.sigmoid(logits / tau))]


BERNOULLI_INFERENCE = {
    "mode": lambda layer, logits: [step(logits)],
    "mean": lambda layer, logits: [tf.sigmoid(logits)],
}


def bernoulli_row(name, layer, training, **kwargs):
    return LayerCase(
        name,
        functools.partial(layer, seed=SEED, temperature=0.7, **kwargs),
        (LOGITS,),
        training,
        BERNOULLI_INFERENCE,
        noise=tg.random.logistic,
        law="bernoulli",
        relaxed=True,
        anneals="temperature",
    )


# Gaussians.

STDDEV = {
    "log_variance": lambda scale: tf.exp(scale / 2),
    "log_stddev": tf.exp,
    "softplus": tf.nn.softplus,
    "stddev": tf.identity,
}


def gaussian_inputs(parameterization):
    scale = np.exp(SCALE) if parameterization == "stddev" else SCALE
    return ((MEAN, scale),)


def reparam_gaussian(layer, noise, parameters):
    mean, scale = parameters
    return [mean + STDDEV[layer.parameterization](scale) * noise]


def gaussian_mean(layer, parameters):
    return [parameters[0]]


def gaussian_row(parameterization):
    return LayerCase(
        f"ReparamGaussian-{parameterization}",
        functools.partial(
            tg.ReparamGaussian, parameterization=parameterization, seed=SEED
        ),
        gaussian_inputs(parameterization),
        reparam_gaussian,
        {"mean": gaussian_mean, "mode": gaussian_mean},
        noise=tg.random.normal,
        law="gaussian",
    )


# The score function.


def gaussian_log_density(parameters, sample):
    mean, log_variance = parameters
    squared = tf.square(sample - mean) * tf.exp(-log_variance)
    return -0.5 * (squared + log_variance + np.log(2 * np.pi))


LOG_PROB_OF = {
    "categorical": lambda logits, z: z * tf.nn.log_softmax(logits),
    "bernoulli": lambda logits, z: (
        z * tf.math.log_sigmoid(logits) + (1 - z) * tf.math.log_sigmoid(-logits)
    ),
    "gaussian": gaussian_log_density,
}
DRAW = {
    "categorical": lambda logits, noise: one_hot(logits + noise, -1),
    "bernoulli": lambda logits, noise: step(logits + noise),
    "gaussian": lambda p, noise: p[0] + tf.exp(p[1] / 2) * noise,
}
MEAN_OF = {
    "categorical": tf.nn.softmax,
    "bernoulli": tf.sigmoid,
    "gaussian": lambda p: p[0],
}
MODE_OF = {
    "categorical": lambda logits: one_hot(logits, -1),
    "bernoulli": step,
    "gaussian": lambda p: p[0],
}
NOISE_OF = {
    "categorical": tg.random.gumbel,
    "bernoulli": tg.random.logistic,
    "gaussian": tg.random.normal,
}


def with_cost(cost, log_prob, baseline):
    """The cost, with gradient (cost - baseline) · ∇log_prob."""
    signal = tf.stop_gradient(cost - baseline)
    return cost + signal * (log_prob - tf.stop_gradient(log_prob))


def learned_baseline(layer, context):
    """What the baseline gives before it has seen a cost."""
    if layer.baseline is None or layer.baseline.network is None:
        return tf.zeros([], context.dtype)
    value = layer.baseline.network(tf.cast(context, tf.float32))
    return tf.cast(tf.reshape(value, [-1]), context.dtype)


def log_prob_of(layer, parameters, sample):
    log_prob = LOG_PROB_OF[layer.distribution](
        parameters, tf.stop_gradient(sample)
    )
    return sum_over_example(log_prob)


def sample_and_log_prob(layer, noise, parameters):
    z = tf.stop_gradient(DRAW[layer.distribution](parameters, noise))
    return [z, log_prob_of(layer, parameters, z)]


def sample_and_cost(layer, noise, parameters, context):
    z, log_prob = sample_and_log_prob(layer, noise, parameters)
    baseline = learned_baseline(layer, context)
    cost = tf.cast(linear_cost(z), z.dtype)
    return [z, with_cost(cost, log_prob, baseline)]


def constant_sample(value, layer, parameters, context=None):
    z = tf.stop_gradient(value[layer.distribution](parameters))
    if not layer.return_log_prob:
        return [z]
    return [z, log_prob_of(layer, parameters, z)]


REINFORCE_INFERENCE = {
    "mode": functools.partial(constant_sample, MODE_OF),
    "mean": functools.partial(constant_sample, MEAN_OF),
}


def reinforce_row(name, inputs, training, distribution="categorical", **kwargs):
    return LayerCase(
        f"ReinforceSampler-{name}",
        functools.partial(
            reinforce_sampler, distribution=distribution, seed=SEED, **kwargs
        ),
        inputs,
        training,
        REINFORCE_INFERENCE,
        noise=NOISE_OF[distribution],
        law=distribution,
    )


def reinforce_sampler(baseline=None, **kwargs):
    return tg.ReinforceSampler(baseline=fresh(baseline), **kwargs)


def score_function_cost(baseline=None, **kwargs):
    return tg.ScoreFunctionCost(baseline=fresh(baseline), **kwargs)


def fresh(baseline):
    """A layer of its own for every layer made from the row."""
    return dense_baseline() if baseline == "dense" else baseline


def dense_baseline():
    return keras.layers.Dense(1, kernel_initializer="ones", dtype="float32")


def costs(layer, noise, cost, log_prob, context=None):
    baseline = 0.0 if context is None else learned_baseline(layer, context)
    return [with_cost(cost, log_prob, baseline)]


def score_row(name, baseline=None):
    context = () if baseline in (None, "moving_average") else (CONTEXT,)
    return LayerCase(
        f"ScoreFunctionCost-{name}",
        functools.partial(score_function_cost, baseline=baseline),
        (COST, LOG_PROB, *context),
        costs,
        {"default": lambda layer, cost, log_prob, context=None: [cost]},
    )


# Divergences.


def weighted_mean(layer, divergence):
    weight = tf.cast(tf.convert_to_tensor(layer.weight), divergence.dtype)
    return weight * tf.reduce_mean(sum_over_example(divergence))


def categorical_kl(layer, noise, logits):
    q = tf.nn.log_softmax(logits, layer.axis)
    prior = layer.prior_logits
    prior = tf.zeros([]) if prior is None else prior
    prior = tf.broadcast_to(tf.cast(prior, q.dtype), tf.shape(q))
    p = tf.nn.log_softmax(prior, layer.axis)
    return [logits, weighted_mean(layer, tf.exp(q) * (q - p))]


def bernoulli_kl(layer, noise, logits):
    q = tf.sigmoid(logits)
    p = tf.sigmoid(tf.cast(layer.prior_logits, logits.dtype))
    on = q * tf.math.log(q / p)
    off = (1 - q) * tf.math.log((1 - q) / (1 - p))
    return [logits, weighted_mean(layer, on + off)]


def gaussian_kl(layer, noise, parameters):
    mean, scale = parameters
    stddev = STDDEV[layer.parameterization](scale)
    ratio = stddev / layer.prior_stddev
    shift = (mean - layer.prior_mean) / layer.prior_stddev
    divergence = (ratio**2 + shift**2 - 1) / 2 - tf.math.log(ratio)
    return [mean, scale, weighted_mean(layer, divergence)]


def kl_row(name, layer, inputs, training, **kwargs):
    return LayerCase(
        name,
        functools.partial(layer, **{"weight": 0.7, **kwargs}),
        inputs,
        training,
        {"default": lambda layer, inputs: tf.nest.flatten(inputs)},
        axes=(-2, 1, 2) if layer is tg.CategoricalKL else (),
        anneals="weight",
    )


LAYERS = (
    categorical_row("GumbelSoftmax", tg.GumbelSoftmax, gumbel_softmax),
    categorical_row(
        "GumbelSoftmax-hard", tg.GumbelSoftmax, gumbel_softmax_hard, hard=True
    ),
    categorical_row(
        "GumbelSoftmax-masked", tg.GumbelSoftmax, gumbel_softmax, mask=True
    ),
    categorical_row(
        "GumbelSoftmax-schedule",
        tg.GumbelSoftmax,
        gumbel_softmax,
        temperature=tg.schedules.ExponentialAnnealing(**SCHEDULE),
    ),
    categorical_row(
        "StraightThroughCategorical-st",
        tg.StraightThroughCategorical,
        straight_through,
        estimator="st",
    ),
    categorical_row(
        "StraightThroughCategorical-st-masked",
        tg.StraightThroughCategorical,
        straight_through,
        mask=True,
        estimator="st",
    ),
    categorical_row(
        "StraightThroughCategorical-gumbel",
        tg.StraightThroughCategorical,
        gumbel_softmax_hard,
        estimator="gumbel",
    ),
    *(
        categorical_row(
            f"StraightThroughCategorical-{name}",
            tg.StraightThroughCategorical,
            training,
            estimator=name,
        )
        for name, training in (
            ("reinmax", reinmax),
            ("zgr", zgr),
            ("gapped", gapped),
            ("mve", mve),
        )
    ),
    dataclasses.replace(
        categorical_row(
            "StraightThroughCategorical-gumbel_rao",
            tg.StraightThroughCategorical,
            gumbel_rao,
            estimator="gumbel_rao",
        ),
        noise=gumbel_rao_noise,
    ),
    bernoulli_row("BinaryConcrete", tg.BinaryConcrete, binary_concrete),
    bernoulli_row(
        "StraightThroughBernoulli-reinmax",
        tg.StraightThroughBernoulli,
        reinmax_bernoulli,
        estimator="reinmax",
    ),
    bernoulli_row(
        "BinaryConcrete-hard",
        tg.BinaryConcrete,
        binary_concrete_hard,
        hard=True,
    ),
    bernoulli_row(
        "StraightThroughBernoulli-st",
        tg.StraightThroughBernoulli,
        straight_through_bernoulli,
        estimator="st",
    ),
    bernoulli_row(
        "StraightThroughBernoulli-gumbel",
        tg.StraightThroughBernoulli,
        binary_concrete_hard,
        estimator="gumbel",
    ),
    *(gaussian_row(parameterization) for parameterization in STDDEV),
    reinforce_row(
        "categorical", (LOGITS,), sample_and_log_prob, return_log_prob=True
    ),
    reinforce_row(
        "bernoulli",
        (LOGITS,),
        sample_and_log_prob,
        distribution="bernoulli",
        return_log_prob=True,
    ),
    reinforce_row(
        "gaussian",
        gaussian_inputs("log_variance"),
        sample_and_log_prob,
        distribution="gaussian",
        return_log_prob=True,
    ),
    reinforce_row("alone", (LOGITS, CONTEXT), sample_and_cost),
    reinforce_row(
        "moving_average",
        (LOGITS, CONTEXT),
        sample_and_cost,
        baseline="moving_average",
    ),
    reinforce_row(
        "nvil",
        (LOGITS, CONTEXT),
        sample_and_cost,
        distribution="bernoulli",
        baseline="nvil",
    ),
    reinforce_row(
        "dense",
        (*gaussian_inputs("log_variance"), CONTEXT),
        sample_and_cost,
        distribution="gaussian",
        baseline="dense",
    ),
    score_row("none"),
    score_row("moving_average", "moving_average"),
    score_row("nvil", "nvil"),
    score_row("dense", "dense"),
    kl_row("CategoricalKL", tg.CategoricalKL, (LOGITS,), categorical_kl),
    kl_row(
        "CategoricalKL-prior",
        tg.CategoricalKL,
        (LOGITS,),
        categorical_kl,
        prior_logits=PRIOR,
    ),
    kl_row(
        "BernoulliKL",
        tg.BernoulliKL,
        (LOGITS,),
        bernoulli_kl,
        prior_logits=PRIOR,
    ),
    *(
        kl_row(
            f"GaussianKL-{parameterization}",
            tg.GaussianKL,
            gaussian_inputs(parameterization),
            gaussian_kl,
            parameterization=parameterization,
            prior_mean=0.3,
            prior_stddev=1.5,
        )
        for parameterization in ("log_variance", "stddev")
    ),
    kl_row(
        "GaussianKL-schedule",
        tg.GaussianKL,
        gaussian_inputs("log_variance"),
        gaussian_kl,
        weight=tg.schedules.ExponentialAnnealing(**SCHEDULE),
    ),
)


def layer_cases(condition=lambda case: True):
    """Parametrises a test over the rows that fulfil the condition."""
    chosen = [case for case in LAYERS if condition(case)]
    return pytest.mark.parametrize(
        "case", chosen, ids=[case.id for case in chosen]
    )
