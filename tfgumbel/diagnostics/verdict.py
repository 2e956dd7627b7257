"""Verdict on the bias of one estimator, from its draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfgumbel.diagnostics.bias_test import BiasTest

if TYPE_CHECKING:
    from tfgumbel.diagnostics.chunks import Chunks
    from tfgumbel.diagnostics.reference import Reference

_MOST_PRODUCTS = 2**25
_CLOSELY = 4
"""Examples of many that are tested with all copies of the noise."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Bias of an estimator, its root mean square over examples, and a test.

    Attributes:
        bias: |mean - reference|, the part that noise adds taken off.
        lower: What the bias exceeds.
        upper: What it does not exceed.
        detectable: The bias found with probability 0.9 or more.
        p_value: Of the hypothesis that no example has a bias: twice the lesser
            of that of all examples together and B times the least of one.
        example: The example of the least p-value, if there are several.
    """

    bias: float
    lower: float
    upper: float
    detectable: float
    p_value: float
    example: int | None


def judge(chunks: Chunks, reference: Reference, rate: float) -> Verdict:
    """Tests the mean against the reference.

    Args:
        chunks: What was drawn.
        reference: The gradient, exact or with noise.
        rate: Error rate of both bounds together, and of the detection that
            `detectable` speaks of.
    """
    difference = chunks.mean - reference.gradient
    noise = _noise(chunks, reference)
    batch, copies = len(difference), len(noise)
    pooled = BiasTest(
        difference.ravel(), noise.reshape(copies, -1), reference.rounding
    )
    p_value, example = pooled.p_value, None
    if batch > 1:
        least, example = _least(difference, noise, reference.rounding)
        p_value = min(1.0, 2.0 * min(p_value, batch * least))
    root = math.sqrt(batch)
    return Verdict(
        pooled.length / root,
        pooled.lower(rate / 2.0) / root,
        pooled.upper(rate / 2.0) / root,
        pooled.detectable(rate if batch == 1 else rate / 2.0) / root,
        p_value,
        example,
    )


def _noise(chunks: Chunks, reference: Reference) -> np.ndarray:
    """Copies of the error of the difference."""
    noise = chunks.noise()
    if reference.noise is None:
        return noise
    copies = min(len(noise), len(reference.noise))
    return noise[:copies] - reference.noise[:copies]


def _least(
    difference: np.ndarray, noise: np.ndarray, rounding: float
) -> tuple[float, int]:
    """The least p-value of one example, or of the likeliest, and which it is.

    Where there are many, those to look at closely are found by fewer copies of
    the noise; what is left out can only be missed.
    """
    places = np.arange(len(difference))
    fewer = _fewer(noise, len(difference))
    if len(fewer) < len(noise):
        places = np.argsort(_p_values(difference, fewer, rounding, places))
        places = places[:_CLOSELY]
    each = _p_values(difference, noise, rounding, places)
    return min(each), int(places[np.argmin(each)])


def _p_values(
    difference: np.ndarray,
    noise: np.ndarray,
    rounding: float,
    places: np.ndarray,
) -> list[float]:
    """Of each example by itself."""
    return [
        BiasTest(difference[i], noise[:, i], rounding).p_value for i in places
    ]


def _fewer(noise: np.ndarray, tests: int) -> np.ndarray:
    """As many copies as many tests may have: neighbours are merged."""
    while tests * len(noise) ** 3 > _MOST_PRODUCTS and len(noise) > 16:
        even = len(noise) // 2 * 2
        noise = (noise[0:even:2] + noise[1:even:2]) / math.sqrt(2.0)
    return noise


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for their number (Holm 1979), as good as Bonferroni or better.

    All below alpha are significant, at a rate alpha of any false one.
    """
    count, least = len(p_values), 0.0
    adjusted = [0.0] * count
    for rank, index in enumerate(
        sorted(range(count), key=p_values.__getitem__)
    ):
        least = max(least, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted
