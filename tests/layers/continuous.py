"""The distributions of `ImplicitReparam` as scipy has them, in float64."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf


class Law:
    """A distribution that scipy has not, by its cdf and log-density."""

    def __init__(self, cdf, logpdf, mean=None):
        self.cdf, self.logpdf = cdf, logpdf
        self._mean = mean

    def mean(self):
        return self._mean


def kumaraswamy(a, b):
    return Law(
        lambda z: -np.expm1(b * np.log1p(-(z**a))),
        lambda z: (
            np.log(a * b) + (a - 1) * np.log(z) + (b - 1) * np.log1p(-(z**a))
        ),
        b * scipy.special.beta(1 + 1 / a, b),
    )


def logistic_normal(mean, stddev):
    normal = scipy.stats.norm(mean, stddev)
    return Law(
        lambda z: normal.cdf(scipy.special.logit(z)),
        lambda z: normal.logpdf(scipy.special.logit(z)) - np.log(z - z * z),
    )


def mixture(logits, mean, stddev):
    weight = scipy.special.softmax(logits, axis=-1)
    normal = scipy.stats.norm(mean, stddev)
    return Law(
        lambda z: np.sum(weight * normal.cdf(z[..., None]), -1),
        lambda z: scipy.special.logsumexp(
            normal.logpdf(z[..., None]), axis=-1, b=weight
        ),
        np.sum(weight * mean, -1),
    )


def inverse_gaussian(mean, shape):
    return scipy.stats.invgauss(mean / shape, scale=shape)


def truncated_normal(mean, stddev):
    low, high = ((bound - mean) / stddev for bound in BOUNDS)
    return scipy.stats.truncnorm(low, high, mean, stddev)


def von_mises(mean, concentration):
    centered = scipy.stats.vonmises(concentration)

    def angle(z):
        return np.remainder(z - mean + np.pi, 2 * np.pi) - np.pi

    return Law(
        lambda z: centered.cdf(angle(z)),
        lambda z: centered.logpdf(angle(z)),
        mean,
    )


BOUNDS = (-1.0, 1.5)


@dataclasses.dataclass(frozen=True)
class Continuous:
    """One distribution.

    Attributes:
        name: Its name in tfgumbel.
        parameters: Values of each natural parameter, one for each variable;
            for a mixture, one for each variable and component.
        prior: Natural parameters of a prior.
        law: Maps natural parameters to a frozen distribution.
        positive: Whether the softplus gives each parameter.
        support: An interval that holds the mass of them all.
        mode: The modes, if it has that inference.
        implicit: Whether the gradient is that of the quantile function.
        analytic: Whether its divergence is in closed form.
    """

    name: str
    parameters: tuple
    prior: tuple
    law: Callable
    positive: tuple
    support: tuple
    mode: tuple | None = None
    implicit: bool = True
    analytic: bool = True

    @property
    def kwargs(self):
        return {"bounds": BOUNDS} if self.name == "truncated_normal" else {}

    @property
    def inputs(self):
        """The unconstrained parameters, `[D]` or `[D, K]` each."""
        return [
            unconstrained(p) if positive else np.asarray(p, np.float64)
            for p, positive in zip(self.parameters, self.positive, strict=True)
        ]

    def natural(self, inputs):
        return [
            softplus(x) if positive else x
            for x, positive in zip(inputs, self.positive, strict=True)
        ]


SMALLEST = np.exp(-15.0)


def softplus(x):
    return np.logaddexp(0.0, x) + SMALLEST


def unconstrained(value):
    value = np.asarray(value, np.float64) - SMALLEST
    return value + np.log(-np.expm1(-value))


CASES = (
    Continuous(
        "gamma",
        ((0.05, 0.7, 3.0, 40.0, 900.0), (1.0, 0.2, 3.0, 7.0, 300.0)),
        (2.0, 0.5),
        lambda a, b: scipy.stats.gamma(a, scale=1 / b),
        (True, True),
        (0.0, 60.0),
        (0.0, 0.0, 2 / 3, 39 / 7, 899 / 300),
    ),
    Continuous(
        "inverse_gaussian",
        ((0.3, 1.0, 5.0), (2.0, 1.0, 0.4)),
        (1.5, 0.8),
        inverse_gaussian,
        (True, True),
        (0.0, np.inf),
        (0.24, 0.3027756, 0.1332386),
    ),
    Continuous(
        "beta",
        ((0.5, 1.0, 8.0), (0.3, 2.5, 5.0)),
        (1.5, 0.8),
        scipy.stats.beta,
        (True, True),
        (0.0, 1.0),
        implicit=False,
    ),
    Continuous(
        "kumaraswamy",
        ((0.5, 1.0, 8.0), (0.4, 2.5, 5.0)),
        (1.5, 0.8),
        kumaraswamy,
        (True, True),
        (0.0, 1.0),
        analytic=False,
    ),
    Continuous(
        "logistic_normal",
        ((-1.0, 0.0, 2.0), (0.3, 1.0, 2.0)),
        (0.5, 1.5),
        logistic_normal,
        (False, True),
        (0.0, 1.0),
    ),
    Continuous(
        "laplace",
        ((-1.0, 0.0, 2.0), (0.3, 1.0, 2.0)),
        (0.5, 1.5),
        scipy.stats.laplace,
        (False, True),
        (-np.inf, np.inf),
        (-1.0, 0.0, 2.0),
    ),
    Continuous(
        "student_t",
        ((3.0, 8.0, 30.0), (-1.0, 0.0, 2.0), (0.3, 1.0, 2.0)),
        (5.0, 0.5, 1.5),
        scipy.stats.t,
        (True, False, True),
        (-np.inf, np.inf),
        (-1.0, 0.0, 2.0),
        implicit=False,
        analytic=False,
    ),
    Continuous(
        "truncated_normal",
        ((-1.2, 0.0, 4.0, -7.0), (0.3, 1.0, 0.4, 0.7)),
        (0.5, 1.5),
        truncated_normal,
        (False, True),
        BOUNDS,
        (-1.0, 0.0, 1.5, -1.0),
        analytic=False,
    ),
    Continuous(
        "von_mises",
        ((-1.0, 0.0, 2.0, 3.0), (0.3, 1.0, 5.0, 20.0)),
        (0.5, 1.5),
        von_mises,
        (False, True),
        (-np.pi, np.pi),
        (-1.0, 0.0, 2.0, 3.0),
    ),
    Continuous(
        "mixture",
        (
            ((0.0, 1.0, -3.0), (2.0, 0.0, 0.0)),
            ((-2.0, 1.0, 9.0), (0.0, 0.5, 1.0)),
            ((0.3, 1.0, 2.0), (1.0, 0.2, 3.0)),
        ),
        ((0.0, 1.0), (-2.0, 3.0), (1.0, 4.0)),
        mixture,
        (False, False, True),
        (-40.0, 40.0),
        analytic=False,
    ),
)


def continuous_cases(condition=lambda case: True):
    """Parametrises a test over the distributions that fulfil the condition."""
    chosen = [case for case in CASES if condition(case)]
    return pytest.mark.parametrize(
        "case", chosen, ids=[case.name for case in chosen]
    )


def tiled(case, count, dtype="float32"):
    """Inputs of `count` examples, each of all variables."""
    return [tf.constant(np.stack([x] * count), dtype) for x in case.inputs]


def variable(case, index):
    """The law of one variable."""
    return case.law(*(np.asarray(p)[index] for p in case.parameters))
