"""Layers as people write them, each with one fault, and one without.

A fault is one method of the right layer, replaced. `FAULTS` says which check
must find it.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg

LOGITS = np.random.default_rng(5).normal(size=(4, 3, 5)).astype("float32")
PAIR = (LOGITS, np.full_like(LOGITS, 2.0))
TINY = 1e-10
saved = keras.saving.register_keras_serializable("tfgumbel_tests")


@saved
class Right(keras.layers.Layer):
    """A Gumbel-softmax written by hand, without a fault."""

    def __init__(self, temperature=0.5, hard=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.initial, self.hard, self.seed = temperature, hard, seed
        self.generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, shape):
        self.temperature = self.add_weight(
            initializer=keras.initializers.Constant(self.initial),
            trainable=False,
            dtype="float32",
            autocast=False,
            name="temperature",
        )

    def next_seed(self):
        return self.generator.next()

    def uniform(self, shape):
        return tf.random.stateless_uniform(shape, self.next_seed(), minval=TINY)

    def noise(self, logits):
        return -tf.math.log(-tf.math.log(self.uniform(tf.shape(logits))))

    def soften(self, logits, noise):
        return tf.nn.softmax((logits + noise) / self.temperature)

    def harden(self, soft):
        return tf.one_hot(tf.argmax(soft, -1), soft.shape[-1], dtype=soft.dtype)

    def straight_through(self, soft):
        return soft + tf.stop_gradient(self.harden(soft) - soft)

    def infer(self, logits):
        return self.harden(logits)

    def sample(self, logits):
        soft = self.soften(logits, self.noise(logits))
        return self.straight_through(soft) if self.hard else soft

    def call(self, logits, training=None):
        logits = tf.cast(logits, tf.float32)
        found = self.sample(logits) if training else self.infer(logits)
        return tf.cast(found, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.initial,
            "hard": self.hard,
            "seed": self.seed,
        }


def faulty(name, **methods):
    """The right layer with other methods."""
    cls = type(name, (Right,), {**methods, "__module__": __name__})
    globals()[name] = cls
    return saved(cls)


# Gradients


def backwards(self, soft):
    hard = self.harden(soft)
    return hard + tf.stop_gradient(soft - hard)


def negative(self, soft):
    return tf.stop_gradient(self.harden(soft) + soft) - soft


def half_stopped(self, logits, noise):
    perturbed = (logits + noise) / self.temperature
    return tf.nn.softmax(0.5 * (perturbed + tf.stop_gradient(perturbed)))


def straight_through_other_noise(self, logits):
    """Two calls where one was meant."""
    soft = self.soften(logits, self.noise(logits))
    other = self.soften(logits, self.noise(logits))
    return soft + tf.stop_gradient(self.harden(other) - soft)


def of_other_noise(self, logits):
    """As rematerialisation does: the backward pass draws again."""
    soft = self.soften(logits, self.noise(logits))
    other = self.soften(logits, self.noise(logits))
    return other + tf.stop_gradient(soft - other)


# Noise


def replayed(self, shape):
    return tf.random.stateless_uniform(shape, [3, 4], minval=TINY)


def by_numpy(self, logits):
    shape = [s or 1 for s in logits.shape]
    return tf.constant(np.random.gumbel(size=shape), tf.float32)


def one_for_the_batch(self, logits):
    shape = tf.concat([[1], tf.shape(logits)[1:]], axis=0)
    return -tf.math.log(-tf.math.log(self.uniform(shape)))


def one_for_all_variables(self, logits):
    shape = tf.concat([tf.shape(logits)[:1], [1], tf.shape(logits)[2:]], 0)
    return -tf.math.log(-tf.math.log(self.uniform(shape)))


def one_for_the_last_two(self, logits):
    return tf.gather(Right.noise(self, logits), [0, 1, 1], axis=1)


@saved
class Counted(Right):
    """Draws with the sum of its seed and a counter."""

    def build(self, shape):
        super().build(shape)
        self.count = self.add_weight(
            initializer="zeros", dtype="int64", trainable=False, name="count"
        )
        self.first = (
            np.random.randint(10**6) if self.seed is None else self.seed
        )

    def next_seed(self):
        self.count.assign_add(1)
        count = tf.convert_to_tensor(self.count)
        return tf.stack([count + self.first, tf.zeros_like(count)])


@saved
class StateInWeights(Right):
    """Keeps the state of its noise in a weight."""

    def build(self, shape):
        super().build(shape)
        first = np.random.randint(10**6) if self.seed is None else self.seed
        self.state = self.add_weight(
            initializer=keras.initializers.Constant(first),
            dtype="int32",
            trainable=False,
            name="state",
        )

    def next_seed(self):
        self.state.assign_add(1)
        state = tf.convert_to_tensor(self.state)
        return tf.stack([state, 7 * state])


@saved
class SameDefault(Right):
    """Has a number as the default of its seed."""

    def __init__(self, temperature=0.5, hard=False, seed=42, **kwargs):
        super().__init__(temperature, hard, seed, **kwargs)


# Rates


def smallest(self, logits):
    return -Right.noise(self, logits)


def exponential(self, logits):
    return -tf.math.log(self.uniform(tf.shape(logits)))


def tempered_logits(self, logits, noise):
    return tf.nn.softmax(logits / self.temperature + noise)


def in_half_precision(self, logits):
    """Keras's uniforms in the layer's own precision."""
    dtype = self.compute_dtype
    u = keras.random.uniform(tf.shape(logits), dtype=dtype, seed=self.generator)
    floor = 6e-8 if dtype == "float16" else TINY
    noise = -tf.math.log(-tf.math.log(tf.maximum(u, tf.cast(floor, dtype))))
    return tf.cast(noise, tf.float32)


def without_a_floor(self, logits):
    dtype = self.compute_dtype
    u = keras.random.uniform(tf.shape(logits), dtype=dtype, seed=self.generator)
    return tf.cast(-tf.math.log(-tf.math.log(1.0 - u)), tf.float32)


def by_another_seed(self):
    return tf.constant(np.random.randint(10**6, size=2))


# Shapes, values, graphs


def static_shape(self, logits):
    return -tf.math.log(-tf.math.log(self.uniform(list(logits.shape))))


def softened_twice(self, logits, noise):
    return tf.nn.softmax(Right.soften(self, logits, noise))


def along_another_axis(self, logits):
    return tf.nn.softmax(logits, axis=1)


def least(self, logits):
    return self.harden(-logits)


def unstable(self, logits, noise):
    weights = tf.exp((logits + noise) / self.temperature)
    return weights / tf.reduce_sum(weights, -1, keepdims=True)


def normalised_over_the_batch(self, logits, noise):
    mean = tf.reduce_mean(logits, axis=0, keepdims=True)
    centred = logits - mean + tf.stop_gradient(mean)
    return tf.nn.softmax((centred + noise) / self.temperature)


def hides_nan(self, logits, noise):
    logits = tf.where(tf.math.is_finite(logits), logits, 0.0)
    return tf.nn.softmax((logits + noise) / self.temperature)


def float32_always(self, logits, training=None):
    logits = tf.cast(logits, tf.float32)
    return self.sample(logits) if training else self.infer(logits)


def declared_shape(self, shape):
    return shape


def another_shape(self, shape):
    return (*shape, 1)


def infinite(self, logits, noise):
    return tf.nn.softmax(logits + noise) / 0.0


def root_of_zero(self, logits, noise):
    soft = Right.soften(self, logits, noise)
    return soft + tf.sqrt(soft - tf.stop_gradient(soft))


def mixes_dtypes(self, logits, training=None):
    if not training:
        return self.harden(logits)
    return tf.nn.softmax(logits + self.noise(logits))


def by_python(self, logits):
    def draw(shape):
        return np.random.gumbel(size=shape).astype("float32")

    noise = tf.numpy_function(draw, [tf.shape(logits)], tf.float32)
    return tf.ensure_shape(noise, logits.shape)


def without_mask(self, inputs, mask=None):
    return None


def index(self, logits):
    return tf.cast(tf.argmax(logits, -1), tf.float32)


@saved
class NumberAsTemperature(Right):
    """Reads a Python number while it is traced."""

    def build(self, shape):
        self.temperature = self.initial


@saved
class AnnealsInPython(Right):
    """Anneals a Python number, which a graph does once."""

    def build(self, shape):
        self.tau = self.initial

    @property
    def temperature(self):
        return self.tau

    def sample(self, logits):
        self.tau = max(0.1, 0.8 * self.tau)
        return super().sample(logits)


def inverse(self, logits, noise):
    return tf.nn.softmax((logits + noise) * self.temperature)


def without_super(self):
    return {"temperature": self.initial, "hard": self.hard, "seed": self.seed}


def twice_the_temperature(self):
    return {**Right.get_config(self), "temperature": 2.0 * self.initial}


@saved
class OffsetThatNoFileHas(Right):
    """Begins with another number in every process."""

    def build(self, shape):
        super().build(shape)
        self.offset = np.random.normal()

    def infer(self, logits):
        return tf.nn.softmax(logits * self.offset)


@saved
class WithoutItsMask(Right):
    """Takes a mask of categories and pays no attention to it."""

    def call(self, logits, category_mask=None, training=None):
        return super().call(logits, training=training)


def config_without(*names):
    def get_config(self):
        config = Right.get_config(self)
        return {key: config[key] for key in config if key not in names}

    return get_config


@saved
class HalfStddev(keras.layers.Layer):
    """Takes the logarithm of the variance for that of the scale."""

    def infer(self, mean):
        return mean

    def scale(self, log_variance):
        return tf.exp(log_variance)

    def call(self, inputs, training=None):
        mean, log_variance = inputs
        if not training:
            return self.infer(mean)
        noise = tf.random.normal(tf.shape(mean))
        return mean + self.scale(log_variance) * noise


@saved
class FixedStddev(HalfStddev):
    """Learns the mean alone."""

    def scale(self, log_variance):
        return tf.stop_gradient(tf.exp(0.5 * log_variance))


@saved
class MinusTheMean(HalfStddev):
    """Has the sign of the mean wrong where it does not train."""

    def infer(self, mean):
        return -mean

    def scale(self, log_variance):
        return tf.exp(0.5 * log_variance)


@saved
class Unclipped(keras.layers.Layer):
    """Bernoulli samples of probabilities, where logits were given."""

    def call(self, logits, training=None):
        hard = tf.cast(tf.random.uniform(tf.shape(logits)) < logits, tf.float32)
        return logits + tf.stop_gradient(hard - logits)


@dataclasses.dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        id: Name in the tests' ids.
        check: The check that must fail.
        make: Makes the layer.
        says: What the report says, a regular expression.
        inputs: What it is called with.
        kwargs: Of `check_layer`.
        times: How far beyond its bound the figure lies at least.
    """

    id: str
    check: str
    make: Callable
    says: str
    inputs: object = None
    kwargs: dict = dataclasses.field(default_factory=dict)
    times: float = 10.0


