"""Stochastic nodes for Keras 3 on TensorFlow, with correct gradients."""

from tfgumbel import estimators, losses, ops, random, schedules

__version__ = "0.1.0"

__all__ = ["estimators", "losses", "ops", "random", "schedules"]
