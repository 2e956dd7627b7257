"""What each estimator's page shows: a list of measurements by figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from docs.scripts import problem
from tfgumbel import diagnostics, estimators

Points = list[list[float | None]]
Series = dict[str, Points]

TEMPERATURES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
SAMPLES = (2, 4, 8, 16, 32)
STEPS = (0, 30, 100, 300, 1000, 3000)


def point(x: float, row: diagnostics.Row, unit: float) -> list[float | None]:
    """[x, variance, bias², limit], in units of the exact gradient's square.

    bias² is without the part that noise adds, and `None` where no bias was
    detected; the limit is what it does not exceed.
    """
    assert not row.failed, row.note
    assert row.variance is not None
    bias = limit = None
    if row.bias_detected and row.bias is not None:
        bias = _short(row.bias**2 / unit)
    if row.bias_upper is not None:
        limit = _short(row.bias_upper**2 / unit)
    return [_short(x), _short(row.variance / unit), bias, limit]


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def sweep(
    name: str,
    argument: str,
    values: Sequence[Any],
    draws: int,
    cost_fn: Callable = problem.cost,
    logits: Any = problem.LOGITS,
    distribution: str = "categorical",
    **fixed: Any,
) -> Points:
    """An estimator at several values of one of its arguments."""
    made = {
        str(value): estimators.get(
            name, distribution=distribution, **{argument: value, **fixed}
        )
        for value in values
    }
    result = compare(made, draws, cost_fn, logits)
    unit = problem.squared_norm(cost_fn, logits, distribution)
    return [point(v, result[str(v)], unit) for v in values]


def compare(
    made: Mapping[str, Any],
    draws: int,
    cost_fn: Callable = problem.cost,
    logits: Any = problem.LOGITS,
    **options: Any,
) -> diagnostics.Comparison:
    return diagnostics.compare(
        *(cost_fn, logits, made, draws),
        max_draws=draws,
        progress=False,
        **options,
    )


def level(name: str, draws: int, **arguments: Any) -> Points:
    """An estimator that does not depend on what the figure varies."""
    made = {name: estimators.get(name, **arguments)}
    row = compare(made, draws)[name]
    return [point(0.0, row, problem.squared_norm())]


# Relaxations ----------------------------------------------------------------


def by_temperature(name: str) -> Callable[[int], Series]:
    def measure(draws: int) -> Series:
        return {
            name: sweep(name, "temperature", TEMPERATURES, draws),
            "rloo, 2 samples": level("rloo", draws),
        }

    return measure


def mve(draws: int) -> Series:
    values = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e6)
    return {
        "mve": sweep("mve", "temperature", values, draws),
        "st": level("st", draws),
        "zgr": level("zgr", draws),
    }


def gumbel_rao(draws: int) -> Series:
    values = (1, 2, 5, 10, 20, 50, 100)
    return {
        "gumbel_rao": sweep(
            "gumbel_rao", "noise_samples", values, draws, temperature=0.5
        ),
        "st_gumbel": level("st_gumbel", draws, temperature=0.5),
    }


def zgr(draws: int) -> Series:
    values = (0.03, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
    return {
        "gumbel_rao, M = 100": sweep(
            "gumbel_rao", "temperature", values, draws, noise_samples=100
        ),
        "zgr": level("zgr", draws),
    }


# Score function -------------------------------------------------------------


def reinforce(draws: int) -> Series:
    values = np.round(np.linspace(-1.0, 2.5, 15), 3).tolist()
    return {
        "reinforce, exact": enumerated_variance(np.linspace(-1.0, 2.5, 57)),
        "reinforce": sweep("reinforce", "baseline", values, draws),
    }


def enumerated_variance(baselines: np.ndarray) -> Points:
    """Σ_z q(z) |(f(z) - b) ∇log q(z)|² - |∇E f|², for every b."""
    q, score, f = problem.states()
    unit = problem.squared_norm()
    square = np.sum(np.square(score), axis=1)
    return [
        [_short(b), _short(q @ ((f - b) ** 2 * square) / unit - 1.0)]
        for b in baselines
    ]


def rloo(draws: int) -> Series:
    return {
        "reinforce": sweep("reinforce", "samples", SAMPLES, draws),
        "reinforce, optimal b": sweep(
            "reinforce", "samples", SAMPLES, draws, baseline="optimal"
        ),
        "rloo": sweep("rloo", "samples", SAMPLES, draws),
    }


def unordered_set(draws: int) -> Series:
    return by_evaluations(
        {
            "rloo": lambda n: estimators.RLOO(samples=n),
            "disarm": lambda n: estimators.DisARM("categorical", n // 2),
            "unordered_set": lambda n: estimators.UnorderedSet(samples=n),
        },
        *((2, 4, 6, 8, 10, 12), draws),
    )


def by_evaluations(
    labels: Mapping[str, Callable],
    numbers: Sequence[int],
    draws: int,
    cost_fn: Callable = problem.cost,
    logits: Any = problem.LOGITS,
    distribution: str = "categorical",
) -> Series:
    """Estimators that ask for the same number of evaluations of f."""
    unit = problem.squared_norm(cost_fn, logits, distribution)
    series: Series = {label: [] for label in labels}
    for number in numbers:
        made = {label: make(number) for label, make in labels.items()}
        result = compare(made, draws, cost_fn, logits)
        for label in labels:
            series[label].append(point(number, result[label], unit))
    return series


def exact(draws: int) -> Series:
    values = (2, 4, 8, 16, 32, 64, 128)
    return {"rloo": sweep("rloo", "samples", values, draws)}


def nvil(draws: int) -> Series:
    """Eight examples whose costs differ by an offset, the context."""
    offsets = np.linspace(0.0, 4.0, 8, dtype="float32")[:, None]
    logits = np.repeat(problem.LOGITS, 8, axis=0)

    def cost_fn(z: tf.Tensor) -> tf.Tensor:
        offset = estimators.tile_context(offsets, z)
        return problem.cost(z) + offset[:, 0]

    unit = problem.squared_norm(cost_fn, logits)
    labels = {
        "no baseline": lambda: estimators.Reinforce(),
        "moving average": lambda: estimators.Reinforce(
            baseline="moving_average"
        ),
        "nvil": lambda: estimators.NVIL(),
    }
    series: Series = {label: [] for label in labels}
    for steps in STEPS[:-1]:
        made = {label: make() for label, make in labels.items()}
        result = compare(
            *(made, draws // 4, cost_fn, logits),
            context=offsets,
            train_steps=steps,
        )
        for label in labels:
            series[label].append(point(steps, result[label], unit))
    return series


def vimco(draws: int) -> Series:
    """Relative to the square of its own mean: its objective depends on S."""
    made = {
        str(s): estimators.VIMCO(samples=s, add_log_prob=False) for s in SAMPLES
    }
    result = compare(made, draws)
    rows = [(s, result[str(s)]) for s in SAMPLES]
    return {
        "no control variate": [[s, _short(naive(s, draws))] for s in SAMPLES],
        "vimco": [[s, _short(row.snr**-2)] for s, row in rows],
    }


def naive(samples: int, draws: int) -> float:
    """Variance of L̂ Σ_s ∇log q(z_s), over the square of its mean."""
    q, score, f = problem.states()
    rng = np.random.default_rng(samples)
    index = rng.choice(len(q), size=(10 * draws, samples), p=q / q.sum())
    bound = np.log(np.mean(np.exp(-f[index]), axis=1))
    gradient = bound[:, None] * score[index].sum(axis=1)
    # Of the mean the exact one: that of the estimates is mostly noise.
    unit = np.sum(np.square(bound_gradient(samples)))
    return float(gradient.var(axis=0, ddof=1).sum() / unit)


def bound_gradient(samples: int, draws: int = 400_000) -> np.ndarray:
    """∇E L̂, with the leave-one-out signal of VIMCO, at many draws."""
    q, score, f = problem.states()
    rng = np.random.default_rng(1000 + samples)
    index = rng.choice(len(q), size=(draws, samples), p=q / q.sum())
    weight = np.exp(-f[index])
    bound = np.log(weight.mean(axis=1, keepdims=True))
    left = weight.sum(axis=1, keepdims=True) - weight
    signal = bound - np.log(left / (samples - 1))
    return np.einsum("ns,nsc->c", signal, score[index]) / draws


def muprop(draws: int) -> Series:
    """Against two samples."""
    return by_curvature({"rloo, 2 samples": "rloo", "muprop": "muprop"}, draws)


def double_cv(draws: int) -> Series:
    """At two evaluations each."""
    names = {"rloo, 2 samples": "rloo", "muprop": "muprop"}
    return by_curvature({**names, "double_cv": "double_cv"}, draws)


def by_curvature(names: Mapping[str, str], draws: int) -> Series:
    """f = e + α e²: from a linear cost to a quadratic one."""
    series: Series = {label: [] for label in names}
    for alpha in (0.03, 0.1, 0.3, 1.0, 3.0):

        def cost_fn(z: tf.Tensor, alpha: float = alpha) -> tf.Tensor:
            e = problem.error(z)
            return e + alpha * tf.square(e)

        made = {label: estimators.get(name) for label, name in names.items()}
        result = compare(made, draws, cost_fn)
        unit = problem.squared_norm(cost_fn)
        for label in series:
            series[label].append(point(alpha, result[label], unit))
    return series


def rebar(draws: int) -> Series:
    fixed = dict(learn_eta=False, learn_temperature=False)
    return {
        "rebar, η = 1": sweep(
            "rebar", "temperature", TEMPERATURES, draws, **fixed
        ),
        "rebar, η and τ learned": level("rebar", draws),
        "reinforce": level("reinforce", draws),
        "rloo, 2 samples": level("rloo", draws),
    }


def relax(draws: int) -> Series:
    labels = {
        "relax": lambda: estimators.RELAX(),
        "relax, relaxed_cost=True": lambda: estimators.RELAX(relaxed_cost=True),
        "rebar": lambda: estimators.REBAR(),
    }
    unit = problem.squared_norm()
    series: Series = {label: [] for label in labels}
    for steps in STEPS:
        made = {label: make() for label, make in labels.items()}
        result = compare(made, draws, train_steps=steps)
        for label in labels:
            series[label].append(point(steps, result[label], unit))
    series["reinforce"] = level("reinforce", draws)
    return series


def rodeo(draws: int) -> Series:
    """By steps of training of its network."""
    unit = problem.squared_norm()
    series: Series = {"rodeo": [], "double_cv": []}
    for steps in STEPS:
        made = {name: estimators.get(name) for name in series}
        result = compare(made, draws, train_steps=steps)
        for name in series:
            series[name].append(point(steps, result[name], unit))
    series["rloo, 2 samples"] = level("rloo", draws)
    return series


# Bernoulli variables --------------------------------------------------------


def bits(probability: float, variables: int) -> tuple[Callable, np.ndarray]:
    """f = log(1 + (e - 1)²), e a weighted sum of bits, and their logits."""
    numbers = np.random.default_rng(2).normal(size=variables).astype("float32")
    logit = math.log(probability / (1.0 - probability))
    return (
        lambda z: tf.math.log1p((tf.linalg.matvec(z, numbers) - 1.0) ** 2),
        np.full([1, variables], logit, "float32"),
    )


def _bits(xs: Sequence[float], place: Callable, draws: int) -> Series:
    labels = {"reinforce": "reinforce", "rloo, 2 samples": "rloo"}
    labels |= {"arm": "arm", "disarm": "disarm"}
    series: Series = {label: [] for label in labels}
    for x in xs:
        cost_fn, logits = place(x)
        made = {
            label: estimators.get(name, distribution="bernoulli")
            for label, name in labels.items()
        }
        result = compare(made, draws, cost_fn, logits)
        for label in labels:
            series[label].append(point(x, result[label], 1.0))
    return series


def arm(draws: int) -> Series:
    xs = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    return _bits(xs, lambda p: bits(p, 6), draws)


def disarm(draws: int) -> Series:
    return _bits((1, 2, 4, 6, 8, 10), lambda d: bits(0.8, int(d)), draws)


def arms(draws: int) -> Series:
    return by_evaluations(
        {
            "rloo": lambda n: estimators.RLOO("bernoulli", samples=n),
            "disarm": lambda n: estimators.DisARM(samples=n // 2),
            "arms": lambda n: estimators.ARMS(samples=n),
            "arms, Gaussian copula": lambda n: estimators.ARMS(
                samples=n, copula="gaussian"
            ),
        },
        *((2, 4, 6, 8, 12, 16), draws, *bits(0.8, 6), "bernoulli"),
    )


# Other distributions --------------------------------------------------------


def measure_valued(draws: int) -> Series:
    """Variance in the log rate of a Poisson variable, for f = (z - 5)²."""
    rates = np.geomspace(0.5, 20.0, 7)
    labels = {
        "reinforce, b*": lambda b: estimators.Reinforce("poisson", baseline=b),
        "measure_valued": lambda b: estimators.MeasureValued("poisson"),
    }
    series: Series = {label: [] for label in labels}
    for rate in rates:
        baseline, _ = poisson(rate)
        made = {k: make(baseline) for k, make in labels.items()}
        result = compare(
            made,
            *(10 * draws, lambda z: tf.square(z[:, 0] - 5.0)),
            np.full([1, 1], math.log(rate), "float32"),
        )
        for label in labels:
            variance = result[label].variance
            assert variance is not None
            series[label].append([_short(rate), _short(variance)])
    fine = np.geomspace(0.5, 20.0, 40)
    exact = [(_short(r), *map(_short, poisson(r)[1])) for r in fine]
    series["reinforce, b*, exact"] = [[r, s] for r, s, _ in exact]
    series["measure_valued, exact"] = [[r, m] for r, _, m in exact]
    return series


def poisson(rate: float) -> tuple[float, tuple[float, float]]:
    """The optimal baseline, and both exact variances."""
    z = np.arange(200.0)
    log_q = z * np.log(rate) - rate - np.array([math.lgamma(k + 1) for k in z])
    q, f, score = np.exp(log_q), (z - 5.0) ** 2, z - rate
    baseline = float(q @ (f * score**2) / (q @ score**2))
    gradient = q @ (f * score)
    difference = rate * ((z - 4.0) ** 2 - f)
    return baseline, (
        float(q @ ((f - baseline) * score) ** 2 - gradient**2),
        float(q @ difference**2 - gradient**2),
    )


def pathwise(draws: int) -> Series:
    """Exact variances in the mean of N(1, 1), for f = cos(k x)."""
    from benchmarks import monte_carlo_gradients as gaussian

    labels = {
        "score function, b*": "reinforce, b*",
        "pathwise": "pathwise",
        "measure-valued": "measure_valued",
    }
    cost = gaussian.COSTS["cos(k x)"]
    series: Series = {label: [] for label in labels.values()}
    for k in np.linspace(0.25, 5.0, 60):
        row = gaussian.exact(cost, k, "μ")
        for name, label in labels.items():
            series[label].append([_short(k), _short(row[name])])
    return series


# Importance-weighted bounds --------------------------------------------------

BOUNDS = ("iwae", "dreg")


def weighted(name: str, samples: int, draws: int, shift: float) -> np.ndarray:
    """Gradients of a bound in μ and log σ², `[draws, 2]`.

    z ~ N(0, 1), x|z ~ N(z, 1) and x = 0: the posterior is N(0, 1/2), and q is
    N(shift, exp(shift)/2).
    """
    estimator = estimators.get(name, distribution="gaussian", samples=samples)
    mean = tf.fill([draws, 1], shift)
    log_variance = mean - math.log(2.0)
    with tf.GradientTape() as tape:
        tape.watch([mean, log_variance])
        value = estimator(
            lambda z: tf.reduce_sum(tf.square(z), axis=1),
            (mean, log_variance),
            [1, samples],
        )
    found = tape.gradient(value, [mean, log_variance])
    return np.concatenate(found, axis=1).astype("float64")


def of_bounds(names: Sequence[str], draws: int) -> Series:
    """Variance over |mean|², by S; the bias² of one that is biased."""
    series: Series = {name: [] for name in names}
    for samples in (1, *SAMPLES, 64):
        exact = weighted("dreg", samples, 10 * draws, 0.5).mean(axis=0)
        unit = np.sum(np.square(exact))
        for name in names:
            found = weighted(name, samples, draws, 0.5)
            noise = found.var(axis=0, ddof=1).sum()
            shown = [samples, _short(noise / unit)]
            if name == "stl":
                bias = np.sum(np.square(found.mean(axis=0) - exact))
                bias -= noise / draws * 1.1
                limit = _short((max(bias, 0.0) + 5 * noise / draws) / unit)
                seen = bias > 5 * noise / draws
                shown += [_short(bias / unit) if seen else None, limit]
            series[name].append(shown)
    return series


def dreg(draws: int) -> Series:
    """Variance at 16 samples, by how far q is from the posterior."""
    series: Series = {name: [] for name in BOUNDS}
    for shift in (0.03, 0.06, 0.125, 0.25, 0.5, 1.0):
        for name in BOUNDS:
            variance = weighted(name, 16, draws, shift).var(axis=0).sum()
            series[name].append([shift, _short(variance)])
    return series


FIGURES: dict[str, Callable[[int], Series]] = {
    "arm": arm,
    "arms": arms,
    "disarm": disarm,
    "double_cv": double_cv,
    "dreg": dreg,
    "exact": exact,
    "gapped": by_temperature("gapped"),
    "gumbel_rao": gumbel_rao,
    "gumbel_softmax": by_temperature("gumbel_softmax"),
    "iwae": lambda draws: of_bounds(BOUNDS, draws),
    "measure_valued": measure_valued,
    "muprop": muprop,
    "mve": mve,
    "nvil": nvil,
    "pathwise": pathwise,
    "rebar": rebar,
    "reinforce": reinforce,
    "reinmax": by_temperature("reinmax"),
    "relax": relax,
    "rloo": rloo,
    "rodeo": rodeo,
    "st": by_temperature("st"),
    "st_gumbel": by_temperature("st_gumbel"),
    "unordered_set": unordered_set,
    "stl": lambda draws: of_bounds(("stl", "dreg"), draws),
    "vimco": vimco,
    "zgr": zgr,
}
