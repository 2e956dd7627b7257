"""Distributions and estimators, each with one fault, and the right ones."""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tfgumbel._precision import is_compiled
from tfgumbel.estimators import algebra


class Rayleigh(tg.distributions.Distribution):
    """Of the guide, with all that it could have."""

    name = "rayleigh"
    parameters = {"scale": tg.distributions.positive}
    standard = (1.0,)

    def reparameterize(self, parameters, seed):
        noise = tg.random.exponential(tf.shape(parameters[0]), seed)
        return parameters[0] * tf.sqrt(2.0 * noise)

    def log_probs(self, parameters, sample):
        ratio = sample / parameters[0]
        tiny = 1e-30
        return tf.math.log(ratio / parameters[0] + tiny) - ratio**2 / 2.0

    def mean(self, parameters):
        return parameters[0] * np.sqrt(np.pi / 2.0)

    def mode(self, parameters):
        return parameters[0]

    def kl(self, parameters, prior):
        ratio = tf.square(parameters[0] / prior[0])
        return ratio - 1.0 - tf.math.log(ratio)

    def score(self, parameters, sample):
        return ((tf.square(sample / parameters[0]) - 2.0) / parameters[0],)


class Spin(tg.distributions.Distribution):
    """-1 or 1, and nothing between."""

    name = "spin"
    parameters = {"logits": tg.distributions.real}

    def sample(self, parameters, seed):
        uniform = tg.random.uniform(tf.shape(parameters[0]), seed)
        return tf.where(uniform < tf.sigmoid(parameters[0]), 1.0, -1.0)

    def log_probs(self, parameters, sample):
        return tf.math.log_sigmoid(sample * parameters[0])

    def mean(self, parameters):
        return tf.tanh(parameters[0] / 2.0)

    def mode(self, parameters):
        return tf.where(parameters[0] > 0.0, 1.0, -1.0)


class HalfSpin(Spin):
    """-1/2 or 1/2."""

    def sample(self, parameters, seed):
        return 0.5 * super().sample(parameters, seed)

    def log_probs(self, parameters, sample):
        return super().log_probs(parameters, 2.0 * sample)

    def mean(self, parameters):
        return 0.5 * super().mean(parameters)

    def mode(self, parameters):
        return 0.5 * super().mode(parameters)


class OnlyUp(Spin):
    """Never draws -1."""

    def sample(self, parameters, seed):
        return tf.abs(super().sample(parameters, seed))


class Hurdle(tg.distributions.Distribution):
    """Zero, or else an exponential variable: no density alone."""

    name = "hurdle"
    parameters = {
        "logits": tg.distributions.real,
        "log_rate": tg.distributions.from_log,
    }
    inference = ("mean", "sample")

    def sample(self, parameters, seed):
        logits, rate = parameters
        first, second = tg.random.split(seed, 2)
        zero = tg.random.uniform(tf.shape(logits), first) > tf.sigmoid(logits)
        size = tg.random.exponential(tf.shape(logits), second)
        return tf.where(zero, 0.0, size / rate)

    def log_probs(self, parameters, sample):
        logits, rate = parameters
        density = tf.math.log_sigmoid(logits) + tf.math.log(rate)
        density -= rate * sample
        return tf.where(sample > 0.0, density, tf.math.log_sigmoid(-logits))

    def mean(self, parameters):
        return tf.sigmoid(parameters[0]) / parameters[1]


class Cauchy(tg.distributions.Distribution):
    """Has no mean, and slopes of most costs have none either."""

    name = "cauchy"
    parameters = {
        "loc": tg.distributions.real,
        "scale": tg.distributions.positive,
    }
    inference = ("mode", "sample")
    sign = 1.0

    def reparameterize(self, parameters, seed):
        loc, scale = parameters
        angle = np.pi * (tg.random.uniform(tf.shape(loc), seed) - 0.5)
        held = tf.stop_gradient(scale)
        return loc + (held + self.sign * (scale - held)) * tf.tan(angle)

    def log_probs(self, parameters, sample):
        loc, scale = parameters
        ratio = (sample - loc) / scale
        return -tf.math.log(np.pi * scale) - tf.math.log1p(ratio**2)

    def mode(self, parameters):
        return parameters[0]


