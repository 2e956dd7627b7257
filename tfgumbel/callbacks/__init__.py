"""Callbacks for annealing and for watching gradients."""

from tfgumbel.callbacks.gradient_statistics import GradientStatistics
from tfgumbel.callbacks.temperature_scheduler import TemperatureScheduler

__all__ = ["GradientStatistics", "TemperatureScheduler"]
