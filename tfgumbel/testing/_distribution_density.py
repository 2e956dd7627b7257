"""Checks of samples, log-probabilities, and what follows from the two."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfgumbel.distributions import Enumerable, Mean, Scored, per_example
from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    changed,
    check,
    in_errors,
    packed,
)
from tfgumbel.testing._samples import Samples

PANELS = 40
NODES = 12
PLACES = 8


def _panels(subject: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Shares of samples between quantiles, and their masses by quadrature.

    Discrete values have a panel each, those next to a density too. Both are
    `[panels, V]`.
    """
    values = subject.scalars()
    if subject.values is not None:
        return _discrete(subject, values, subject.values)
    half = len(values) // 2
    found, times = np.unique(values, return_counts=True)
    atoms = found[times > len(values) / 64]
    spread = np.where(np.isin(values, atoms), np.nan, values)
    edges = np.nanquantile(spread[:half], np.linspace(0.002, 0.998, PANELS), 0)
    x, weight = np.polynomial.legendre.leggauss(NODES)
    width = np.diff(edges, axis=0)
    nodes = edges[:-1, None] + (x[:, None] + 1.0) / 2.0 * width[:, None]
    density = subject.density(nodes.reshape(-1, values.shape[1]))
    density = density.reshape(nodes.shape)
    mass = np.einsum("pnv,n->pv", density, weight) * width / 2.0
    counts = [
        np.histogram(spread[half:, v], edges[:, v])[0]
        for v in range(values.shape[1])
    ]
    shares = [np.stack(counts, axis=1) / half]
    shares += [np.mean(values[half:] == atom, 0)[None] for atom in atoms]
    grid = np.repeat(atoms[:, None], values.shape[1], axis=1)
    return np.concatenate(shares), np.concatenate([mass, subject.density(grid)])


