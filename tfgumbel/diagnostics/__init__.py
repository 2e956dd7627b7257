"""Which estimator to use: bias, variance, signal-to-noise and cost.

`compare` measures estimators of ∇E[f(z)] on a problem of yours; its result
prints as a table and ends with a recommendation. `python -m tfgumbel compare`
does the same on built-in problems, and trains on them.
"""

from tfgumbel.diagnostics import estimates, plots, problems, table, training
from tfgumbel.diagnostics.compare import compare
from tfgumbel.diagnostics.comparison import Comparison
from tfgumbel.diagnostics.moments import Moments
from tfgumbel.diagnostics.row import Row

__all__ = [
    "Comparison",
    "Moments",
    "Row",
    "compare",
    "estimates",
    "plots",
    "problems",
    "table",
    "training",
]
