"""All that this room asks of estimators and their distributions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel.estimators import Estimator, Exact, Vimco
from tfgumbel.estimators import distribution as distributions


def prepared(logits: Any, distribution: str) -> Any:
    """Parameters in float32, as an estimator is built for them."""
    if isinstance(logits, tuple):
        logits = distributions.get(distribution).prepare(logits)
    return tf.cast(tf.convert_to_tensor(logits), tf.float32)


def is_exact(estimator: Any) -> bool:
    """Whether it enumerates: all of its estimates are alike."""
    return isinstance(estimator, Exact)


def has_another_objective(estimator: Any) -> bool:
    """Whether what it estimates is not the gradient of E f."""
    return isinstance(estimator, Vimco)


def distribution_of(estimator: Estimator) -> str:
    """The name of its distribution."""
    return estimator.distribution


def enumerator(distribution: str, logits: Any, limit: int) -> Estimator | None:
    """What sums over all joint states, if there are no more than `limit`."""
    if distribution not in Exact.distributions:
        return None
    exact = Exact(distribution, limit=limit, chunk_size=256)
    states = exact.law.count(exact.law.prepare(logits).shape)
    return exact if states <= limit else None


def build(estimator: Estimator, logits: Any, context: Any) -> None:
    """Makes the weights, if there are none yet."""
    if not estimator.built:
        shape = None if context is None else context.shape
        estimator.build(logits.shape, shape)
