"""Keras layers: they hold weights and a seed, draw noise and call ops."""

from tfgumbel.layers.binary_concrete import BinaryConcrete
from tfgumbel.layers.code_usage_loss import CodeUsageLoss
from tfgumbel.layers.concrete_selector import ConcreteSelector
from tfgumbel.layers.cost_collector import CostCollector
from tfgumbel.layers.draw import Draw
from tfgumbel.layers.expected_cost import ExpectedCost
from tfgumbel.layers.gumbel_softmax import GumbelSoftmax
from tfgumbel.layers.implicit_reparam import ImplicitReparam
from tfgumbel.layers.kl_divergence import KLDivergence
from tfgumbel.layers.kl_layers import BernoulliKL, CategoricalKL, GaussianKL
from tfgumbel.layers.permutation_sampler import PermutationSampler
from tfgumbel.layers.prune_gates import prune_gates
from tfgumbel.layers.reinforce_sampler import ReinforceSampler
from tfgumbel.layers.reparam_gaussian import ReparamGaussian
from tfgumbel.layers.sampling_scope import SamplingScope
from tfgumbel.layers.score_function_cost import ScoreFunctionCost
from tfgumbel.layers.shares import Shares
from tfgumbel.layers.stochastic_gate import StochasticGate
from tfgumbel.layers.stochastic_quantizer import StochasticQuantizer
from tfgumbel.layers.straight_through_bernoulli import StraightThroughBernoulli
from tfgumbel.layers.straight_through_categorical import (
    StraightThroughCategorical,
)
from tfgumbel.layers.straight_through_embedding import (
    StraightThroughEmbedding,
)
from tfgumbel.layers.subset_sampler import SubsetSampler

__all__ = [
    "BernoulliKL",
    "BinaryConcrete",
    "CategoricalKL",
    "CodeUsageLoss",
    "ConcreteSelector",
    "CostCollector",
    "Draw",
    "ExpectedCost",
    "GaussianKL",
    "GumbelSoftmax",
    "ImplicitReparam",
    "KLDivergence",
    "PermutationSampler",
    "ReinforceSampler",
    "ReparamGaussian",
    "SamplingScope",
    "ScoreFunctionCost",
    "Shares",
    "StochasticGate",
    "StochasticQuantizer",
    "StraightThroughBernoulli",
    "StraightThroughCategorical",
    "StraightThroughEmbedding",
    "SubsetSampler",
    "prune_gates",
]