def fault(name, check, says, methods=None, cls=None, times=10.0, **kwargs):
    cls = cls or faulty(name, **(methods or {}))
    options = {k: kwargs.pop(k) for k in ("hard", "seed") if k in kwargs}
    return Fault(
        name,
        check,
        lambda: cls(**options),
        says,
        kwargs.pop("inputs", LOGITS),
        kwargs,
        times,
    )


FAULTS = (
    fault(
        "StraightThroughBackwards",
        "gradient",
        "no gradient",
        {"straight_through": backwards},
        hard=True,
    ),
    fault(
        "HardWithoutGradient",
        "gradient",
        "no gradient",
        {"straight_through": Right.harden},
        hard=True,
    ),
    # 1 - cosine is 2 at most: seen where the mean gradient is off by 78°.
    fault(
        "NegativeStraightThrough",
        "gradient of the sample",
        "cosine",
        {"straight_through": negative},
        hard=True,
        times=2.0,
    ),
    # A share of examples is 1 at most, and its bound 0.1: seen where more than
    # a tenth of the examples have a gradient off by a twentieth.
    fault(
        "HalfStopped",
        "gradient of the sample",
        "difference quotient",
        {"soften": half_stopped},
        times=9.0,
    ),
    fault(
        "OtherNoiseInTheBackwardPass",
        "gradient of the sample",
        "difference quotient",
        {"sample": of_other_noise},
        times=9.0,
    ),
    fault(
        "StraightThroughOtherNoise",
        "gradient of the sample",
        "does not depend on what was drawn",
        {"sample": straight_through_other_noise},
    ),
    fault("Replayed", "calls", "same values", {"uniform": replayed}),
    fault("ReplayedInLayers", "layers", "same values", {"uniform": replayed}),
    fault("ByNumpy", "graph", "one graph gave the same", {"noise": by_numpy}),
    fault(
        "OneForTheBatch", "examples", "one noise", {"noise": one_for_the_batch}
    ),
    fault(
        "OneForAllVariables",
        "variables",
        "correlation",
        {"noise": one_for_all_variables},
    ),
    fault(
        "OneForTheLastTwo",
        "variables",
        "correlation",
        {"noise": one_for_the_last_two},
    ),
    fault(
        "ByAnotherSeed",
        "seeds",
        "one seed gave",
        {"next_seed": by_another_seed},
    ),
    fault(
        "AnotherShape",
        "training",
        r"declared as \(4, 3, 5, 1\)",
        {"compute_output_shape": another_shape},
    ),
    fault("Infinite", "training", "sample is not finite", {"soften": infinite}),
    fault(
        "RootOfZero",
        "gradient",
        "in input 0 is not finite",
        {"soften": root_of_zero},
    ),
    fault(
        "ByNumpyInSavedModel",
        "saved model",
        "same values",
        {"noise": by_numpy},
    ),
    fault(
        "OffsetThatNoFileHas",
        "keras file",
        "predicts something else",
        cls=OffsetThatNoFileHas,
    ),
    fault(
        "TwiceTheTemperature",
        "configuration",
        "another temperature",
        {"get_config": twice_the_temperature},
    ),
    fault(
        "WithoutItsMask",
        "masked categories",
        "not zero",
        cls=WithoutItsMask,
        arguments={"category_mask": LOGITS > LOGITS.min(-1, keepdims=True)},
    ),
    fault("Counted", "seeds", "seed 4 repeat a call with seed 3", cls=Counted),
    fault("StateInWeights", "weights", "same noise", cls=StateInWeights),
    fault("SameDefault", "layers", "same values", cls=SameDefault),
    fault("SeededGenerator", "keras file", "repeats the noise", seed=3),
    fault("Smallest", "frequencies", "probability 0.001", {"noise": smallest}),
    fault(
        "Exponential", "frequencies", "0.001 was drawn", {"noise": exponential}
    ),
    fault(
        "TemperedLogits",
        "frequencies",
        "0.001 was drawn",
        {"soften": tempered_logits},
    ),
    # The larger the sample, the farther: 10 times from 2^22 variables on.
    fault(
        "InHalfPrecision",
        "frequencies in bfloat16",
        "0.001 was drawn",
        {"noise": in_half_precision},
        times=1.2,
    ),
    fault(
        "InfiniteInHalfPrecision",
        "half precision",
        "not finite",
        {"noise": without_a_floor},
    ),
    fault("StaticShape", "batch size", "", {"noise": static_shape}),
    fault(
        "SoftenedTwice",
        "extremes",
        "the category that they leave possible in training",
        {"soften": softened_twice},
    ),
    fault("Least", "inference", "possible in inference", {"infer": least}),
    fault(
        "AlongAnotherAxis",
        "inference",
        "sum to one",
        {"infer": along_another_axis},
    ),
    fault("Unstable", "extremes", "not finite", {"soften": unstable}),
    fault(
        "NormalisedOverTheBatch",
        "NaN",
        "NaN of others",
        {"soften": normalised_over_the_batch},
    ),
    fault("HidesNaN", "NaN", "hold NaN gave finite", {"soften": hides_nan}),
    fault(
        "Float32Always",
        "half precision",
        "declared as float16|declared as bfloat16",
        {"call": float32_always, "compute_output_shape": declared_shape},
    ),
    fault("MixesDtypes", "half precision", "float", {"call": mixes_dtypes}),
    fault("ByPython", "xla", "", {"noise": by_python}),
    fault("WithoutMask", "masks", "no mask", {"compute_mask": without_mask}),
    fault("NoiseInInference", "inference", "differ", {"infer": Right.sample}),
    fault("Index", "inference", "shape", {"infer": index}),
    fault(
        "NumberAsTemperature",
        "temperature",
        "standard errors",
        cls=NumberAsTemperature,
    ),
    fault("InverseTemperature", "temperature", "harder", {"soften": inverse}),
    fault("AnnealsInPython", "graph", "schedule", cls=AnnealsInPython),
    fault(
        "WithoutSuper",
        "configuration",
        "takes dtype",
        {"get_config": without_super},
    ),
    Fault(
        "FixedStddev",
        "gradient",
        FixedStddev,
        "no gradient.*input 1",
        PAIR,
        {"distribution": "gaussian"},
    ),
    fault(
        "TemperatureMissing",
        "configuration",
        "takes temperature",
        {"get_config": config_without("temperature")},
    ),
    fault(
        "SeedMissing",
        "configuration",
        "takes seed",
        {"get_config": config_without("seed")},
    ),
    Fault(
        "HalfStddev",
        "frequencies",
        HalfStddev,
        "distance from gaussian",
        PAIR,
        {"distribution": "gaussian"},
    ),
    Fault(
        "MinusTheMean",
        "inference",
        MinusTheMean,
        "neither mode, mean nor median of gaussian",
        PAIR,
        {"distribution": "gaussian"},
    ),
    Fault(
        "ProbabilitiesForLogits",
        "frequencies",
        Unclipped,
        "of 0.3 at",
        LOGITS,
        {"distribution": "bernoulli"},
    ),
)


