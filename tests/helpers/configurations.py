"""What can be configured, and values for each argument, usual and odd.

A subject is a callable and, for each of its arguments, a pool. Odd values are
mostly wrong; whether one is depends on the others, and on the subject.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.layers.calls import training_values

NAN, INF = float("nan"), float("inf")


@dataclasses.dataclass(frozen=True)
class Pool:
    """Values that usually work, and others."""

    usual: tuple
    odd: tuple = ()


@dataclasses.dataclass(frozen=True)
class Subject:
    """`run(random, **arguments)` returns all tensors that come of a call."""

    run: Callable[..., list]
    pools: dict[str, Pool]


HUGE = 10**400  # no float
NUMBERS = (True, None, "hot", [0.5], NAN, INF, 1e300, HUGE)
BOOL = Pool((False, True))
EXTREME = (0, -1.0, 1e-300, 1e-38, 1e-37, 1e38)
POSITIVE = Pool((0.5, 1, np.float64(2.0)), (*EXTREME, *NUMBERS))
OPTIONAL = Pool((None, 0.5), (*EXTREME, *NUMBERS))
COUNT = Pool((1, 2, np.int64(3)), (0, -1, 1.5, True, None, "2", [1]))
SEED = Pool((None, 7, -3, np.int32(5)), (1.5, True, "one", [1], 2**70))
ANNEALED = Pool(
    (0.5, 1, np.float32(2.0), tg.schedules.ExponentialAnnealing()),
    (*EXTREME, lambda step: -1.0, *NUMBERS),
)
AXIS = Pool((-1,), (1, -2, 5, -9, 1.0, True, None, "last"))
POLICY = Pool(("float32", "mixed_float16", "mixed_bfloat16"), ("float64",))
WIDE = Pool(("float32", "mixed_bfloat16"), ("float64",))
SHAPE = Pool(
    ((3, 4), (2, 3, 4), (1, 2)),
    ((0, 3), (0, 2, 3), (), (4,), (3, 1), (2, 0), (2, 1, 2, 3)),
)
DTYPE = Pool(
    ("float32", "float16", "bfloat16", "float64"),
    ("int32", "bool", "complex64", "string"),
)
SCALE = Pool((1.0, 0.0, 30.0))
GENTLE = Pool((1.0, 0.0))
# Of one tensor relative to another one's shape.
FORM = Pool(("same",), ("wide", "deep", "vector", "scalar", "string"))
MASK = Pool(
    (None, "all", "some"), ("none", "wide", "vector", "float", "string")
)

# Only categorical variables take one.
RARE_MASK = Pool((None,), (*MASK.usual[1:], *MASK.odd))


def inferences(*names):
    return Pool(names, ("best", None, 3))


def choices(*names):
    return Pool(names, ("unknown", None, 3, ["st"]))


def tensor(random, shape, dtype, scale=1.0):
    """Random numbers as a tensor of any type."""
    values = tf.constant(random.normal(size=shape) * scale)
    if dtype == "string":
        return tf.strings.as_string(values)
    return tf.cast(values, dtype)


def formed(random, shape, dtype, form, scale=1.0):
    """Another tensor of the shape, or not quite."""
    shape = {
        "same": shape,
        "string": shape,
        "wide": (*shape[:-1], 7),
        "deep": (5, *shape),
        "vector": (3,),
        "scalar": (),
    }[form]
    return tensor(random, shape, "string" if form == "string" else dtype, scale)


def category_mask(random, shape, mask):
    if mask is None:
        return None
    if mask in ("string", "wide", "vector"):
        form = {"string": "same"}.get(mask, mask)
        kind = "string" if mask == "string" else "bool"
        return formed(random, shape, kind, form)
    legal = np.full(shape, mask in ("all", "float"))
    if mask == "some" and shape and shape[-1]:
        legal[...] = random.random(shape) < 0.5
        legal[..., 0] = legal[..., -1] = True
    return tf.cast(legal, "float32" if mask == "float" else "bool")


def floating(inputs):
    return [t for t in tf.nest.flatten(inputs) if t.dtype.is_floating]


def with_gradients(call, inputs):
    """What `call(*inputs)` returns, and its gradients in the inputs."""
    sources = floating([t for t in tf.nest.flatten(inputs) if t is not None])
    with tf.GradientTape() as tape:
        tape.watch(sources)
        values = tf.nest.flatten(call(*inputs))
        total = [
            tf.reduce_sum(tf.cast(value, tf.float64))
            for value in floating(values)
        ]
    gradients = tape.gradient(total, sources) if total else []
    return [*values, *(g for g in gradients if g is not None)]


def called(layer, training, *inputs):
    """Outputs, losses and costs of a call, and gradients in training."""
    if not training:
        outputs = tf.nest.flatten(layer(*inputs))
        return [*outputs, *layer.losses]
    return with_gradients(lambda *x: training_values(layer, x), inputs)


def layer_subject(make, inputs, **pools):
    """A layer: `inputs(random, arguments)` takes what is no keyword of it."""

    def run(random, training, **arguments):
        tensors = inputs(random, arguments)
        return called(make(**arguments), training, *tensors)

    return Subject(run, {"training": BOOL, **pools})


def logits_and_mask(random, arguments):
    shape, dtype, scale, mask = map(
        arguments.pop, ("shape", "input_dtype", "scale", "mask")
    )
    logits = tensor(random, shape, dtype, scale)
    return logits, category_mask(random, shape, mask)


def logits_alone(random, arguments):
    shape, dtype, scale = map(arguments.pop, ("shape", "input_dtype", "scale"))
    return (tensor(random, shape, dtype, scale),)


def logits_and_gates(random, arguments):
    """Gates of each example, or of a wrong shape; or the layer's own."""
    shape, dtype, form = map(arguments.get, ("shape", "input_dtype", "form"))
    arguments.pop("form")
    (logits,) = logits_alone(random, arguments)
    if random.random() < 0.5:
        return (logits,)
    return logits, formed(random, (*shape[:1], *shape[-1:]), dtype, form)


