"""Keras models that bring each example's cost to the samplers inside."""

from tfgumbel.models.score_function_mixin import ScoreFunctionMixin
from tfgumbel.models.stochastic_model import StochasticModel

__all__ = ["ScoreFunctionMixin", "StochasticModel"]