class OfTFP(keras.layers.Layer):
    """TFP's relaxed one-hot, in float32, without a mode of its own."""

    def call(self, logits):
        from tensorflow_probability import distributions as tfd

        logits = tf.cast(logits, tf.float32)
        sample = tfd.RelaxedOneHotCategorical(0.5, logits).sample()
        return tf.cast(sample, self.compute_dtype)


@saved
class NoisyReLU(keras.layers.Layer):
    """Has a kink in each of its many units."""

    def call(self, inputs, training=None):
        if training:
            noise = tf.random.normal(tf.shape(inputs), stddev=0.1)
            inputs += tf.cast(noise, inputs.dtype)
        return tf.nn.relu(tf.repeat(inputs, 16, axis=-1))


@saved
class Coin(keras.layers.Layer):
    """Throws one coin for the batch, and none without `scale`."""

    def call(self, inputs, scale=0.0, training=None):
        if not training:
            return inputs
        head = tf.cast(tf.random.uniform([]) < 0.5, inputs.dtype)
        return inputs * (1.0 + head * tf.cast(scale, inputs.dtype))


@saved
class Mixed(keras.layers.Layer):
    """Adds noise, and to every example the one before it."""

    def call(self, inputs, training=None):
        if not training:
            return inputs
        noise = tf.cast(tf.random.normal(tf.shape(inputs)), inputs.dtype)
        return inputs + noise + tf.roll(inputs, 1, axis=0)


