"""The table of distributions: a row buys every test of the room.

A row has unconstrained parameters, the same distribution as scipy or NumPy has
it, in float64, and where its mass is. Expectations are integrals of a density,
or sums, over fixed nodes, so that their derivatives in the parameters are
smooth.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import scipy.special
import scipy.stats

import tfgumbel as tg
from tests.layers import continuous
from tests.layers.continuous import softplus

leggauss = functools.cache(np.polynomial.legendre.leggauss)


def identity(raw):
    return np.asarray(raw, np.float64)


@dataclasses.dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        id: Name in the tests' ids.
        name: Name in tfgumbel.
        raw: Unconstrained parameters of one variable; of a mixture or vector,
            those on the last axis.
        bijections: From these to the parameters, in NumPy.
        log_density: `(z, *parameters)` to the log-density or log-mass of the
            values `[N]`, or `[N, D]` for vectors.
        support: An interval that holds the mass; the whole numbers in it, if
            `whole`.
        options: Of the distribution.
        mean: The mean, if the distribution has one.
        mode: The mode, if it has one.
        whole: Whether samples are whole numbers.
        event: Size of a vector; 0 for a scalar.
        prior: Parameters of a prior for the divergence.
        learned: Indices of the parameters that receive a gradient.
        dense: Whether the nodes are dense around zero, for a peak or a tail.
        atoms: All values, `[N, event]`, where vectors are discrete.
    """

    id: str
    name: str
    raw: tuple
    bijections: tuple
    log_density: Callable
    support: tuple
    options: dict = dataclasses.field(default_factory=dict)
    mean: Callable | None = None
    mode: Callable | None = None
    whole: bool = False
    event: int = 0
    prior: tuple | None = None
    learned: tuple | None = None
    dense: bool = False
    atoms: np.ndarray | None = None

    @property
    def distribution(self):
        return tg.distributions.get(self.name, **self.options)

    def parameters(self, raw=None):
        """The constrained parameters, in float64."""
        raw = self.raw if raw is None else raw
        return tuple(f(r) for f, r in zip(self.bijections, raw, strict=True))

    @property
    def indices(self):
        return self.learned or tuple(range(len(self.raw)))

    def nodes(self, count=600):
        """Where the integrand is evaluated, and the weight of each node."""
        if self.atoms is not None:
            return self.atoms, np.ones(len(self.atoms))
        low, high = self.support
        if self.whole:
            z = np.arange(low, high + 1.0)
            return z, np.ones_like(z)
        if self.event:
            return self._grid()
        if self.dense:  # z = sinh t
            low, high = np.arcsinh([low, high])
        x, w = leggauss(count)
        t, weight = low + (x + 1) * (high - low) / 2, w * (high - low) / 2
        return (np.sinh(t), weight * np.cosh(t)) if self.dense else (t, weight)

    def _grid(self):
        """Of vectors of two; of points of the simplex, their first entries."""
        x, w = leggauss(160)
        low, high = self.support
        line, weight = low + (x + 1) * (high - low) / 2, w * (high - low) / 2
        grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1)
        grid, weight = grid.reshape(-1, 2), np.outer(weight, weight).ravel()
        if self.name == "dirichlet":  # the second entry is a part of the rest
            rest = 1 - grid[:, 0]
            grid[:, 1] *= rest
            weight *= rest
        return grid, weight

    def mass(self, raw=None, count=600):
        """Probability of each node."""
        z, weight = self.nodes(count)
        return weight * np.exp(self.log_density(z, *self.parameters(raw)))

    def expectation(self, f, raw=None):
        z, _ = self.nodes()
        return float(np.sum(self.mass(raw) * f(z)))

    def bound(self, f, raw=None, add_log_prob=False):
        """E of -log ½ Σ w over two samples, w = exp(-f) / q or exp(-f)."""
        z, _ = self.nodes(300)
        mass, cost = self.mass(raw, 300), f(z)
        if add_log_prob:
            log_density = self.log_density(z, *self.parameters(raw))
            cost = cost + np.maximum(log_density, -1e3)
        both = np.logaddexp(-cost[:, None], -cost[None, :]) - np.log(2)
        return -float(mass @ both @ mass)

    def derivative(self, value):
        """Of `value(raw)` in each learned parameter, by central differences."""
        found = []
        for index in self.indices:
            flat = np.asarray(self.raw[index], np.float64).ravel()
            slopes = []
            for entry in range(flat.size):
                sides = []
                for sign in (1, -1):
                    moved = flat.copy()
                    moved[entry] += sign * 1e-3
                    raw = list(self.raw)
                    raw[index] = moved.reshape(np.shape(self.raw[index]))
                    sides.append(value(tuple(raw)))
                slopes.append((sides[0] - sides[1]) / 2e-3)
            found.append(np.array(slopes))
        return found


def of_scipy(make):
    """The log-density of a frozen distribution."""

    def log_density(z, *parameters):
        frozen = make(*parameters)
        discrete = hasattr(frozen, "logpmf")
        return frozen.logpmf(z) if discrete else frozen.logpdf(z)

    return log_density


