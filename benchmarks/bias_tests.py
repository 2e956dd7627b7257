"""Tests for a bias, side by side: false alarms, and the biases that they find.

`docs/guides/bias.md` says how, and shows the result. The tests:

- five times the noise √(tr Σ / n), which `diagnostics.compare` used once;
- Hotelling's T²;
- Satterthwaite: |mean|² against the scaled F that has two of its cumulants;
- three cumulants: what `diagnostics.compare` uses.

`skew` is a score-function gradient of three categories, the rarest of
probability 0.01 and of the largest cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from benchmarks import _runner
from benchmarks._runner import Arguments, Row, environment
from tfgumbel.diagnostics import f_distribution
from tfgumbel.diagnostics.bias_test import BiasTest

DIMENSIONS = (1, 3, 20, 60, 200)
DRAWS, CHUNKS = 1024, 128
RATE = 0.01
KINDS = ("equal", "falling", "one large")
Draw = Callable[[np.random.Generator], np.ndarray]


def variances(kind: str, dimension: int) -> np.ndarray:
    """Of the coordinates."""
    place = np.arange(dimension)
    return {
        "equal": np.ones(dimension),
        "falling": 1.0 / (1.0 + place),
        "one large": np.where(place == 0, 1.0, 0.05),
    }[kind]


def normal(kind: str, dimension: int) -> Draw:
    """A function that draws `[DRAWS, D]` of mean zero."""
    deviation = np.sqrt(variances(kind, dimension))
    return lambda rng: rng.normal(size=[DRAWS, dimension]) * deviation


def skew(rng: np.random.Generator) -> np.ndarray:
    """(f ∇log q - its mean) for a rare category of large cost."""
    q = np.exp([1.0, 4.0, 5.0])
    q, f = q / q.sum(), np.array([9.0, 1.0, 1.0])
    one_hot = np.eye(3)[rng.choice(3, size=DRAWS, p=q)]
    mean = (q * f) @ (np.eye(3) - q)
    return (one_hot @ f)[:, None] * (one_hot - q) - mean


def bias_test(draws: np.ndarray) -> BiasTest:
    """That of the package, from the means of chunks."""
    means = draws.reshape(CHUNKS, -1, draws.shape[1]).mean(axis=1)
    mean = means.mean(axis=0)
    return BiasTest(mean, (means - mean) / np.sqrt(CHUNKS - 1.0))


def five_times_the_noise(draws: np.ndarray) -> bool:
    """Whether |mean| is beyond five times √(tr Σ / n)."""
    noise = draws.var(axis=0, ddof=1).sum() / len(draws)
    return bool(np.sum(draws.mean(axis=0) ** 2) > 25.0 * noise)


def hotelling(draws: np.ndarray) -> bool:
    """Whether n mᵀΣ⁻¹m is beyond the quantile of its scaled F."""
    n, dimension = draws.shape
    mean = draws.mean(axis=0)
    covariance = np.cov(draws.T).reshape(dimension, dimension)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values[-1]  # Scores sum to zero.
    square = n * np.sum((mean @ vectors[:, kept]) ** 2 / values[kept])
    rank = np.sum(kept)
    f = square * (n - rank) / (rank * (n - 1.0))
    return bool(f_distribution.survival(f, rank, n - rank) <= RATE)


def satterthwaite(draws: np.ndarray) -> bool:
    """Whether |m|² / tr Σ is beyond the quantile of F(d, d (n - 1))."""
    n, dimension = draws.shape
    covariance = np.cov(draws.T).reshape(dimension, dimension) / n
    first, second = np.trace(covariance), np.sum(covariance**2)
    second -= first**2 / (n - 1.0)  # What the noise of the estimate adds.
    d = min(dimension, first**2 / second)
    f = np.sum(draws.mean(axis=0) ** 2) / first
    return bool(f_distribution.survival(f, d, d * (n - 1.0)) <= RATE)


RULES: dict[str, Callable[[np.ndarray], bool]] = {
    "5 × noise": five_times_the_noise,
    "Hotelling": hotelling,
    "Satterthwaite": satterthwaite,
    "three cumulants": lambda draws: bias_test(draws).p_value <= RATE,
}


def rates(draw: Draw, trials: int) -> Row:
    """How often each rule says that there is a bias: without and with one."""
    rng = np.random.default_rng(0)
    lengths = [bias_test(draw(rng)).detectable(RATE) for _ in range(20)]
    length = np.median(lengths)
    found = {rule: [0, 0] for rule in RULES}
    for _ in range(trials):
        draws = draw(rng)
        bias = length * np.eye(draws.shape[1])[0]
        for rule, test in RULES.items():
            found[rule][0] += test(draws)
            found[rule][1] += test(draws + bias)
    return {
        rule: {"false alarms": alarms / trials, "found": finds / trials}
        for rule, (alarms, finds) in found.items()
    }


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("bias_tests", __doc__, trials=2000)
    options = _runner.parse(parser, arguments)
    cases = [(1, "equal"), *itertools.product(DIMENSIONS[1:], KINDS)]
    report: Row = {"rate": RATE, "trials": options.trials}
    report["environment"] = environment(["tensorflow", "numpy"])
    report["rows"] = []
    for dimension, kind in [*cases, (3, "skew")]:
        draw = skew if kind == "skew" else normal(kind, dimension)
        found = rates(draw, options.trials)
        row = {"dimension": dimension, "variances": kind, "rules": found}
        report["rows"].append(row)
        _runner.write(options.out, report)
        print(dimension, kind, found, flush=True)
    return report


if __name__ == "__main__":
    main()
