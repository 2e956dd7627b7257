"""Tails of Fisher's F, in float64 and for degrees of freedom that are real."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def survival(f: Any, d: float, nu: float) -> np.ndarray:
    """P(F > f) for d and ν degrees of freedom; accurate far out, too."""
    f = np.maximum(np.asarray(f, np.float64), 0.0)
    half = np.full(f.shape, nu / 2.0), np.full(f.shape, d / 2.0)
    return tf.math.betainc(*half, nu / (nu + d * f)).numpy()


def distribution(f: Any, d: float, nu: float) -> np.ndarray:
    """P(F <= f)."""
    f = np.maximum(np.asarray(f, np.float64), 0.0)
    half = np.full(f.shape, d / 2.0), np.full(f.shape, nu / 2.0)
    return tf.math.betainc(*half, d * f / (nu + d * f)).numpy()


def quantile(alpha: float, d: float, nu: float) -> float:
    """The f with P(F > f) = alpha, by bisection of a logarithm."""
    low, high = -60.0, 60.0
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        if survival(np.exp(middle), d, nu) > alpha:
            low = middle
        else:
            high = middle
    return float(np.exp(high))