LOGITS = {"shape": SHAPE, "input_dtype": DTYPE, "scale": SCALE}
MASKED = {**LOGITS, "mask": MASK}
CATEGORICAL = {
    **MASKED,
    "axis": AXIS,
    "seed": SEED,
    "dtype": POLICY,
    "temperature": ANNEALED,
    "inference": inferences("mode", "sample", "mean", "relaxed"),
}
BITS = {k: v for k, v in CATEGORICAL.items() if k not in ("axis", "mask")}
RELAXED = {
    "hard": BOOL,
    "backward_temperature": OPTIONAL,
    "trainable_temperature": Pool((False,), (True,)),
}
THROUGH = choices(*tg.estimators.surrogates())
BACKWARD = {
    "noise_samples": COUNT,
    "backward_temperature": Pool((None,), (0.5, 0)),
}


def pair(random, arguments):
    shape, dtype, form = map(arguments.pop, ("shape", "input_dtype", "form"))
    if arguments.get("parameterization") == "tril":
        size = shape[-1] if shape else 1
        scale = tensor(random, (*shape[:-1], size * (size + 1) // 2), dtype)
        return ((tensor(random, shape, dtype), scale),)
    scale = formed(random, shape, dtype, form)
    if (
        arguments.get("parameterization") == "stddev"
        and scale.dtype.is_floating
    ):
        scale = tf.abs(scale) + 1
    return ((tensor(random, shape, dtype), scale),)


PAIR = {"shape": SHAPE, "input_dtype": DTYPE, "form": FORM}
PARAMETERIZATION = choices(
    "log_variance", "log_stddev", "softplus", "stddev", "tril"
)
PATHWISE = [
    name
    for name in tg.distributions.available()
    if name == "truncated_normal" or "pathwise" in tg.estimators.available(name)
]


def parameters(random, arguments):
    """As many tensors as the distribution has parameters."""
    shape, dtype, form = map(arguments.pop, ("shape", "input_dtype", "form"))
    name = arguments["distribution"]
    known = name in PATHWISE and name != "truncated_normal"
    law = tg.distributions.get(name) if known else None
    count = 2 if law is None else len(law.parameters)
    tensors = [tensor(random, shape, dtype) for _ in range(count - 1)]
    return ((*tensors, formed(random, shape, dtype, form)),)


CONTINUOUS = {
    "distribution": choices(*PATHWISE, "truncated_normal"),
    "bounds": Pool(
        (None, (-1.0, 2.0), (0, INF)),
        (
            (2, 1),
            (NAN, 1),
            (1,),
            3,
            "ab",
            ("a", "b"),
            (None, 1),
            (1e300, INF),
            (1, 1 + 1e-12),
            (0, 1e30),
        ),
    ),
    "seed": SEED,
    **PAIR,
}
BASELINE = Pool(
    (None, "moving_average", "nvil"), ("unknown", 3, len, True, [1], NAN)
)


def logits_and_context(random, arguments):
    (logits,) = logits_alone(random, arguments)
    if arguments["distribution"] == "gaussian":
        logits = (logits, tf.identity(logits))
    context = arguments.pop("context")
    if context is None:
        return (logits,)
    batch = tf.nest.flatten(logits)[0].shape[:1]
    return logits, formed(random, (*batch, 2), "float32", context)


def logits_context_and_mask(random, arguments):
    shape, mask = arguments["shape"], arguments.pop("mask")
    logits, *context = logits_and_context(random, arguments)
    mask = category_mask(random, shape, mask)
    return logits, context[0] if context else None, mask


CONTEXT = Pool((None, "same"), ("wide", "deep", "vector", "scalar", "string"))


def costs(random, arguments):
    size, form, dtype, context = map(
        arguments.pop, ("size", "form", "input_dtype", "context")
    )
    cost = tensor(random, (size,), dtype)
    log_prob = formed(random, (size,), dtype, form)
    if context is None:
        return cost, log_prob
    return cost, log_prob, formed(random, (size, 2), "float32", context)


def rows(z):
    """`[B, size]`, of an empty batch too."""
    size = tf.TensorShape(z.shape[1:]).num_elements()
    return tf.reshape(tf.cast(z, tf.float32), [-1, size])


COSTS = {
    "square": lambda z, *x: tf.reduce_sum(tf.square(rows(z) - 0.3), axis=1),
    "constant": lambda z, *x: tf.zeros(tf.shape(z)[:1]),
    "half": lambda z, *x: tf.cast(tf.reduce_sum(rows(z), axis=1), "float16"),
    "scalar": lambda z, *x: tf.reduce_sum(z),
    "matrix": lambda z, *x: rows(z),
    "integer": lambda z, *x: tf.cast(tf.reduce_sum(rows(z), 1), tf.int32),
    "none": lambda z, *x: None,
    "number": 3,
}
COST = Pool(
    ("square", "square", "half"),
    ("constant", "scalar", "matrix", "integer", "none", "number"),
)
LAWS = choices("categorical", "bernoulli")


def expected_cost(cost, **arguments):
    return tg.ExpectedCost(COSTS[cost], **arguments)


def estimator_subject(name):
    cls = type(tg.estimators.get(name))

    def run(random, shape, input_dtype, scale, cost, noise, **arguments):
        law = arguments.get("distribution")
        estimator = tg.estimators.get(name, **arguments)
        logits = tensor(random, shape, input_dtype, scale)
        count = len(estimator.distribution.parameters)
        if law == "binomial" and floating(logits):
            logits = (tf.abs(logits) * 0 + 2, logits)
        elif law == "subset" and floating(logits) and logits.shape.rank:
            logits = (tf.ones(logits.shape[:-1], logits.dtype), logits)
        elif count > 1:
            logits = (logits,) * count
        return with_gradients(
            lambda x: estimator(COSTS[cost], x, noise), (logits,)
        )

    others = [law for law in ("gaussian", "poisson") if law not in laws(cls)]
    pools = {
        "distribution": Pool(laws(cls), (*others, "unknown", None, 3)),
        "samples": COUNT,
        "cost": COST,
        "noise": Pool(([1, 2],), (1, [1], [1, 2, 3], "ab", [0.5, 1.0], None)),
        **LOGITS,
        "scale": GENTLE,
    }
    return Subject(run, {**pools, **ESTIMATOR_ARGUMENTS.get(name, {})})


def laws(cls):
    """The distributions it serves, by name; one has to be given bounds."""
    return tuple(
        name
        for name in tg.distributions.available()
        if name != "truncated_normal"
        and cls.refusal(tg.distributions.get(name)) is None
    )


COOLED = {"temperature": POSITIVE}
ETA = Pool((0.0, 1, -0.5), (True, None, "x", NAN, INF, 1e300, HUGE))
LEARNED = Pool(
    (None, 0.5, "optimal", "moving_average", "nvil"),
    ("unknown", len, True, [1], NAN, INF, 1e300),
)
ESTIMATOR_ARGUMENTS = {
    "exact": {
        "limit": Pool((64,), (2, *COUNT.odd)),
        "chunk_size": Pool((None, 3), COUNT.odd[:-1]),
    },
    "double_cv": {"alpha": ETA, "learn_alpha": BOOL},
    "gapped": COOLED,
    "gumbel_rao": {**COOLED, "noise_samples": COUNT},
    "gumbel_softmax": COOLED,
    "mve": COOLED,
    "nvil": {"baseline": LEARNED},
    "rebar": {
        **COOLED,
        "eta": ETA,
        "learn_eta": BOOL,
        "learn_temperature": BOOL,
        "tied": BOOL,
    },
    "reinforce": {"baseline": LEARNED},
    "reinmax": COOLED,
    "relax": {
        **COOLED,
        "network": Pool((None,), (3, "net", len)),
        "relaxed_cost": BOOL,
        "tied": BOOL,
    },
    "rodeo": {"units": COUNT},
    "st": COOLED,
    "st_gumbel": {**COOLED, "backward_temperature": OPTIONAL},
}

PRIOR = Pool((0.0, 0.5), (NAN, INF, None, "x", [1.0, 2.0], [[1.0] * 9], HUGE))
WEIGHT = Pool(
    (0.0, 1, 2.5, tg.schedules.ExponentialAnnealing()),
    (-1.0, 1e-300, lambda step: -1.0, *NUMBERS),
)
NATURAL = Pool(
    (None,), ((1.0,), (1.0, NAN), ("a", "b"), 3, "ab", (0, 0), ([1.0] * 9, 2))
)

SUBJECTS = {
    "GumbelSoftmax": layer_subject(
        tg.GumbelSoftmax, logits_and_mask, **CATEGORICAL, **RELAXED
    ),
    "StraightThroughCategorical": layer_subject(
        tg.StraightThroughCategorical,
        logits_and_mask,
        **CATEGORICAL,
        **BACKWARD,
        estimator=THROUGH,
    ),
    "StraightThroughEmbedding": layer_subject(
        tg.StraightThroughEmbedding,
        logits_and_mask,
        **{k: v for k, v in CATEGORICAL.items() if k != "axis"},
        estimator=THROUGH,
        categories=Pool((4,), (2, 1, 3, *COUNT.odd)),
        dim=COUNT,
        noise_samples=COUNT,
    ),
    "SubsetSampler": layer_subject(
        tg.SubsetSampler,
        logits_and_mask,
        **CATEGORICAL,
        **{"hard": BOOL, "backward_temperature": OPTIONAL},
        k=Pool((1, 2, np.int64(3), (1, 2)), (*COUNT.odd, (0, 0), (2,), "12")),
        distribution=choices("subset", "plackett_luce"),
        estimator=Pool((None, "marginal", "relaxed", "implicit_mle"), ("st",)),
        step=POSITIVE,
        group_size=Pool((None,), (2, 4, *COUNT.odd)),
    ),
    "PermutationSampler": layer_subject(
        tg.PermutationSampler,
        logits_alone,
        **LOGITS,
        relaxation=choices("soft_sort", "neural_sort", "sinkhorn"),
        temperature=ANNEALED,
        backward_temperature=OPTIONAL,
        hard=BOOL,
        iterations=COUNT,
        inference=inferences("mode", "sample", "relaxed"),
        seed=SEED,
        dtype=POLICY,
    ),
    "StochasticGate": layer_subject(
        tg.StochasticGate,
        logits_and_gates,
        **LOGITS,
        form=FORM,
        kind=choices("hard_concrete", "gaussian"),
        weight=WEIGHT,
        axis=AXIS,
        sparsity=Pool((None, 0.5, 0), (1.0, *EXTREME, *NUMBERS)),
        temperature=Pool((None,), (*POSITIVE.usual, *POSITIVE.odd)),
        stddev=Pool((None,), (*POSITIVE.usual, *POSITIVE.odd)),
        inference=inferences("mode", "sample"),
        seed=SEED,
        dtype=POLICY,
    ),
    "ConcreteSelector": layer_subject(
        tg.ConcreteSelector,
        logits_alone,
        **LOGITS,
        k=COUNT,
        temperature=ANNEALED,
        seed=SEED,
        dtype=POLICY,
    ),
    "BinaryConcrete": layer_subject(
        tg.BinaryConcrete, logits_alone, **BITS, **RELAXED
    ),
    "StraightThroughBernoulli": layer_subject(
        tg.StraightThroughBernoulli,
        logits_alone,
        **BITS,
        **BACKWARD,
        estimator=THROUGH,
    ),
    "ReparamGaussian": layer_subject(
        tg.ReparamGaussian,
        pair,
        **PAIR,
        parameterization=PARAMETERIZATION,
        inference=inferences("mean", "sample", "mode"),
        seed=SEED,
        dtype=WIDE,
    ),
    "ImplicitReparam": layer_subject(
        tg.ImplicitReparam,
        parameters,
        **CONTINUOUS,
        inference=Pool((None, "sample"), ("mean", "mode", "best", 3)),
        dtype=WIDE,
    ),
    "ReinforceSampler": layer_subject(
        tg.ReinforceSampler,
        logits_context_and_mask,
        **{**MASKED, "scale": GENTLE, "mask": RARE_MASK},
        context=CONTEXT,
        distribution=choices("categorical", "bernoulli", "gaussian"),
        baseline=BASELINE,
        return_log_prob=BOOL,
        normalize=BOOL,
        inference=inferences("mode", "sample", "mean"),
        seed=SEED,
        dtype=POLICY,
    ),
    "ScoreFunctionCost": layer_subject(
        tg.ScoreFunctionCost,
        costs,
        size=Pool((3, 1), (0,)),
        form=FORM,
        input_dtype=DTYPE,
        context=CONTEXT,
        baseline=BASELINE,
        normalize=BOOL,
    ),
    "ExpectedCost": layer_subject(
        expected_cost,
        logits_and_context,
        **{**LOGITS, "scale": GENTLE},
        context=CONTEXT,
        cost=COST,
        estimator=choices(*tg.estimators.available("bernoulli")),
        distribution=LAWS,
        add_loss=BOOL,
        inference=inferences("sample", "mode", "mean"),
        seed=SEED,
    ),
    "CategoricalKL": layer_subject(
        tg.CategoricalKL,
        logits_and_mask,
        **MASKED,
        prior_logits=Pool((None, *PRIOR.usual), PRIOR.odd),
        weight=WEIGHT,
        axis=AXIS,
        dtype=POLICY,
    ),
    "BernoulliKL": layer_subject(
        tg.BernoulliKL,
        logits_alone,
        **LOGITS,
        prior_logits=PRIOR,
        weight=WEIGHT,
        dtype=POLICY,
    ),
    "GaussianKL": layer_subject(
        tg.GaussianKL,
        pair,
        **PAIR,
        parameterization=PARAMETERIZATION,
        prior_mean=Pool((0.0, 1), (NAN, INF, None, "x", [1.0], 1e300, HUGE)),
        prior_stddev=POSITIVE,
        weight=WEIGHT,
        dtype=POLICY,
    ),
    "KLDivergence": layer_subject(
        tg.KLDivergence,
        parameters,
        **CONTINUOUS,
        prior=NATURAL,
        samples=COUNT,
        weight=WEIGHT,
    ),
    **{
        f"estimator-{name}": estimator_subject(name)
        for name in tg.estimators.available()
    },
}
