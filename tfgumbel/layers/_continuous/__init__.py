"""The continuous distributions of `ImplicitReparam` and `KLDivergence`."""

from tfgumbel.layers._continuous.distribution import Continuous
from tfgumbel.layers._continuous.table import DISTRIBUTIONS, get

__all__ = ["DISTRIBUTIONS", "Continuous", "get"]
