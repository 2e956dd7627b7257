"""Is the mean of many estimates the gradient? A test, and bounds of the bias.

Given are Δ, the mean of n estimates minus the exact gradient, and M copies of
the error of that mean (`Chunks.noise`). Under the null hypothesis

    T = |Δ|² ~ Σ_i λ_i χ²_1,

λ the eigenvalues of the error's covariance Σ: its mean is a_1 and its
cumulants are those of a_k = tr Σ^k. Each a_k is estimated without bias from
products of different copies, so that no eigenvalue and no inverse is needed
and there may be more coordinates than copies. T is compared with

    shift + c · d · F(d, ν),    c = a_3 / a_2,  d = a_2³ / a_3²,

the shifted F that has the first three cumulants of the sum [1, 2]; ν, the
degrees of freedom that the estimate of a_1 has, is measured as well, which
allows for heavy tails. In one dimension this is Student's t.

Where estimates are skew, the mean and the variance of a sample err together:
a sample that lacks a rare, large estimate has too small a mean and too small
a variance, and looks certain of a bias. The expectation of the mean is known
under the null hypothesis, so it serves as a control variate for the variance:
regressed on the mean, the variance is raised where the regression is beyond
its own noise, and never lowered. A mean farther away than the null hypothesis
would have it, five standard errors in its direction, counts as that far: the
regression says nothing of what lies beyond.

Why this test. By simulation (`python -m benchmarks.bias_tests`): five times
the noise, √(a_1), is five standard errors in one dimension and thirty in 60.
Hotelling's T² needs an inverse, so more draws than coordinates, and sees a
bias in proportion to the noise of its direction instead of its length. A χ²
of two cumulants (Satterthwaite) alarms too often far out, where a table of
twenty estimators has to look, if a few coordinates have most of the variance.
A bootstrap reaches small p-values only with 1/p resamples, for every
estimator.

**Bounds.** Let the bias have length β. The least favourable direction is that
of most noise, λ:

    T = λ (β/√λ + t)² + rest,

t of Student's distribution, the rest as above with what λ leaves of the a_k.
For the upper bound the ratio P(T <= observed | β) / P(T <= observed | 0) is
set to the error rate [3]: a mean that lies closer to the gradient than noise
allows, by luck, excludes no bias that the draws could not have seen.

References:
    [1] Box. Some theorems on quadratic forms applied in the study of analysis
        of variance problems, I. Annals of Mathematical Statistics 1954.
    [2] Zhang. Approximate and asymptotic distributions of chi-squared-type
        mixtures with applications. JASA 2005.
    [3] Read. Presentation of search results: the CLs technique. Journal of
        Physics G 2002.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics import f_distribution

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_FEWEST = 8
"""Copies of the error from which a_2, a_3 and a_4 are estimated."""
_FARTHEST = 5.0
"""Standard errors over which the variance is regressed on the mean."""
_LEAST = 1e-3
"""The least probability of a mean so close to the gradient, for a bound."""


class Shifted(NamedTuple):
    """shift + c · d · F(d, ν), without its ν."""

    shift: float
    c: float
    d: float


class BiasTest:
    """A test of one mean against the exact gradient.

    Args:
        difference: Δ, mean minus exact gradient, `[C]`.
        noise: Copies of the mean's error, `[M, C]`: independent, of mean zero
            and of the covariance of Δ.
        rounding: Length of Δ that float32 explains.

    Attributes:
        p_value: P(T >= |Δ|²) if there is no bias.
    """

    def __init__(
        self, difference: np.ndarray, noise: np.ndarray, rounding: float = 0.0
    ) -> None:
        # In units of what is measured, whose sixth powers float64 may not
        # hold; a power of two, so that nothing is rounded.
        largest = max(float(np.max(np.abs(a))) for a in (difference, noise))
        self._unit = 2.0 ** math.frexp(largest)[1]
        difference, noise = difference / self._unit, noise / self._unit
        self._rounding = rounding / self._unit
        length = float(np.linalg.norm(difference)) - self._rounding
        self._square = max(0.0, length) ** 2
        gram = _product(noise, noise)
        lengths = np.diagonal(gram).copy()
        self._trace = float(lengths.mean())
        self.p_value = float(self._square == 0.0)
        if self._trace == 0.0:
            return
        self._copies = len(noise)
        along = noise @ difference - lengths / math.sqrt(self._copies)
        power = _inflation(along, lengths, noise @ difference, self._square)
        self._traces = [
            trace * power**k
            for k, trace in enumerate(_traces(gram, noise.shape[1]), start=1)
        ]
        self._nu = _degrees(lengths, self._traces)
        self._null = _shifted(*self._traces[:3])
        self._top = self._noise_along(along.var() * power)
        self._rest = self._without_top()
        f = (self._square - self._null.shift) / (self._null.c * self._null.d)
        self.p_value = float(f_distribution.survival(f, self._null.d, self._nu))

    @property
    def square(self) -> float:
        """|Δ|², less what rounding explains."""
        return self._square * self._unit**2

    @property
    def trace(self) -> float:
        """a_1, the part of it that noise explains."""
        return self._trace * self._unit**2

    @property
    def length(self) -> float:
        """|Δ|, less what rounding and noise explain."""
        return self._unit * math.sqrt(max(0.0, self._square - self._trace))

    def upper(self, alpha: float) -> float:
        """What the bias does not exceed, up to an error rate of alpha."""
        if self._trace == 0.0:
            bound = math.sqrt(self._square)
        else:
            square, luck = self._not_too_lucky()
            bound = self._solve(square, alpha * luck)
        return self._unit * (bound + self._rounding)

    def lower(self, alpha: float) -> float:
        """What the bias exceeds, up to an error rate of alpha; 0 if unseen."""
        if self._trace == 0.0:
            return self._unit * math.sqrt(self._square)
        if self.p_value > alpha:
            return 0.0
        return self._unit * self._solve(self._square, 1.0 - alpha)

    def detectable(self, alpha: float, power: float = 0.9) -> float:
        """The bias found with this probability at least, at this p-value."""
        if self._trace == 0.0:
            return self._unit * self._rounding
        null = self._null
        quantile = f_distribution.quantile(alpha, null.d, self._nu)
        critical = null.shift + null.c * null.d * quantile
        bias = self._solve(critical, 1.0 - power)
        return self._unit * (bias + self._rounding)

    def _not_too_lucky(self) -> tuple[float, float]:
        """|Δ|² and P(T <= |Δ|²) without a bias, which is not to vanish."""
        square = max(self._square, _LEAST * self._trace)
        while (luck := self._below(square, 0.0)) < _LEAST:
            square *= 2.0
        return square, luck

    def _noise_along(self, seen: float) -> float:
        """λ: noise along the bias, or the largest if there is no telling."""
        _, _, third, fourth = self._traces
        # The largest eigenvalue from below, a standard error up.
        largest = fourth / third * (1.0 + math.sqrt(2.0 / self._copies))
        seen = seen / self._square if self._square else 0.0
        return min(max(largest, seen), third ** (1.0 / 3.0))

    def _without_top(self) -> Shifted | None:
        rest = [
            max(0.0, trace - self._top**k)
            for k, trace in enumerate(self._traces[:3], start=1)
        ]
        if rest[0] <= 1e-9 * self._trace:
            return None
        return _shifted(*_possible(rest, math.inf))

    def _below(self, square: float, bias: float) -> float:
        """P(T <= square) for a bias of this length where noise is largest.

        Student's t = √ν tan θ: the angle has a bounded range and a smooth
        density, cos^(ν - 1) θ.
        """
        nu = min(self._nu, self._copies - 1.0)
        wide = min(math.pi / 2.0, 10.0 / math.sqrt(nu))
        offset, radius = (
            math.sqrt(value / self._top) for value in (bias**2, square)
        )
        low, high = (
            min(wide, max(-wide, math.atan((end - offset) / math.sqrt(nu))))
            for end in (-radius, radius)
        )
        angle = 0.5 * (high - low) * _NODES + 0.5 * (high + low)
        density = np.exp((nu - 1.0) * np.log(np.cos(angle)) - _log_beta(nu))
        weights = 0.5 * (high - low) * _WEIGHTS * density
        if self._rest is None:
            return float(weights.sum())
        shift, c, d = self._rest
        student = math.sqrt(nu) * np.tan(angle)
        left = square - self._top * np.square(offset + student) - shift
        return float(
            weights @ f_distribution.distribution(left / (c * d), d, self._nu)
        )

    def _solve(self, square: float, probability: float) -> float:
        """The bias with P(T <= square) = probability, by bisection."""
        low, high = 0.0, math.sqrt(square) + math.sqrt(self._top)
        while self._below(square, high) > probability:
            low, high = high, 2.0 * high
        while high - low > 1e-4 * high:
            middle = (low + high) / 2.0
            if self._below(square, middle) > probability:
                low = middle
            else:
                high = middle
        return high


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A Bᵀ, by TensorFlow.

    NumPy's threads wait actively for each other: on a busy machine a product
    as small as these takes twenty times as long.
    """
    return tf.linalg.matmul(first, second, transpose_b=True).numpy()


