"""Stochastic nodes for Keras 3 on TensorFlow, with correct gradients.

Layers that sample (`GumbelSoftmax`, `StraightThroughCategorical`,
`BinaryConcrete`, `StraightThroughBernoulli`, `ReparamGaussian`,
`ReinforceSampler`), layers for costs and divergences, models and callbacks to
train them with `fit`, and below them the pure functions in `tfgumbel.ops`.
"""

from tfgumbel import (
    _startup,  # noqa: F401
    callbacks,
    diagnostics,
    distributions,
    estimators,
    layers,
    losses,
    metrics,
    models,
    ops,
    random,
    schedules,
    testing,
)
from tfgumbel.callbacks import GradientStatistics, TemperatureScheduler
from tfgumbel.layers import (
    BernoulliKL,
    BinaryConcrete,
    CategoricalKL,
    CodeUsageLoss,
    ConcreteSelector,
    ExpectedCost,
    GaussianKL,
    GumbelSoftmax,
    ImplicitReparam,
    KLDivergence,
    PermutationSampler,
    ReinforceSampler,
    ReparamGaussian,
    SamplingScope,
    ScoreFunctionCost,
    StochasticGate,
    StochasticQuantizer,
    StraightThroughBernoulli,
    StraightThroughCategorical,
    StraightThroughEmbedding,
    SubsetSampler,
    prune_gates,
)
from tfgumbel.metrics import (
    CodePerplexity,
    CodeUsage,
    LogMarginalLikelihood,
)
from tfgumbel.models import ScoreFunctionMixin, StochasticModel
from tfgumbel.ops import recommended_temperature

__version__ = "0.2.0"

__all__ = [
    "BernoulliKL",
    "BinaryConcrete",
    "CategoricalKL",
    "CodePerplexity",
    "CodeUsage",
    "CodeUsageLoss",
    "ConcreteSelector",
    "ExpectedCost",
    "GaussianKL",
    "GradientStatistics",
    "GumbelSoftmax",
    "ImplicitReparam",
    "KLDivergence",
    "LogMarginalLikelihood",
    "PermutationSampler",
    "ReinforceSampler",
    "ReparamGaussian",
    "SamplingScope",
    "ScoreFunctionCost",
    "ScoreFunctionMixin",
    "StochasticGate",
    "StochasticModel",
    "StochasticQuantizer",
    "StraightThroughBernoulli",
    "StraightThroughCategorical",
    "StraightThroughEmbedding",
    "SubsetSampler",
    "TemperatureScheduler",
    "callbacks",
    "diagnostics",
    "distributions",
    "estimators",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "prune_gates",
    "random",
    "recommended_temperature",
    "schedules",
    "testing",
]
