"""Variance of four gradient estimators under N(1, 1), measured against exact.

The experiment of section 3 of the survey below: x ~ N(μ, σ²) at μ = σ = 1, and
the gradient of E f(x) in μ and in σ from one sample: by the score function, as
it is or with the constant baseline of least variance, b* = E[f s²] / E[s²] for
the score s, one for μ and another for σ; by the pathwise gradient; and by the
measure-valued one, its two samples coupled by common noise.

Exact variances are computed by Gauss-Legendre quadrature. The package's scale
parameter is log σ²: at σ = 1 its gradients are doubled to be those in σ. The
standard error of a measured variance is that of the fourth moment, and its
deviation the difference from the exact one in standard errors.

Reference:
    Mohamed, Rosca, Figurnov, Mnih. Monte Carlo gradient estimation in machine
    learning. JMLR 2020.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks import _runner
from benchmarks._runner import Arguments, Row, environment
from tfgumbel import estimators
from tfgumbel.estimators import Estimator

COLUMNS = ["cost", "k", "parameter", "estimator", "exact", "measured"]
COLUMNS += ["standard_error", "deviation"]
CHUNK = 200_000


class Cost(NamedTuple):
    """f(x, k), and the table's k."""

    value: Callable[[Any, float], Any]
    ks: tuple[float, ...]


COSTS = {
    "(x - k)²": Cost(lambda x, k: tf.square(x - k), (-3.0, 0.0, 3.0)),
    "exp(-k x²)": Cost(
        lambda x, k: tf.exp(-k * tf.square(x)), (0.1, 1.0, 10.0)
    ),
    "cos(k x)": Cost(lambda x, k: tf.cos(k * x), (0.5, 1.0, 5.0)),
}
PARAMETERS = ("μ", "σ")


def legendre(
    low: float, high: float, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre quadrature on [low, high]."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    half = 0.5 * (high - low)
    return low + half * (x + 1.0), half * weights


NOISE, WEIGHTS = legendre(-10.0, 10.0, 400)
NORMAL = WEIGHTS * np.exp(-0.5 * NOISE**2) / math.sqrt(2.0 * math.pi)
MAXWELL = NORMAL * NOISE**2
RADIUS, WEIGHTS = legendre(0.0, 10.0, 400)
RAYLEIGH = WEIGHTS * RADIUS * np.exp(-0.5 * RADIUS**2)
PART, UNIFORM = legendre(0.0, 1.0, 200)
SCORES = {"μ": NOISE, "σ": NOISE**2 - 1.0}


def evaluate(cost: Cost, x: Any, k: float) -> tuple[Any, Any]:
    """f, and its derivative in x."""
    x = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = cost.value(x, k)
    return value.numpy(), tape.gradient(value, x).numpy()


def optimal_baseline(cost: Cost, k: float, parameter: str) -> float:
    """b* = E[f s²] / E[s²]."""
    squares = NORMAL * SCORES[parameter] ** 2
    f, _ = evaluate(cost, 1.0 + NOISE, k)
    return float(squares @ f / squares.sum())


def exact(cost: Cost, k: float, parameter: str) -> dict[str, float]:
    """Variance of a gradient from one sample, by estimator."""
    score = SCORES[parameter]
    f, slope = evaluate(cost, 1.0 + NOISE, k)
    slope *= 1.0 if parameter == "μ" else NOISE
    b = optimal_baseline(cost, k, parameter)
    gradient = NORMAL @ (f * score)
    squares = {
        "score function": NORMAL @ (f * score) ** 2,
        "score function, b*": NORMAL @ ((f - b) * score) ** 2,
        "pathwise": NORMAL @ slope**2,
        "measure-valued": measure_valued_square(cost, k, parameter),
    }
    return {name: float(s - gradient**2) for name, s in squares.items()}


def measure_valued_square(cost: Cost, k: float, parameter: str) -> float:
    """E[c² (f(x⁺) - f(x⁻))²]."""
    if parameter == "μ":
        plus, minus = (evaluate(cost, 1.0 + x, k)[0] for x in (RADIUS, -RADIUS))
        return RAYLEIGH @ (plus - minus) ** 2 / (2.0 * math.pi)
    double = evaluate(cost, 1.0 + NOISE, k)[0][:, None]
    single, _ = evaluate(cost, 1.0 + NOISE[:, None] * PART, k)
    return MAXWELL @ (double - single) ** 2 @ UNIFORM


def make(name: str, cost: Cost, k: float, parameter: str) -> Estimator:
    """The package's estimator."""
    if name == "pathwise":
        return estimators.Pathwise("gaussian")
    if name == "measure-valued":
        return estimators.MeasureValued("gaussian")
    b = optimal_baseline(cost, k, parameter) if name.endswith("b*") else None
    return estimators.Reinforce("gaussian", baseline=b)


def gradients(
    estimator: Estimator, cost: Cost, k: float, draws: int, seed: int
) -> np.ndarray:
    """Independent gradients from one sample each, `[draws, (μ, σ)]`."""
    parts = []
    for first in range(0, draws, CHUNK):
        shape = [min(CHUNK, draws - first), 1]
        parameters = tf.ones(shape), tf.zeros(shape)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            value = estimator(
                lambda x: cost.value(x[:, 0], k), parameters, [seed, first]
            )
        mean, log_variance = tape.gradient(value, parameters)
        parts.append(np.concatenate([mean, 2.0 * log_variance], axis=1))
    return np.concatenate(parts).astype("float64")


def variance(sample: np.ndarray) -> tuple[float, float]:
    """The sample's variance, and its standard error."""
    squares = np.square(sample - sample.mean())
    n = len(sample)
    return squares.sum() / (n - 1), squares.std() / math.sqrt(n)


def measure(draws: int) -> list[Row]:
    """One row for each cost, k, parameter and estimator."""
    rows: list[Row] = []
    for label, cost in COSTS.items():
        for k, parameter in itertools.product(cost.ks, PARAMETERS):
            for name, expected in exact(cost, k, parameter).items():
                estimator = make(name, cost, k, parameter)
                found = gradients(estimator, cost, k, draws, len(rows))
                column = found[:, PARAMETERS.index(parameter)]
                measured, error = variance(column)
                row = [label, k, parameter, name, expected, measured, error]
                row.append((measured - expected) / error)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def main(arguments: Arguments = None) -> Row:
    draws = 2_000_000
    parser = _runner.parser("monte_carlo_gradients", __doc__, draws=draws)
    options = _runner.parse(parser, arguments)
    rows = measure(options.draws)
    _runner.show(COLUMNS, rows)
    worst = max(abs(row["deviation"]) for row in rows)
    print(f"{len(rows)} cells, largest difference {worst:.2f} standard errors")
    report = {"environment": environment(), "draws": options.draws}
    report["rows"] = rows
    _runner.write(options.out, report)
    return report


if __name__ == "__main__":
    main()