def dirichlet(z, concentration):
    """Of the first two of three entries."""
    points = np.concatenate([z, 1 - z.sum(-1, keepdims=True)], -1)
    return scipy.stats.dirichlet(concentration).logpdf(points.T)


def triangle(raw):
    """L of two coordinates, row by row."""
    a, b, c = raw
    return np.array([[softplus(a), 0.0], [b, softplus(c)]])


def gaussian_tril(z, mean, factor):
    covariance = factor @ factor.T
    return scipy.stats.multivariate_normal(mean, covariance).logpdf(z)


def subset(z, *parameters):
    """By the sum over all subsets of the sizes that there are among z."""
    *size, logits = parameters
    sizes = size or np.unique(z.sum(-1))
    states = np.array(list(itertools.product((0.0, 1.0), repeat=logits.size)))
    states = states[np.isin(states.sum(-1), sizes)]
    log_z = scipy.special.logsumexp(states @ logits)
    inside = np.isin(z.sum(-1), sizes)
    return np.where(inside, z @ logits - log_z, -np.inf)


def subset_case(id, raw, sizes, **options):
    z = np.array(list(itertools.product((0.0, 1.0), repeat=4)))
    z = z[np.isin(z.sum(-1), sizes)]
    best = z[np.argmax(z @ raw[-1])]
    return Case(
        id,
        "subset",
        raw,
        (identity,) * len(raw),
        subset,
        (0.0, 1.0),
        mean=lambda *q: np.exp(subset(z, *q)) @ z,
        mode=lambda *q: best,
        event=4,
        whole=True,
        atoms=z,
        **options,
    )


def plackett_luce(z, logits):
    """Items drawn one after the other, each from those that are left."""
    order = z.reshape(-1, logits.size, logits.size).argmax(-1)
    log_prob, weight = np.zeros(len(order)), np.exp(logits)
    for place in range(logits.size):
        left = weight[order[:, place:]].sum(-1)
        log_prob += np.log(weight[order[:, place]] / left)
    return log_prob


def gaussian(parameterization, scale, bijection):
    return Case(
        f"gaussian-{parameterization}",
        "gaussian",
        (0.3, scale),
        (identity, bijection),
        of_scipy(scipy.stats.norm),
        (-12.0, 12.0),
        options={"parameterization": parameterization},
        mean=lambda mean, stddev: mean,
        mode=lambda mean, stddev: mean,
        prior=(0.5, 1.3),
    )


# The log-odds of 0.3, 0.6, 0.5 and 0.2.
FOUR = scipy.special.logit(np.array([0.3, 0.6, 0.5, 0.2]))