def _traces(gram: np.ndarray, coordinates: int) -> list[float]:
    """a_1 to a_4, without bias: sums over cycles of different copies."""
    copies = len(gram)
    own = np.diagonal(gram)
    first = float(own.mean())
    if copies < _FEWEST:
        return [first**k for k in range(1, 5)]  # As if of one coordinate.
    others = gram - np.diag(own)
    twice = _product(others, others)  # It is symmetric.
    back = np.diagonal(twice)
    pairs = copies * (copies - 1.0)
    triples = pairs * (copies - 2.0)
    second = float(back.sum()) / pairs
    third = float(np.sum(twice * others)) / triples
    cycles = (
        np.sum(np.square(twice))
        - 2.0 * np.sum(np.square(back))
        + np.sum(np.square(others) ** 2)
    )
    fourth = float(cycles) / (triples * (copies - 3.0))
    first, second, third = _possible([first, second, third], coordinates)
    # Within a_3² / a_2 and a_3^(4/3).
    fourth = min(max(fourth, third**2 / second), third ** (4.0 / 3.0))
    return [first, second, third, fourth]


def _possible(traces: list[float], coordinates: float) -> list[float]:
    """The nearest a_1, a_2, a_3 that a covariance can have."""
    first, second, third = traces
    second = min(max(second, first**2 / coordinates, 1e-6 * first**2), first**2)
    third = min(max(third, second**2 / first), second**1.5)
    return [first, second, third]


