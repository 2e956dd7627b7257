"""Logarithms of Γ and B, of operations that every converter knows.

LiteRT has no log Γ. Stirling's series serves, for arguments raised by four.
"""

from __future__ import annotations

import math

import tensorflow as tf


def log_gamma(x: tf.Tensor) -> tf.Tensor:
    """log Γ(x) for x of the size of one or more."""
    raised = x + 4.0
    steps = tf.add_n([tf.math.log(x + float(i)) for i in range(4)])
    return (
        (raised - 0.5) * tf.math.log(raised)
        - raised
        + 0.5 * math.log(2.0 * math.pi)
        + _stirling(raised)
        - steps
    )


def log_beta(p: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
    """log B(p, q)."""
    factors = [
        (p + q + 2.0 * i) / (q + i) * ((p + q + 2.0 * i + 1.0) / (p + i))
        for i in range(4)
    ]
    a, b = tf.minimum(p, q) + 4.0, tf.maximum(p, q) + 4.0
    return (
        tf.add_n([tf.math.log(factor) for factor in factors])
        + 0.5 * (math.log(2.0 * math.pi) - tf.math.log(b))
        - (a - 0.5) * tf.math.log1p(b / a)
        - b * tf.math.log1p(a / b)
        + (_stirling(a) + _stirling(b) - _stirling(a + b))
    )


def _stirling(x: tf.Tensor) -> tf.Tensor:
    """log Γ(x) less its leading terms, for x >= 4."""
    y = x**-2
    return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y / 1680))) / x