def _discrete(
    subject: Samples, values: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # What was never drawn may lie outside the support. If not, its mass is
    # missing, which the check of normalisation sees.
    grid = np.repeat(drawn[:, None], values.shape[1], axis=1)
    shares = [
        np.bincount(np.searchsorted(drawn, column), minlength=len(drawn))
        for column in values.T
    ]
    return np.stack(shares, axis=1) / len(values), subject.density(grid)


@check(
    "samples",
    "Samples follow the log-probability",
    "compare `sample` and `log_probs` with the same textbook: a rate is no "
    "scale, a variance no standard deviation",
)
def samples(subject: Samples) -> Finding:
    shares, mass = _panels(subject)
    count = subject.many // (2 if subject.values is None else 1)
    often = mass * count > 50.0
    error = np.sqrt(mass * np.abs(1.0 - mass) / count) + 1e-6
    figures = (np.abs(shares - mass) / error)[often]
    return in_errors(figures, f"shares of {often.sum()} intervals")


@check(
    "normalisation",
    "The density has the mass one",
    "find the constant that is missing from `log_probs`: it matters for KL "
    "divergences and, where it depends on a parameter, for every gradient",
)
def normalisation(subject: Samples) -> Finding:
    shares, mass = _panels(subject)
    differs = np.max(np.abs(mass.sum(axis=0) / shares.sum(axis=0) - 1.0))
    return Finding("relative error of the mass", float(differs), 0.02)


@check(
    "score",
    "The score has the mean zero",
    "differentiate log q by hand at one value: a term that depends on a "
    "parameter is missing from `log_probs`, or samples follow other parameters",
)
def score(subject: Samples) -> Finding:
    subject.require_variety()
    parameters = subject.parameters(subject.many)
    scores = map(_measure.rows, subject.scores(parameters, subject.drawn))
    return in_errors(_measure.from_mean(np.hstack(list(scores)), 0.0))


@check(
    "far parameters",
    "The score has the mean zero at parameters that lie apart, too",
    "look for a bound or a branch in the sampler or in `log_probs`: a series "
    "may hold for small parameters only",
)
def far_parameters(subject: Samples) -> Finding:
    count = subject.many // PLACES
    parameters = subject.far_parameters(PLACES, count)
    sample = subject.distribution.sample(parameters, subject.seed())
    rows = map(_measure.rows, subject.scores(parameters, sample))
    scores = np.hstack(list(rows)).reshape(PLACES, count, -1)
    values = _measure.rows(sample).reshape(PLACES, count, -1)
    shown = [
        score[:, _that_show_a_mean(score)]
        for score, drawn in zip(scores, values, strict=True)
        if subject.values is not None or _all_differ(drawn)
    ]
    figures = [_measure.from_mean(s, 0.0) for s in shown if s.size]
    if not figures:
        raise NotApplicable("its draws are nearly all at a few values there")
    return in_errors(figures, f"{len(figures)} of {PLACES} places")


def _all_differ(drawn: np.ndarray) -> bool:
    """Whether rounding has put hardly any continuous value on another."""
    number = min(len(np.unique(column)) for column in drawn.T)
    return number > 0.99 * len(drawn)


def _that_show_a_mean(score: np.ndarray) -> np.ndarray:
    """Which columns differ from their mean in more than a few rows.

    The fewer, the farther is the mean from normal, here to five errors.
    """
    away = score - score.mean(axis=0)
    square = np.square(away)
    size = square.sum(axis=0) ** 2 / (np.square(square).sum(axis=0) + 1e-30)
    rounding = np.abs(away).max(axis=0) < 1e-4 * np.abs(score).max(axis=0)
    return (size > 4 * _measure.FEW) & ~rounding


@check(
    "closed score",
    "`score` is the gradient of the log-probability",
    "compare the formula of `score` with the derivative of `log_probs`",
)
def closed_score(subject: Samples) -> Finding:
    distribution = subject.require(Scored)
    parameters = subject.parameters(256)
    sample = subject.drawn[:256]
    exact = subject.scores(parameters, sample)
    found = subject.learned(distribution.score(parameters, sample))
    differs = map(_measure.relative, found, exact)
    return Finding("relative difference", max(differs), 1e-3)


@check(
    "mean",
    "`mean` is the mean of the samples",
    "check the formula of the mean, at parameters that are not all equal",
)
def mean(subject: Samples) -> Finding:
    subject.require(Mean)
    subject.require_variety()
    found = _inferred(subject, "mean")
    return in_errors(_measure.from_mean(subject.drawn, found))


def _inferred(subject: Samples, name: str) -> np.ndarray:
    if name not in subject.distribution.inference:
        raise NotApplicable(f"it has no {name}")
    method = getattr(subject.distribution, name)
    return np.asarray(method(subject.parameters(1)), np.float64)[0]


@check(
    "mode",
    "No sample is more probable than `mode`",
    "check the formula of the mode, also where it lies at an end",
)
def mode(subject: Samples) -> Finding:
    value = tf.cast(_inferred(subject, "mode")[None], subject.drawn.dtype)
    distribution = subject.distribution
    at = distribution.log_probs(subject.parameters(1), value)
    others = distribution.log_probs(
        subject.parameters(subject.many), subject.drawn
    )
    return Finding(
        "nats above the mode",
        float(np.max(np.max(others, axis=0) - at[0])),
        1e-3,
    )


@check(
    "inference",
    "What inference offers has the shape of a sample, and is finite",
    "return one value for each variable from each method that `inference` "
    "names",
)
def inference(subject: Samples) -> Finding:
    distribution = subject.distribution
    (dtype,) = {tensor.dtype for tensor in subject.parameters(1)}
    if subject.drawn.dtype != dtype:
        raise Fault(
            f"samples are of {subject.drawn.dtype.name}, parameters of "
            f"{dtype.name}"
        )
    for name in distribution.inference:
        value = distribution.infer(subject.parameters(3), name, subject.seed)
        if value.shape[1:] != subject.drawn.shape[1:]:
            raise Fault(
                f"{name} has shape {tuple(value.shape)}, samples "
                f"{(3, *subject.drawn.shape[1:])}"
            )
        if not np.all(np.isfinite(value)):
            raise Fault(f"{name} is not finite")
    shapes = [a.shape for a in map(np.asarray, subject.raw)]
    if tuple(distribution.sample_shape(shapes)) != subject.drawn.shape[1:]:
        raise Fault("`sample_shape` says otherwise")
    return Finding(", ".join(distribution.inference))


@check(
    "sums",
    "`log_prob` is the sum of `log_probs`",
    "leave `log_prob` to the base class",
)
def sums(subject: Samples) -> Finding:
    given = subject.parameters(64), subject.drawn[:64]
    each = per_example(subject.distribution.log_probs(*given))
    total = subject.distribution.log_prob(*given)
    if not np.allclose(each, total, rtol=1e-5, atol=1e-5):
        raise Fault("they differ")
    return Finding("one number for each example")


@check(
    "independence",
    "Variables and examples are drawn independently",
    "draw noise for every variable of every example: of the shape of the "
    "parameters, not of some of its axes",
)
def independence(subject: Samples) -> Finding:
    _require_examples_apart(subject)
    # log q of each variable tells its sample, whatever its axes.
    log_probs = subject.distribution.log_probs(
        subject.parameters(subject.many), subject.drawn
    )
    rows = _measure.rows(log_probs)
    rows = rows - rows.mean(axis=0)
    pairs = [np.split(rows, 2), (rows[:-1], rows[1:])]
    pairs += [
        (rows[:, one], rows[:, other])
        for one in range(rows.shape[1])
        for other in range(one)
    ]
    figures = [_measure.dependence(np.ravel(a), np.ravel(b)) for a, b in pairs]
    return in_errors(
        figures, "correlation of log q, of variables and of examples"
    )


def _require_examples_apart(subject: Samples) -> None:
    """What one example's parameters are does not matter to another."""
    distribution, seed = subject.distribution, subject.seed()
    inputs = tf.nest.flatten(subject.inputs(64))
    moved = changed(
        distribution, inputs, lambda a: tf.concat([a[:1] / 2, a[1:]], 0)
    )
    pair = [distribution.constrain(packed(g)) for g in (inputs, moved)]
    for name, function in (
        ("sample", lambda p: distribution.sample(p, seed)),
        ("log q", lambda p: distribution.log_probs(p, subject.drawn[:64])),
    ):
        one, other = (np.asarray(function(p))[1:] for p in pair)
        if not np.array_equal(one, other, equal_nan=True):
            raise Fault(
                f"the {name} of an example changes with parameters of another"
            )


@check(
    "enumeration",
    "The support holds every value once, and its mass is one",
    "list every joint value in `support`, and their number in `count`",
)
def enumeration(subject: Samples) -> Finding:
    distribution = subject.require(Enumerable)
    shape = subject.parameters(1)[-1].shape
    support = np.asarray(distribution.support(shape))
    flat = _measure.rows(support)
    size = len(flat)
    if size != distribution.count(shape):
        raise Fault(f"`count` says {distribution.count(shape)}, not {size}")
    if len(np.unique(flat, axis=0)) != size:
        raise Fault("a value is there twice")
    values = tf.cast(support, subject.drawn.dtype)
    mass = np.exp(distribution.log_prob(subject.parameters(size), values))
    code = np.random.default_rng(0).normal(size=flat.shape[1])
    order = np.argsort(flat @ code)
    place = np.searchsorted((flat @ code)[order], subject.flat @ code - 1e-6)
    counts = np.bincount(order[np.minimum(place, size - 1)], minlength=size)
    differs = abs(float(mass.sum()) - 1.0)
    if differs > 1e-4:
        raise Fault(f"its mass is {mass.sum():.4g}")
    return in_errors(
        _measure.from_shares(counts, mass / mass.sum()),
        f"shares of {size} values",
    )


CHECKS = (
    samples,
    normalisation,
    score,
    far_parameters,
    closed_score,
    mean,
    mode,
    inference,
    sums,
    independence,
    enumeration,
)