@saved
class DrawsByDefault(Right):
    """As Keras's layers of image augmentation."""

    def call(self, logits, training=True):
        return super().call(logits, training=training)


@saved
class Encoder(keras.layers.Layer):
    """Takes integers, and returns the sample last, as encoders do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = keras.layers.Embedding(7, 2)
        self.extra = keras.layers.Dense(2)
        self.tau = 0.5

    def call(self, indices, training=None):
        mean = self.table(indices)
        noise = tf.random.normal(tf.shape(mean)) if training else 0.0
        return mean, self.extra(mean), mean + tf.cast(noise, mean.dtype)


@saved
class OfDict(Right):
    """Takes its logits in a dict, along with what is of no effect."""

    def call(self, inputs, training=None):
        return super().call(inputs["logits"], training=training)


@saved
class Nested(keras.layers.Layer):
    """Leaves the precision of the layer inside to the global policy."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate = Right()

    def call(self, inputs, training=None):
        return inputs * self.gate(inputs, training=training)


@saved
class OfProbabilities(Right):
    """Takes probabilities instead of logits."""

    def call(self, probabilities, training=None):
        logits = tf.math.log(tf.cast(probabilities, tf.float32) + TINY)
        return super().call(logits, training=training)


@saved
class OtherAxis(Right):
    """Has its categories on the axis before the last."""

    def call(self, logits, training=None):
        swapped = super().call(tf.linalg.matrix_transpose(logits), training)
        return tf.linalg.matrix_transpose(swapped)


