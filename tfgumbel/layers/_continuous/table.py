"""The distributions by name."""

from __future__ import annotations

from typing import Any

from tfgumbel import estimators
from tfgumbel.layers._continuous.distribution import Continuous
from tfgumbel.layers._continuous.positive import Gamma, InverseGaussian
from tfgumbel.layers._continuous.real_line import (
    Laplace,
    Mixture,
    StudentT,
    VonMises,
)
from tfgumbel.layers._continuous.truncated_normal import TruncatedNormal
from tfgumbel.layers._continuous.unit_interval import (
    Beta,
    Dirichlet,
    Kumaraswamy,
    LogisticNormal,
)

DISTRIBUTIONS: dict[str, type[Continuous]] = {
    "beta": Beta,
    "dirichlet": Dirichlet,
    "gamma": Gamma,
    "inverse_gaussian": InverseGaussian,
    "kumaraswamy": Kumaraswamy,
    "laplace": Laplace,
    "logistic_normal": LogisticNormal,
    "mixture": Mixture,
    "student_t": StudentT,
    "truncated_normal": TruncatedNormal,
    "von_mises": VonMises,
}

# Those that have no reparameterisation gradient, for their samples are whole.
_DISCRETE = (
    "bernoulli",
    "binomial",
    "categorical",
    "geometric",
    "multinomial",
    "negative_binomial",
    "poisson",
)


def get(name: Any, bounds: Any = None) -> Continuous:
    """Returns the distribution of this name.

    Raises:
        ValueError: If it is unknown, has no reparameterisation gradient, or
            `bounds` do not fit it.
    """
    if name in _DISCRETE:
        raise ValueError(_refusal(name))
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        known = ", ".join(map(repr, DISTRIBUTIONS))
        raise ValueError(
            f"Argument `distribution` must be one of {known}. "
            "`ops.implicit_reparameterization` takes any other by its cdf. "
            f"Received: distribution={name!r}"
        )
    if name == "truncated_normal":
        return TruncatedNormal(bounds)
    if bounds is not None:
        raise ValueError(
            "Argument `bounds` is for the distribution 'truncated_normal'. "
            f"Received: bounds={bounds!r} for {name!r}"
        )
    return DISTRIBUTIONS[name]()


def _refusal(name: str) -> str:
    names = estimators.available(name)
    works = (
        "the score function: call `ScoreFunctionCost` with the cost and the "
        "log-probability of samples that you draw"
    )
    if names:
        works = (
            f"`ExpectedCost(distribution={name!r}, estimator=...)` with one "
            f"of {', '.join(map(repr, names))}"
        )
    return (
        "A discrete distribution has no reparameterisation gradient. What "
        f"works is {works}. Received: distribution={name!r}"
    )