def _shifted(first: float, second: float, third: float) -> Shifted:
    c = third / second
    d = max(1.0, second**3 / third**2)
    return Shifted(first - c * d, c, d)


def _degrees(lengths: np.ndarray, traces: list[float]) -> float:
    """ν: degrees of freedom of the estimate of a_1, at most those of a normal.

    A mean of M squared lengths has relative variance 2/ν.
    """
    copies = len(lengths)
    normal = (copies - 1.0) * traces[0] ** 2 / traces[1]
    spread = float(lengths.var(ddof=1)) if copies > 1 else 0.0
    if spread == 0.0:
        return normal
    return min(normal, 2.0 * copies * float(lengths.mean()) ** 2 / spread)


def _inflation(
    along: np.ndarray, lengths: np.ndarray, projected: np.ndarray, square: float
) -> float:
    """By what to multiply the variance: its regression on the mean.

    `along` is the projection of the copies on Δ less their own part in Δ,
    `projected` that with it, `lengths` their squared lengths.
    """
    copies, spread = len(lengths), float(projected.var())
    if copies < _FEWEST or spread == 0.0:
        return 1.0
    covariance = float(np.mean((lengths - lengths.mean()) * along))
    reach = min(square, _FARTHEST * math.sqrt(spread))
    unit = reach / (math.sqrt(copies) * float(lengths.mean()))
    error = float(lengths.std()) / math.sqrt(spread * copies)
    raise_by = -covariance / spread * unit
    return 1.0 + raise_by if raise_by > 2.0 * error * unit else 1.0


def _log_beta(nu: float) -> float:
    """log B(½, ν/2)."""
    return (
        math.lgamma(0.5) + math.lgamma(nu / 2.0) - math.lgamma((nu + 1.0) / 2.0)
    )