@saved
class LogisticNormal(keras.layers.Layer):
    """A point of the simplex that no Gumbel noise gave."""

    def call(self, inputs, training=None):
        noise = tf.random.normal(tf.shape(inputs)) if training else 0.0
        return tf.nn.softmax(inputs + tf.cast(noise, inputs.dtype))


@saved
class Poisson(keras.layers.Layer):
    """Draws by an operation that never returns for NaN."""

    def call(self, inputs, training=None):
        rate = tf.nn.softplus(inputs)
        if not training:
            return tf.round(rate)
        return rate + tf.stop_gradient(tf.random.poisson([], rate) - rate)


@saved
class Seldom(keras.layers.Layer):
    """Drops the whole batch but for one call of ten."""

    def call(self, inputs, training=None):
        if not training:
            return inputs
        kept = tf.random.uniform([]) < 0.1
        return inputs * tf.cast(kept, inputs.dtype) * 10.0


class HardForAll(Right):
    """Hard samples, of one noise for the batch."""

    noise = one_for_the_batch


@saved
class NoisyCell(keras.layers.Layer):
    """A cell whose state has the precision of the loop around it."""

    state_size = 8

    def call(self, inputs, states, training=None):
        noise = tf.random.normal(tf.shape(inputs), dtype=inputs.dtype)
        state = states[0] + inputs + (noise if training else 0.0)
        return state, [state]


class OfFunction(keras.layers.Layer):
    """Has no configuration."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return inputs + self.function(tf.shape(inputs), dtype=inputs.dtype)


# By arguments of `check_layer`, where they take some.
OPTIONS = {
    "coin": {"per_example": False, "arguments": {"scale": np.float32(0.5)}},
    "mixed": {"per_example": False},
}
RIGHT = {
    "Dropout": lambda: keras.layers.Dropout(0.3),
    "GaussianNoise": lambda: keras.layers.GaussianNoise(0.7),
    "hand-written": Right,
    "hand-written-hard": lambda: Right(hard=True),
    "tfp": OfTFP,
    "kinks": NoisyReLU,
    "coin": Coin,
    "mixed": Mixed,
    # Its initial weights have no kernel in bfloat16.
    "GRU": lambda: keras.layers.GRU(2, dropout=0.3),
    "draws-by-default": DrawsByDefault,
    "GumbelSoftmax": lambda: tg.GumbelSoftmax(0.5),
}