class WrongWay(Cauchy):
    """Has the gradient of the scale with the wrong sign."""

    sign = -1.0


class WholeNumbers(Spin):
    """Draws integers, with which no layer can compute."""

    def sample(self, parameters, seed):
        return tf.cast(super().sample(parameters, seed), tf.int32)

    def log_probs(self, parameters, sample):
        return super().log_probs(parameters, tf.cast(sample, tf.float32))


@dataclasses.dataclass(frozen=True)
class Fault:
    """A subject, the check that must find its fault, and how far beyond."""

    id: str
    check: str
    make: object
    says: str = ""
    times: float = 10.0
    kwargs: dict = dataclasses.field(default_factory=dict)


FAR = {"inputs": np.array([2.0, -1.0], "float32")}


def rayleigh(name, check, says="", times=10.0, kwargs=FAR, **methods):
    cls = type(name, (Rayleigh,), methods)
    return Fault(name, check, cls(), says, times, kwargs)


def bernoulli(name, check, says="", times=10.0, **methods):
    cls = type(name, (tg.distributions.Bernoulli,), methods)
    return Fault(name, check, cls(), says, times)


def log_probs_without_constant(self, parameters, sample):
    return tf.math.log(sample) - (sample / parameters[0]) ** 2 / 2.0


def clipped_constant(self, parameters, sample):
    """Right up to a scale of 3."""
    scale = tf.minimum(parameters[0], 3.0)
    exponent = -((sample / parameters[0]) ** 2) / 2.0
    return tf.math.log(sample + 1e-30) - 2.0 * tf.math.log(scale) + exponent


def series_up_to_five(self, parameters, sample):
    """Of the von Mises normaliser: beyond, it has no slope."""
    location, concentration = parameters
    normaliser = tf.math.log(tf.math.bessel_i0e(concentration))
    normaliser = tf.where(concentration < 5.0, normaliser, -1.69)
    exponent = concentration * (tf.cos(sample - location) - 1.0)
    return exponent - normaliser - np.log(2.0 * np.pi)


def scale_up_to_five(self, parameters, seed):
    scale = tf.minimum(parameters[0], 5.0)
    return Rayleigh.reparameterize(self, (scale,), seed)


def rate_for_scale(self, parameters, seed):
    return Rayleigh.reparameterize(self, (1.0 / parameters[0],), seed)


def detached(self, parameters, seed):
    return tf.stop_gradient(Rayleigh.reparameterize(self, parameters, seed))


def half_gradient(self, parameters, seed):
    sample = Rayleigh.reparameterize(self, parameters, seed)
    return 0.5 * (sample + tf.stop_gradient(sample))


def weak(self, parameters, seed):
    mean = self.mean(parameters)
    one, zero = tf.ones_like(mean), tf.zeros_like(mean)
    return {"logits": tg.distributions.WeakDerivative(mean, one, zero)}


def unconditional(self, parameters, sample, noise):
    return self.perturb(parameters, noise)


def one_sided(self, parameters, sample, noise):
    found = tf.abs(self.perturb(parameters, noise))
    return tf.where(sample > 0, found, -found)


def of_the_first_example(self, parameters, seed):
    first = parameters[0][:1] + tf.zeros_like(parameters[0])
    return Rayleigh.reparameterize(self, (first,), seed)


def shared_noise(self, parameters, seed):
    one = tf.concat([tf.shape(parameters[0])[:-1], [1]], axis=0)
    return parameters[0] * tf.sqrt(2.0 * tg.random.exponential(one, seed))


