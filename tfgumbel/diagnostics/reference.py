"""The gradient that means of estimates are compared with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.bias_test import BiasTest
from tfgumbel.diagnostics.chunks import Chunks
from tfgumbel.distributions import Distribution, Enumerable
from tfgumbel.estimators import CostFn, Exact
from tfgumbel.estimators.algebra import repeat

_SAMPLES = 1024
"""At which a cost is asked whether it has noise of its own."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """∇E f, exact or itself a mean of estimates.

    Attributes:
        gradient: `[B, C]`.
        noise: Copies of its error, `[M, B, C]`; `None` if it is exact.
        rounding: Length of a difference that float32 explains.
        source: How it was found, in words.
    """

    gradient: np.ndarray
    noise: np.ndarray | None
    rounding: float
    source: str

    def norm(self) -> float:
        """|∇E f|, root mean square over examples, noise taken off."""
        return self._test().length / math.sqrt(len(self.gradient))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The norm lies between these, up to an error rate of alpha."""
        if self.noise is None:
            return self.norm(), self.norm()
        test, root = self._test(), math.sqrt(len(self.gradient))
        return test.lower(alpha / 2) / root, test.upper(alpha / 2) / root

    def _test(self) -> BiasTest:
        noise = np.zeros([2, 1]) if self.noise is None else self.noise
        gradient = self.gradient.ravel()
        noise = noise.reshape(len(noise), -1) * np.ones_like(gradient)
        return BiasTest(gradient, noise)


def given(exact: Any, logits: Any) -> Reference:
    """From a gradient that the caller knows."""
    given = exact if isinstance(logits, tuple) else [exact]
    parts = [np.asarray(part, np.float64) for part in given]
    shapes = [tuple(part.shape) for part in tf.nest.flatten(logits)]
    if [part.shape for part in parts] != shapes:
        expected = ", ".join(map(str, shapes))
        received = ", ".join(str(part.shape) for part in parts)
        raise ValueError(
            f"Argument `exact` must have the logits' shape, {expected}. "
            f"Received: an array of shape {received}"
        )
    gradient = _flat(parts)
    if not np.all(np.isfinite(gradient)):
        raise ValueError(
            f"Argument `exact` must hold finite numbers. Received: {exact!r}"
        )
    return Reference(gradient, None, _rounding(gradient), "as given")


def enumerated(
    cost_fn: CostFn,
    logits: Any,
    context: Any,
    distribution: Distribution,
    limit: int,
) -> Reference | None:
    """By enumeration; `None` past the limit of joint states, or for NaN.

    `None` also where f draws noise of its own, as with dropout: a sum over the
    states holds one draw of it.
    """
    if Exact.refusal(distribution) is not None:
        return None
    assert isinstance(distribution, Enumerable)
    if distribution.count(distribution.constrain(logits)[-1].shape) > limit:
        return None
    if _has_noise(cost_fn, logits, distribution):
        return None
    exact = Exact(distribution, limit=limit, chunk_size=256)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = exact(cost_fn, logits, [0, 0], context)
    found = tape.gradient(
        cost, logits, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    gradient = _flat(tf.nest.flatten(found))
    size = float(np.linalg.norm(cost.numpy().astype(np.float64)))
    if not np.all(np.isfinite(gradient)):
        return None  # The estimates may be, and say so if they are not.
    rounding = _rounding(gradient) + 3e-7 * size
    source = "by enumeration"
    if 10.0 * rounding > np.linalg.norm(gradient) > 0.0:
        figure = rounding / math.sqrt(len(gradient))
        source += (
            f", with an error of up to {figure:.2g} by rounding in float32"
        )
    return Reference(gradient, None, rounding, source)


def sampled(name: str, chunks: Chunks) -> Reference:
    """From draws of an unbiased estimator, which have noise of their own."""
    return Reference(
        chunks.mean,
        chunks.noise(),
        _rounding(chunks.mean),
        f"the mean of {chunks.count} draws of {name}",
    )


def _has_noise(
    cost_fn: CostFn, logits: Any, distribution: Distribution
) -> bool:
    """Whether f has two values at one of many samples.

    Noise may not show at each: dropout leaves a zero as it is. That of a seed
    is the same in each call, and another one in each row.
    """
    batch = tf.nest.flatten(logits)[0].shape[0]
    many = repeat(logits, max(1, _SAMPLES // batch))
    sample = distribution.sample(distribution.constrain(many), [0, 0])
    once = np.asarray(cost_fn(sample))
    twice = np.asarray(cost_fn(repeat(sample, 2)))
    count = len(sample)
    if (once.shape, twice.shape) != ((count,), (2 * count,)):
        return False  # Said by those that evaluate it in earnest.
    if not np.all(np.isfinite(once)) or not np.all(np.isfinite(twice)):
        return False  # Seen by them.
    again = twice[count:]
    return bool(np.max(np.abs(once - again)) > 1e-4 * np.max(np.abs(once)))


def _flat(parts: Sequence[Any]) -> np.ndarray:
    """`[B, C]`, one parameter after the other."""
    arrays = [np.asarray(part, np.float64) for part in parts]
    return np.concatenate(
        [array.reshape(len(array), -1) for array in arrays], axis=-1
    )


def _rounding(gradient: np.ndarray) -> float:
    # Estimates that hardly vary differ from the sum over states by rounding.
    norm = float(np.linalg.norm(gradient))
    return 1e-5 * norm + (min(1e-8, 1e-3 * norm) if norm else 1e-8)
