"""What a row of `cases.py` is, and how rows of one kind are made."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.helpers import definitions
from tfgumbel import estimators

RANDOM = np.random.default_rng(20)
# [B, D, K] for categories, the same for anything else.
LOGITS = RANDOM.normal(size=(3, 2, 4)).astype("float32")
MEAN, SCALE = RANDOM.normal(size=(2, 3, 2, 4)).astype("float32")
COST, LOG_PROB = RANDOM.normal(size=(2, 3)).astype("float32")
CONTEXT = RANDOM.normal(size=(3, 2)).astype("float32")
MATRICES = np.random.default_rng(21).normal(size=(3, 4, 4)).astype("float32")
GATES = np.random.default_rng(22).normal(size=(3, 4)).astype("float32")
# Legal categories on every axis.
MASK = np.indices((3, 2, 4)).sum(axis=0) % 3 != 0
# Mean and triangle of four coordinates.
TRIL = ((MEAN, np.concatenate([SCALE, LOGITS, MEAN], -1)[..., :10]),)
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
        noise: The function of `tfgumbel.random` that the layer draws with, or
            one of `definitions.NOISE_OF_ROWS`.
        law: What the samples follow: "categorical", "subset",
            "plackett_luce", "order", "matching", "embedding",
            "codes", "bernoulli", "gaussian", "gaussian_tril", "continuous".
        relaxed: Whether there is an inference mode "relaxed".
        axes: Axes that may hold the categories, if the layer takes an axis.
        anneals: The attribute that a schedule may be given for.
        slow_to_compile: Whether the test under XLA is one of the slow ones.
        couples: Whether an example acts on the gradients of others.
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
    slow_to_compile: bool = False
    couples: bool = False

    @property
    def draws_always(self):
        """Whether it draws noise without training too, by default."""
        return self.noise is not None and self.law is None

    @property
    def modes(self):
        """Every value of the argument `inference`."""
        if self.law is None:
            return []
        relaxed = ["relaxed"] if self.relaxed else []
        return [*self.inference, "sample", *relaxed]


@dataclasses.dataclass(frozen=True)
class EstimatorCase:
    """One row: an estimator, and what it must stand."""

    id: str
    name: str
    kwargs: dict = dataclasses.field(default_factory=dict)
    laws: tuple = ("bernoulli", "categorical")
    draws: int = 100_000
    # The smallest bias worth catching, relative to the largest coordinate of
    # the exact gradient.
    bias: float = 0.1
    multi_sample_bound: bool = False
    biased: bool = False

    def make(self, law, **kwargs):
        return estimators.get(
            self.name, distribution=law, **{**self.kwargs, **kwargs}
        )

    @property
    def cls(self):
        return type(self.make(self.laws[0]))


def categorical_row(
    name, layer, training, mask=False, noise=tg.random.gumbel, **kwargs
):
    return LayerCase(
        name,
        functools.partial(
            layer, **{"seed": SEED, "temperature": 0.7, **kwargs}
        ),
        (LOGITS, MASK) if mask else (LOGITS,),
        training,
        definitions.CATEGORICAL_INFERENCE,
        noise=noise,
        law="categorical",
        relaxed=True,
        axes=(-3, -2, 0, 1, 2),
        anneals="temperature",
    )


def plackett_luce_row(name, training, mask=False, **kwargs):
    """Two categories of three or four; axis 1 has but two."""
    kwargs = {"k": 2, "distribution": "plackett_luce", **kwargs}
    return dataclasses.replace(
        categorical_row(name, tg.SubsetSampler, training, mask, **kwargs),
        inference=definitions.SUBSET_INFERENCE,
        law="plackett_luce",
        axes=(-3, 0, 2),
    )


def subset_row(name, training, mask=False, **kwargs):
    return dataclasses.replace(
        plackett_luce_row(name, training, mask, **kwargs),
        make=functools.partial(tg.SubsetSampler, k=2, seed=SEED, **kwargs),
        inference=definitions.EXACT_SUBSET_INFERENCE,
        noise=tg.random.uniform64,
        law="subset",
        anneals=None,
    )


def permutation_row(name, training, inputs=LOGITS, law="order", **kwargs):
    inference = (
        definitions.SORT_INFERENCE
        if law == "order"
        else definitions.MATCHING_INFERENCE
    )
    return LayerCase(
        f"PermutationSampler-{name}",
        functools.partial(
            tg.PermutationSampler,
            **{"temperature": 0.7, "seed": SEED, **kwargs},
        ),
        (inputs,),
        training,
        inference,
        noise=tg.random.gumbel,
        law=law,
        relaxed=True,
        anneals="temperature",
    )


def gate_row(name, training, *gates, **kwargs):
    hard_concrete = training is definitions.hard_concrete_gate
    return LayerCase(
        f"StochasticGate-{name}",
        functools.partial(
            tg.StochasticGate,
            **{"weight": 0.7, "seed": SEED, **kwargs},
            initializer=keras.initializers.RandomNormal(0.4, seed=3),
        ),
        (LOGITS, *gates),
        training,
        definitions.HARD_CONCRETE_INFERENCE
        if hard_concrete
        else definitions.GAUSSIAN_GATE_INFERENCE,
        noise=definitions.logistic_of_gates
        if hard_concrete
        else definitions.normal_of_gates,
        axes=() if gates else (-2, 1, 2),
        anneals="weight",
    )


def selector_row():
    """As many nodes as features, for an output of the shape of the input."""
    return LayerCase(
        "ConcreteSelector",
        functools.partial(
            tg.ConcreteSelector,
            **{"k": 4, "temperature": 0.7, "seed": SEED},
            initializer=keras.initializers.RandomNormal(seed=3),
        ),
        (LOGITS,),
        definitions.concrete_selector,
        {
            "default": lambda layer, inputs: [
                tf.gather(inputs, layer.selected, axis=-1)
            ]
        },
        noise=definitions.concrete_selector_noise,
        anneals="temperature",
    )


def embedding_row(name, training, noise, mask=False, **kwargs):
    """With as many dimensions as categories, since outputs are compared."""
    row = categorical_row(
        f"StraightThroughEmbedding-{name}",
        tg.StraightThroughEmbedding,
        definitions.embedded(training),
        mask,
        noise,
        categories=4,
        dim=4,
        embeddings_initializer=keras.initializers.RandomNormal(1.0, seed=3),
        **kwargs,
    )
    return dataclasses.replace(
        row,
        inference=definitions.EMBEDDING_INFERENCE,
        law="embedding",
        axes=(),
    )


def quantizer_row(name, training, noise=None, **kwargs):
    """Five codes for vectors of four numbers."""
    options = {"codes": 5, "dim": 4, "scale": 8.0, "revive_after": 100.0}
    return LayerCase(
        f"StochasticQuantizer-{name}",
        functools.partial(
            tg.StochasticQuantizer,
            **{"seed": SEED, **options, **kwargs},
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=3),
        ),
        (LOGITS,),
        training,
        definitions.CODE_INFERENCE,
        noise=noise,
        law="codes" if noise is not None else None,
        relaxed=noise is not None,
        anneals="scale",
    )


def usage_row(kind, training, **kwargs):
    return dataclasses.replace(
        kl_row(
            f"CodeUsageLoss-{kind}",
            tg.CodeUsageLoss,
            (LOGITS,),
            training,
            kind=kind,
            **kwargs,
        ),
        couples=True,
    )


def bernoulli_row(name, layer, training, **kwargs):
    return LayerCase(
        name,
        functools.partial(layer, seed=SEED, temperature=0.7, **kwargs),
        (LOGITS,),
        training,
        definitions.BERNOULLI_INFERENCE,
        noise=tg.random.logistic,
        law="bernoulli",
        relaxed=True,
        anneals="temperature",
    )


def gaussian_inputs(parameterization):
    scale = np.exp(SCALE) if parameterization == "stddev" else SCALE
    return ((MEAN, scale),)


def gaussian_row(parameterization):
    return LayerCase(
        f"ReparamGaussian-{parameterization}",
        functools.partial(
            tg.ReparamGaussian, parameterization=parameterization, seed=SEED
        ),
        gaussian_inputs(parameterization),
        definitions.reparam_gaussian,
        {"mean": definitions.gaussian_mean, "mode": definitions.gaussian_mean},
        noise=tg.random.normal,
        law="gaussian",
    )


def gaussian_tril_row():
    return dataclasses.replace(
        gaussian_row("tril"),
        inputs=TRIL,
        training=definitions.reparam_gaussian_tril,
        law="gaussian_tril",
    )


def continuous_row(name, inputs):
    """The sample itself is the noise: its law is tested by scipy."""
    return LayerCase(
        f"ImplicitReparam-{name}",
        functools.partial(tg.ImplicitReparam, name, seed=SEED),
        (inputs,),
        definitions.CONTINUOUS_TRAINING[name],
        definitions.CONTINUOUS_INFERENCE[name],
        noise=functools.partial(definitions.continuous_noise, name, inputs),
        law="continuous",
        slow_to_compile=True,
    )


def reinforce_row(name, inputs, training, distribution="categorical", **kwargs):
    return LayerCase(
        f"ReinforceSampler-{name}",
        functools.partial(
            with_baseline,
            tg.ReinforceSampler,
            distribution=distribution,
            seed=SEED,
            **kwargs,
        ),
        inputs,
        training,
        definitions.REINFORCE_INFERENCE,
        noise=definitions.NOISE_OF[distribution],
        law=distribution,
    )


def with_baseline(layer, baseline=None, **kwargs):
    """A `"dense"` one is a layer of its own for every layer of the row."""
    if baseline == "dense":
        baseline = keras.layers.Dense(
            1, kernel_initializer="ones", dtype="float32"
        )
    return layer(baseline=baseline, **kwargs)


def score_row(name, baseline=None):
    context = () if baseline in (None, "moving_average") else (CONTEXT,)
    return LayerCase(
        f"ScoreFunctionCost-{name}",
        functools.partial(
            with_baseline, tg.ScoreFunctionCost, baseline=baseline
        ),
        (COST, LOG_PROB, *context),
        definitions.costs,
        {"default": lambda layer, cost, log_prob, context=None: [cost]},
    )


def kl_row(name, layer, inputs, training, noise=None, **kwargs):
    return LayerCase(
        name,
        functools.partial(layer, **{"weight": 0.7, **kwargs}),
        inputs,
        training,
        {"default": lambda layer, inputs: tf.nest.flatten(inputs)},
        noise=noise,
        slow_to_compile=layer is tg.KLDivergence,
        axes=(-2, 1, 2) if layer is tg.CategoricalKL else (),
        anneals="weight",
    )