def by_neighbours(self, parameters, seed):
    """Two examples after each other have one noise."""
    (scale,) = parameters
    count = tf.shape(scale)[0]
    shape = tf.concat([[(count + 1) // 2], tf.shape(scale)[1:]], axis=0)
    noise = tf.repeat(tg.random.exponential(shape, seed), 2, axis=0)[:count]
    return scale * tf.sqrt(2.0 * noise)


def longer(self, parameters, seed):
    return 1.1 * Rayleigh.reparameterize(self, parameters, seed)


def of_static_batch(self, parameters, sample):
    one = tf.ones([int(parameters[0].shape[0]), 1])
    return one * Rayleigh.log_probs(self, parameters, sample)


def of_the_whole_batch(self, parameters, sample):
    found = Rayleigh.log_probs(self, parameters, sample)
    return found - tf.reduce_mean(found)


def unlike(is_other):
    """log q less half where it is computed another way."""

    def log_probs(self, parameters, sample):
        found = Rayleigh.log_probs(self, parameters, sample)
        return found - 0.5 if is_other() else found

    return log_probs


def in_half_precision(self, inputs):
    return tuple(
        tf.cast(tf.nn.softplus(part), tf.float32)
        for part in tf.nest.flatten(inputs)
    )


def support_with_the_last_but_one_twice(self, shape):
    bits = tg.distributions.Bernoulli().support(shape)
    return np.concatenate([bits[:-1], bits[-2:-1]])


class ForgetsTheMean(Rayleigh):
    """Has an option of the mean alone, not in its configuration."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def mean(self, parameters):
        return self.factor * super().mean(parameters)


DISTRIBUTIONS = (
    Fault("OnlyUp", "samples", OnlyUp()),
    rayleigh("SharedNoise", "independence", reparameterize=shared_noise),
    rayleigh("ByNeighbours", "independence", reparameterize=by_neighbours),
    rayleigh(
        "LongerThanTheSample",
        "reparameterised sample",
        "Kolmogorov",
        sample=lambda self, p, seed: Rayleigh.reparameterize(self, p, seed),
        reparameterize=longer,
        times=3.0,
    ),
    rayleigh(
        "OfTheFirstExample",
        "independence",
        "sample of an example changes",
        reparameterize=of_the_first_example,
    ),
    rayleigh("ClippedConstant", "score", kwargs={}, log_probs=clipped_constant),
    Fault(
        "SeriesUpToFive",
        "far parameters",
        type(
            "SeriesUpToFive",
            (tg.distributions.VonMises,),
            {"log_probs": series_up_to_five},
        )(),
    ),
    rayleigh(
        "ScaleUpToFive",
        "far parameters",
        kwargs={},
        reparameterize=scale_up_to_five,
    ),
    Fault("WrongWay", "reparameterised sample", WrongWay()),
    Fault("WholeNumbers", "inference", WholeNumbers(), "of int32"),
    Fault("ForgetsTheMean", "configuration", ForgetsTheMean(2.0), "mean"),
    rayleigh(
        "ClippedSample",
        "samples",
        reparameterize=lambda self, p, seed: tf.minimum(
            Rayleigh.reparameterize(self, p, seed), 2.0 * p[0]
        ),
    ),
    Fault("OnlyUp", "normalisation", OnlyUp()),
    rayleigh(
        "Unnormalised", "normalisation", log_probs=log_probs_without_constant
    ),
    rayleigh(
        "UnnormalisedScore", "score", log_probs=log_probs_without_constant
    ),
    rayleigh("RateForScale", "samples", reparameterize=rate_for_scale),
    rayleigh(
        "MeanOfVariables",
        "sums",
        "differ",
        log_prob=lambda self, p, z: tf.reduce_mean(self.log_probs(p, z), -1),
    ),
    rayleigh(
        "OfTheWholeBatch",
        "independence",
        "log q of an example changes",
        log_probs=of_the_whole_batch,
    ),
    rayleigh("StaticBatch", "graph", "NoneType", log_probs=of_static_batch),
    rayleigh(
        "UnlikeEager",
        "graph",
        log_probs=unlike(lambda: not tf.executing_eagerly()),
    ),
    rayleigh("UnlikeInXLA", "xla", log_probs=unlike(is_compiled)),
    rayleigh(
        "InHalfPrecision",
        "half precision",
        "float16 inputs",
        constrain=in_half_precision,
    ),
    rayleigh(
        "NoMean", "inference", "not finite", mean=lambda self, p: p[0] / 0.0
    ),
    rayleigh(
        "OtherShape",
        "inference",
        "`sample_shape`",
        sample_shape=lambda self, shapes: (*shapes[0], 1),
        log_prob=lambda self, p, z: tf.reduce_sum(self.log_probs(p, z), -1),
    ),
    rayleigh(
        "WithoutTheSeed",
        "seeds",
        "one seed gave two samples",
        reparameterize=lambda self, p, seed: (
            p[0] * tf.sqrt(-2.0 * tf.math.log(tf.random.uniform(p[0].shape)))
        ),
    ),
    rayleigh("WrongMean", "mean", mean=lambda self, p: p[0] * np.sqrt(np.pi)),
    rayleigh("WrongMode", "mode", mode=lambda self, p: 1.5 * p[0]),
    rayleigh(
        "WrongScore",
        "closed score",
        score=lambda self, p, z: (-Rayleigh.score(self, p, z)[0],),
    ),
    rayleigh(
        "ReversedDivergence",
        "divergence",
        kl=lambda self, p, q: Rayleigh.kl(self, q, p),
    ),
    rayleigh(
        "Detached",
        "reparameterised sample",
        "gradient",
        reparameterize=detached,
    ),
    rayleigh(
        "HalfGradient", "reparameterised sample", reparameterize=half_gradient
    ),
    rayleigh(
        "InfiniteParameters",
        "extremes",
        "not finite",
        parameters={"scale": tf.exp},
    ),
    rayleigh(
        "FixedSeed",
        "seeds",
        "two seeds gave one sample",
        reparameterize=lambda self, p, seed: Rayleigh.reparameterize(
            self, p, [1, 2]
        ),
    ),
    rayleigh(
        "LosesFixed",
        "inference",
        "shape",
        mean=lambda self, p: tf.reduce_sum(p[0], -1, keepdims=True),
    ),
    bernoulli("WrongWeakDerivative", "weak derivatives", weak_derivatives=weak),
    bernoulli(
        "Unconditional",
        "conditioned noise",
        "harden",
        perturb_given=unconditional,
    ),
    # 10 times from 2^20 samples on.
    bernoulli(
        "OneSided", "conditioned noise", perturb_given=one_sided, times=2.5
    ),
    bernoulli(
        "Untied",
        "tied noise",
        tied_difference=lambda self, p, noise: tf.zeros_like(noise) * p[0],
    ),
    bernoulli(
        "OtherValue",
        "tied noise",
        "value",
        tied_difference=lambda self, p, noise: self.perturb(p, noise),
    ),
    bernoulli(
        "HalfTheSupport",
        "enumeration",
        "mass",
        count=lambda self, shape: 2,
        support=lambda self, shape: np.array([[0.0] * 3, [1.0] * 3], "f"),
    ),
    bernoulli(
        "CountsOneMore",
        "enumeration",
        "`count` says 9, not 8",
        count=lambda self, shape: 9,
    ),
    bernoulli(
        "OneValueTwice",
        "enumeration",
        "there twice",
        support=support_with_the_last_but_one_twice,
    ),
    bernoulli(
        "HardensBackwards",
        "relaxation",
        "not near",
        harden=lambda self, z: 1.0 - tg.distributions.Bernoulli.harden(self, z),
    ),
    bernoulli(
        "PerturbsTwice",
        "relaxation",
        perturb=lambda self, p, noise: 2.0 * p[0] + noise,
    ),
    bernoulli(
        "OtherCategory",
        "categories",
        "another",
        from_categories=lambda self, one_hot: one_hot[..., 1],
    ),
    bernoulli(
        "NegativeLogits",
        "categories",
        to_categories=lambda self, p, z: (
            tg.distributions.Bernoulli.to_categories(self, (-p[0],), z)
        ),
    ),
    bernoulli(
        "SameAntithetic",
        "antithetic samples",
        antithetic=lambda self, p, seed: (
            self.sample(p, seed),
            1.0 - self.sample(p, seed),
            tf.sigmoid(self.noise(p, seed)),
        ),
    ),
)


class ScoreFunction(tg.estimators.Estimator):
    """RLOO written by hand, without a fault."""

    needs_gradient = False
    unbiased = True
    least_samples = 2

    def __init__(self, distribution="bernoulli", samples=3, **kwargs):
        super().__init__(distribution, samples, **kwargs)

    def baseline(self, cost):
        others = tf.reduce_sum(cost, axis=0) - cost
        return others / (self.samples - 1)

    def scale(self):
        return 1.0 / self.samples

    def join(self, cost, parameters, gradients):
        return algebra.attach(
            tf.reduce_mean(cost, axis=0), parameters, gradients
        )

    def rows(self, parameters):
        return algebra.repeat(parameters, self.samples)

    def estimate(self, cost_fn, parameters, seed, context):
        repeated = self.rows(parameters)
        sample = self.draw(repeated, seed)
        cost = algebra.fold(self.evaluate(cost_fn, sample), self.samples)
        signal = self.scale() * tf.stop_gradient(cost - self.baseline(cost))
        scores = algebra.score(self.distribution, repeated, sample)
        return self.join(cost, parameters, algebra.weigh(signal, scores))


def estimator(name, check, says="", times=10.0, **methods):
    cls = type(name, (ScoreFunction,), methods)
    return Fault(name, check, cls, says, times)


def with_itself(self, cost):
    """Shrinks the gradient by (S - 1) / S."""
    return tf.reduce_mean(cost, axis=0)


def interleaved(self, parameters):
    return tuple(tf.repeat(p, self.samples, axis=0) for p in parameters)


def of_one_axis(self, cost, parameters, gradients):
    """Right for `[B, D]`; of more axes the last has its first entry alone."""
    (found,) = gradients
    if found.shape.rank > 2:
        found = found * tf.one_hot(0, found.shape[-1])
    return ScoreFunction.join(self, cost, parameters, [found])


def of_static_size(self, parameters):
    return tuple(
        tf.reshape([p] * self.samples, [self.samples * p.shape[0], -1])
        for p in parameters
    )


def without_the_cost(self, cost, parameters, gradients):
    return ScoreFunction.join(
        self, tf.stop_gradient(cost), parameters, gradients
    )


def surrogate(self, cost, parameters, gradients):
    """Adds what is attached to the value, as a loss by hand does."""
    value = ScoreFunction.join(self, cost, parameters, gradients)
    return value + algebra.per_example(gradients[0])


def ignores_upstream(self, cost, parameters, gradients):
    value = tf.reduce_mean(cost, axis=0)

    @tf.custom_gradient
    def join(value, *parameters):
        return tf.identity(value), lambda dy: (dy, *gradients)

    return join(value, *parameters)


def without_a_word(self, cost, parameters, gradients):
    """Zero, as a gradient through a step is."""
    zeros = [tf.zeros_like(found) for found in gradients]
    return ScoreFunction.join(self, cost, parameters, zeros)


def of_odds(self, cost, parameters, gradients):
    """Has a factor and takes it out again."""
    odds = tf.exp(parameters[0])
    found = gradients[0] * odds / odds
    return ScoreFunction.join(self, cost, parameters, [found])


def in_float64(self, cost, parameters, gradients):
    return tf.cast(
        ScoreFunction.join(self, cost, parameters, gradients), tf.float64
    )


def infinite_of_matrices(self, cost, parameters, gradients):
    (found,) = gradients
    if found.shape.rank > 2:
        found = found / 0.0
    return ScoreFunction.join(self, cost, parameters, [found])


def backwards_in_each_other(self, cost, parameters, gradients):
    """The problem has two examples in turn."""
    (found,) = gradients
    sign = 1.0 - 2.0 * tf.cast(tf.range(len(found)) % 2, found.dtype)
    found *= algebra.column(sign, found)
    return ScoreFunction.join(self, cost, parameters, [found])


def twice_in_mixed_precision(self):
    mixed = keras.config.dtype_policy().name == "mixed_float16"
    return (2.0 if mixed else 1.0) / self.samples


def of_finite_costs(self, cost, parameters, gradients):
    finite = tf.where(tf.math.is_finite(cost), cost, tf.zeros_like(cost))
    return ScoreFunction.join(self, finite, parameters, gradients)


class HalvedOfTwo(ScoreFunction):
    """Wrong where categories are two."""

    def scale(self):
        return self.factor / self.samples

    def rows(self, parameters):
        self.factor = 0.5 if parameters[0].shape[-1] == 2 else 1.0
        return super().rows(parameters)


class LearnsInTheCost(ScoreFunction):
    """A control variate whose loss reaches the weights of the cost."""

    def join(self, cost, parameters, gradients):
        value = ScoreFunction.join(self, cost, parameters, gradients)
        loss = tf.reduce_mean(tf.square(cost), axis=0)
        return value + loss - tf.stop_gradient(loss)


class StartsAtACorner(ScoreFunction):
    """Learns what begins at zero, where its objective has no derivative."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.root = self.add_scalar("root", 0.0, True)

    def join(self, cost, parameters, gradients):
        value = ScoreFunction.join(self, cost, parameters, gradients)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(self.root.value)
            root = tf.sqrt(tf.abs(tf.convert_to_tensor(self.root)))
            objective = root * tf.ones_like(value)
        return algebra.attach_weights(value, [self.root], tape, objective)


class Forgets(ScoreFunction):
    """Has an argument that is not in its configuration."""

    def __init__(self, distribution="bernoulli", samples=3, factor=1.0, **kw):
        super().__init__(distribution, samples, **kw)
        self.factor = factor

    def scale(self):
        return self.factor / self.samples


class ForgetsATuple(ScoreFunction):
    """The same, of an argument that is no plain number."""

    def __init__(
        self, distribution="bernoulli", samples=3, factors=(1.0,), **kw
    ):
        super().__init__(distribution, samples, **kw)
        self.factors = factors

    def scale(self):
        return self.factors[0] / self.samples


class IgnoresItsConfiguration(ScoreFunction):
    """Is made anew with the arguments that are the default."""

    @classmethod
    def from_config(cls, config):
        return cls()


class OfOneSample(ScoreFunction):
    """With one sample, and the moving mean of costs until then."""

    least_samples = 1

    def __init__(self, distribution="bernoulli", samples=1, **kwargs):
        super().__init__(distribution, samples, **kwargs)

    def build(self, *shapes):
        self.mean = self.add_weight(initializer="zeros", trainable=False)
        super().build(*shapes)

    def baseline(self, cost):
        before = tf.identity(self.mean.value)
        finite = tf.where(tf.math.is_finite(cost), cost, 0.0)
        self.mean.assign(0.9 * before + 0.1 * tf.reduce_mean(finite))
        return before


class InMixedPrecision(OfOneSample):
    """Does not cast what a layer returns."""

    def build(self, *shapes):
        self.dense = keras.layers.Dense(1)
        super().build(*shapes)

    def baseline(self, cost):
        return self.dense(tf.ones([1, 1]))[0, 0]


class KeepsNaN(OfOneSample):
    """Takes every cost into its moving mean."""

    def baseline(self, cost):
        before = tf.identity(self.mean.value)
        self.mean.assign(0.9 * before + 0.1 * tf.reduce_mean(cost))
        return tf.where(tf.math.is_finite(before), before, 0.0)


class HasAnIdleWeight(OfOneSample):
    """Has a weight that no objective reaches."""

    def build(self, *shapes):
        self.idle = self.add_scalar("idle", 0.0, True)
        super().build(*shapes)


class WithTheCurrentCost(OfOneSample):
    """Updates the moving mean before it is used."""

    def baseline(self, cost):
        super().baseline(cost)
        return tf.identity(self.mean.value)


class MeanOfTheBatch(OfOneSample):
    """Has the mean cost of all examples as their baseline."""

    def baseline(self, cost):
        return tf.reduce_mean(cost)


ESTIMATORS = (
    Fault("WithTheCurrentCost", "baseline", WithTheCurrentCost, "score"),
    Fault("MeanOfTheBatch", "baseline", MeanOfTheBatch, "score"),
    # Two thirds of the gradient are left: 10 times from 2^22 estimates on.
    estimator("WithItself", "gradient", baseline=with_itself, times=2.0),
    estimator("SumOfSamples", "gradient", scale=lambda self: 1.0),
    estimator("Negative", "gradient", scale=lambda self: -1.0 / self.samples),
    # 1 - cosine is 2 at most, and its bound a half.
    estimator(
        "BackwardsInEachOther",
        "gradient",
        "cosine",
        join=backwards_in_each_other,
        unbiased=False,
        times=3.5,
    ),
    estimator(
        "ZeroAndBiased",
        "gradient",
        "it is zero",
        scale=lambda self: 0.0,
        unbiased=False,
    ),
    # As far as the examples differ: 10 times from 2^21 estimates on.
    estimator("Interleaved", "gradient", rows=interleaved, times=2.5),
    estimator("OneOfThree", "several samples", scale=lambda self: 1.0 / 3.0),
    estimator("WithoutTheCost", "cost's own weights", join=without_the_cost),
    Fault("LearnsInTheCost", "cost's own weights", LearnsInTheCost),
    Fault("StartsAtACorner", "control variates", StartsAtACorner, "begins"),
    Fault("HasAnIdleWeight", "control variates", HasAnIdleWeight, "gets none"),
    estimator("InFloat64", "shapes", "is float64", join=in_float64),
    estimator(
        "InfiniteOfMatrices",
        "shapes",
        r"\(4, 2, 2\) it is not finite",
        join=infinite_of_matrices,
    ),
    estimator(
        "TwiceInMixedPrecision",
        "half precision",
        "in mixed_float16 the gradient",
        scale=twice_in_mixed_precision,
    ),
    estimator("OfOdds", "extremes", "not finite", join=of_odds),
    estimator(
        "WithoutAWord",
        "cost without gradient",
        "zero without a word",
        join=without_a_word,
        needs_gradient=True,
    ),
    estimator(
        "OfFiniteCosts",
        "NaN",
        "example itself is finite",
        join=of_finite_costs,
    ),
    Fault("KeepsNaN", "NaN", KeepsNaN, "for ever"),
    estimator(
        "ZeroInXLA",
        "xla",
        "zero",
        scale=lambda self: 0.0 if is_compiled() else 1.0 / self.samples,
    ),
    estimator("IgnoresUpstream", "incoming gradient", join=ignores_upstream),
    estimator("Surrogate", "value", join=surrogate),
    estimator("Miscounts", "evaluations", "where it says 7", evaluations=7),
    estimator("CountsOnce", "evaluations", "3 with samples=5", evaluations=3),
    estimator("OfOneAxis", "shapes", r"for \[4, 2, 2\]", join=of_one_axis),
    Fault(
        "HalvedOfTwo",
        "shapes",
        functools.partial(HalvedOfTwo, "categorical"),
        r"for \[4, 2, 2\]$",
        times=5.0,
    ),
    estimator("StaticBatch", "graph", "None", rows=of_static_size),
    estimator(
        "HalvedByXLA",
        "xla",
        scale=lambda self: (0.5 if is_compiled() else 1.0) / self.samples,
        times=5.0,
    ),
    Fault("InMixedPrecision", "half precision", InMixedPrecision, "half"),
    estimator(
        "SharesNaN",
        "NaN",
        baseline=lambda self, cost: tf.reduce_mean(cost),
    ),
    estimator(
        "OneSeed",
        "seeds",
        "two seeds gave one estimate",
        draw=lambda self, p, seed: ScoreFunction.draw(self, p, [1, 2]),
    ),
    Fault(
        "Forgets",
        "configuration",
        functools.partial(Forgets, factor=2.0),
        "`factor` is 2.0, and 1.0",
    ),
    Fault(
        "ForgetsATuple",
        "configuration",
        functools.partial(ForgetsATuple, factors=(2.0,)),
        "another estimate",
    ),
    Fault(
        "IgnoresItsConfiguration",
        "configuration",
        functools.partial(IgnoresItsConfiguration, samples=4),
        "another configuration",
    ),
    Fault("ForgetsAsObject", "configuration", Forgets(factor=2.0), "`factor`"),
)
