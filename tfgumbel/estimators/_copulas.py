"""n Bernoulli variables of one probability, any two negatively correlated.

Each function draws whether the rarer value occurs, for q ≤ ½ its probability:
the tail near zero is where the noise is fine. It returns that, `[n, ...]`,
and 1 / (1 - ρ), `[...]`, ρ the correlation of any two:

    1 - ρ = (q - P(both)) / (q (1 - q)).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import random
from tfgumbel._precision import normal_above

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def dirichlet(
    count: int, log_q: tf.Tensor, seed: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """u_i = (1 - d_i)^{n-1}, with d uniform on the simplex."""
    shape = tf.concat([[count], tf.shape(log_q)], 0)
    own = random.exponential(shape, seed)
    # Added up and not total - own, which would lose a small sum.
    others = tf.cumsum(own, exclusive=True)
    others += tf.cumsum(own, exclusive=True, reverse=True)
    quantile = tf.exp(log_q / (count - 1))
    rare = others / (others + own) < quantile
    # P(both) = max(2 q^{1/(n-1)} - 1, 0)^{n-1}, over q.
    both = tf.pow(tf.nn.relu(2.0 - 1.0 / quantile), float(count - 1))
    return rare, (1.0 - tf.exp(log_q)) / (1.0 - both)


def gaussian(
    count: int, log_q: tf.Tensor, seed: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """u_i = Φ(x_i), with x normal and any two correlated by -1/(n-1)."""
    shape = tf.concat([[count], tf.shape(log_q)], 0)
    noise = random.normal(shape, seed)
    centred = noise - tf.reduce_mean(noise, axis=0)
    q = tf.exp(log_q)
    rare = centred * math.sqrt(count / (count - 1)) < -normal_above(q)
    return rare, (1.0 - q) / _only_one(count, tf.maximum(q, 1e-9))


def _only_one(count: int, q: tf.Tensor) -> tf.Tensor:
    """(q - P(both)) / q = 2 T(h, a) / q, with Φ(h) = q.

    T is Owen's function and a = √(n / (n - 2)), as correlations of -1/(n-1)
    have it. T(h, a) = 1/2π ∫ exp(-h² / (2 cos² θ)) dθ from 0 to arctan a.
    """
    if count == 2:  # opposite: never both
        return tf.ones_like(q)
    square = tf.square(normal_above(q))
    end = math.atan(math.sqrt(count / (count - 2)))
    angles = 0.5 * end * (_NODES + 1.0)
    integral = tf.add_n(
        [
            (0.5 * end * weight) * tf.exp(-0.5 * math.tan(angle) ** 2 * square)
            for angle, weight in zip(angles, _WEIGHTS, strict=True)
        ]
    )
    return tf.exp(-0.5 * square) * integral / (math.pi * q)