CASES = (
    gaussian("log_variance", -0.4, lambda raw: np.exp(raw / 2)),
    gaussian("log_stddev", -0.2, np.exp),
    gaussian("softplus", 0.2, softplus),
    gaussian("stddev", 0.8, identity),
    Case(
        "gaussian-tril",
        "gaussian",
        (np.array([0.3, -0.2]), np.array([0.4, 0.5, -0.1])),
        (identity, triangle),
        gaussian_tril,
        (-9.0, 9.0),
        options={"parameterization": "tril"},
        mean=lambda mean, factor: mean,
        mode=lambda mean, factor: mean,
        event=2,
    ),
    Case(
        "exponential",
        "exponential",
        (0.4,),
        (np.exp,),
        of_scipy(lambda rate: scipy.stats.expon(scale=1 / rate)),
        (0.0, 40.0),
        mean=lambda rate: 1 / rate,
        mode=lambda rate: 0.0,
        prior=(0.7,),
    ),
    Case(
        "gamma",
        "gamma",
        (1.5, 0.8),
        (softplus, softplus),
        of_scipy(lambda a, rate: scipy.stats.gamma(a, scale=1 / rate)),
        (0.0, 40.0),
        mean=lambda a, rate: a / rate,
        mode=lambda a, rate: (a - 1) / rate,
        prior=(2.0, 0.6),
    ),
    Case(
        "gamma-fixed",
        "gamma",
        (1.5, 0.8),
        (softplus, softplus),
        of_scipy(lambda a, rate: scipy.stats.gamma(a, scale=1 / rate)),
        (0.0, 40.0),
        options={"fixed": "concentration"},
        learned=(1,),
    ),
    Case(
        "weibull",
        "weibull",
        (1.4, -0.2),
        (softplus, np.exp),
        of_scipy(lambda k, scale: scipy.stats.weibull_min(k, scale=scale)),
        (0.0, 12.0),
        mean=lambda k, scale: scale * scipy.special.gamma(1 + 1 / k),
        mode=lambda k, scale: scale * (1 - 1 / k) ** (1 / k),
        prior=(1.2, 1.4),
    ),
    Case(
        "weibull-fixed",
        "weibull",
        (1.4, -0.2),
        (softplus, np.exp),
        of_scipy(lambda k, scale: scipy.stats.weibull_min(k, scale=scale)),
        (0.0, 12.0),
        options={"fixed": "concentration"},
        learned=(1,),
    ),
    Case(
        "poisson",
        "poisson",
        (0.5,),
        (np.exp,),
        of_scipy(scipy.stats.poisson),
        (0, 60),
        mean=lambda rate: rate,
        mode=lambda rate: np.floor(rate),
        whole=True,
        prior=(2.5,),
    ),
    Case(
        "binomial",
        "binomial",
        (5.0, 0.4),
        (identity, identity),
        of_scipy(
            lambda n, logits: scipy.stats.binom(n, scipy.special.expit(logits))
        ),
        (0, 5),
        mean=lambda n, logits: n * scipy.special.expit(logits),
        mode=lambda n, logits: np.floor((n + 1) * scipy.special.expit(logits)),
        whole=True,
        prior=(5.0, -0.3),
        learned=(1,),
    ),
    Case(
        "beta",
        "beta",
        (1.6, 2.1),
        (softplus, softplus),
        of_scipy(scipy.stats.beta),
        (0.0, 1.0),
        mean=lambda a, b: a / (a + b),
        prior=(1.5, 1.2),
    ),
    Case(
        "dirichlet",
        "dirichlet",
        (np.array([1.6, 2.1, 1.2]),),
        (softplus,),
        dirichlet,
        (0.0, 1.0),
        mean=lambda a: a / a.sum(),
        event=3,
    ),
    Case(
        "kumaraswamy",
        "kumaraswamy",
        (1.4, 1.8),
        (softplus, softplus),
        of_scipy(continuous.kumaraswamy),
        (0.0, 1.0),
        mean=lambda a, b: b * scipy.special.beta(1 + 1 / a, b),
        prior=(1.4, 1.2),
    ),
    Case(
        "logistic_normal",
        "logistic_normal",
        (0.4, 0.3),
        (identity, softplus),
        of_scipy(continuous.logistic_normal),
        (0.0, 1.0),
        prior=(0.1, 1.2),
    ),
    Case(
        "laplace",
        "laplace",
        (0.3, 0.4),
        (identity, softplus),
        of_scipy(scipy.stats.laplace),
        (-30.0, 30.0),
        mean=lambda location, scale: location,
        mode=lambda location, scale: location,
        prior=(0.1, 1.5),
        dense=True,
    ),
    Case(
        "student_t",
        "student_t",
        (6.0, 0.3, 0.4),
        (softplus, identity, softplus),
        of_scipy(scipy.stats.t),
        (-120.0, 120.0),
        mode=lambda df, location, scale: location,
        prior=(5.0, 0.1, 1.2),
        dense=True,
    ),
    Case(
        "truncated_normal",
        "truncated_normal",
        (0.4, 0.5),
        (identity, softplus),
        of_scipy(continuous.truncated_normal),
        (-1.0, 1.5),
        options={"bounds": (-1.0, 1.5)},
        mode=lambda location, scale: location,
        prior=(0.1, 1.4),
    ),
    Case(
        "inverse_gaussian",
        "inverse_gaussian",
        (0.8, 1.7),
        (softplus, softplus),
        of_scipy(continuous.inverse_gaussian),
        (1e-9, 60.0),
        mean=lambda mean, shape: mean,
        mode=lambda mean, shape: (
            mean * (np.hypot(1, 1.5 * mean / shape) - 1.5 * mean / shape)
        ),
        prior=(1.4, 1.1),
    ),
    Case(
        "von_mises",
        "von_mises",
        (0.3, 1.1),
        (identity, softplus),
        of_scipy(continuous.von_mises),
        (-np.pi, np.pi),
        mode=lambda location, concentration: location,
        prior=(0.1, 0.8),
    ),
    Case(
        "mixture",
        "mixture",
        (np.array([0.2, -0.3]), np.array([-0.8, 0.9]), np.array([0.1, 0.6])),
        (identity, identity, softplus),
        of_scipy(continuous.mixture),
        (-14.0, 14.0),
        mean=lambda logits, mean, _: scipy.special.softmax(logits) @ mean,
        prior=([0.0, 0.1], [0.2, -0.1], [1.0, 1.4]),
    ),
    subset_case(
        "subset",
        (FOUR,),
        (2,),
        options={"k": 2},
        prior=(np.array([0.3, 0.0, -0.4, 0.2]),),
    ),
    subset_case(
        "subset-range",
        (FOUR,),
        (1, 2, 3),
        options={"k": (1, 3)},
        prior=(np.array([0.3, 0.0, -0.4, 0.2]),),
    ),
    subset_case(
        "subset-sizes",
        (np.array(3.0), FOUR),
        (3,),
        prior=(3.0, np.array([0.3, 0.0, -0.4, 0.2])),
        learned=(1,),
    ),
    Case(
        "permutation",
        "permutation",
        (np.array([0.4, -0.5, 0.9]),),
        (identity,),
        plackett_luce,
        (0.0, 1.0),
        mode=lambda logits: np.eye(3)[[2, 0, 1]],
        event=9,
        whole=True,
        atoms=np.eye(3)[list(itertools.permutations(range(3)))].reshape(-1, 9),
    ),
)
BY_ID = {case.id: case for case in CASES}
