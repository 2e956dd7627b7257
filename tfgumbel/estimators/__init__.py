"""Estimators of ∇E[f(z)] behind one contract."""

from tfgumbel.estimators.baseline import Baseline

__all__ = ["Baseline"]
