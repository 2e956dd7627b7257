"""The problem that the pages of the estimators share, small enough to sum over.

D = 3 variables of K = 4 categories. Category k of variable d stands for the
number a[d, k]; the numbers of a sample add up to an error e(z), and the cost
is f(z) = log(1 + e(z)²). Numbers and logits are fixed draws of a standard
normal. The cost has derivatives of every order, so that estimators which are
exact for a linear or a quadratic cost are not exact here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import distributions, estimators

VARIABLES, CATEGORIES = 3, 4
_RNG = np.random.default_rng(0)
NUMBERS = _RNG.normal(size=(VARIABLES, CATEGORIES)).astype("float32")
LOGITS = _RNG.normal(size=(1, VARIABLES, CATEGORIES)).astype("float32")


def error(z: tf.Tensor) -> tf.Tensor:
    """e(z), the sum of the numbers that the sample stands for."""
    return tf.reduce_sum(z * NUMBERS, axis=[1, 2])


def cost(z: tf.Tensor) -> tf.Tensor:
    """f(z) = log(1 + e(z)²)."""
    return tf.math.log1p(tf.square(error(z)))


def exact_gradient(cost_fn: Any, logits: Any, distribution: str) -> np.ndarray:
    """∇E f(z) by enumeration."""
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimators.Exact(distribution)(cost_fn, logits, [0, 0])
    return tape.gradient(value, logits).numpy()


def squared_norm(
    cost_fn: Any = cost,
    logits: Any = LOGITS,
    distribution: str = "categorical",
) -> float:
    """|∇E f(z)|², averaged over the examples: the unit of the figures."""
    gradient = exact_gradient(cost_fn, logits, distribution)
    return float(np.sum(np.square(gradient)) / len(gradient))


def states() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, score and cost of every joint state."""
    categorical = distributions.Categorical()
    z = tf.constant(categorical.support(tf.TensorShape(LOGITS.shape)))
    repeated = np.repeat(LOGITS, len(z), axis=0)
    parameters = categorical.constrain(tf.constant(repeated))
    probability = tf.exp(categorical.log_prob(parameters, z))
    (score,) = estimators.algebra.score(categorical, parameters, z)
    score = tf.reshape(score, [len(z), -1])
    arrays = (x.numpy().astype("float64") for x in (probability, score))
    return (*arrays, cost(z).numpy().astype("float64"))
