"""From names, objects and mappings to labelled estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgumbel import _checks, distributions
from tfgumbel.diagnostics import estimates
from tfgumbel.distributions import Distribution
from tfgumbel.estimators import Estimator, available, canonical, get


def common_distribution(distribution: Any, estimators: Any) -> Distribution:
    """The one distribution of all; categorical if nobody says."""
    entries = estimators or ()
    entries = entries.values() if isinstance(entries, Mapping) else entries
    found = {e.distribution for e in entries if isinstance(e, Estimator)}
    if distribution is not None:
        found.add(distributions.get(distribution))
    if len(found) > 1:
        raise ValueError(
            "The estimators and argument `distribution` must agree on one "
            f"distribution. Received: {sorted(map(repr, found))}"
        )
    return found.pop() if found else distributions.Categorical()


def select(
    estimators: Any, distribution: Distribution, seed: int, enumerable: bool
) -> dict[str, Estimator | Exception]:
    """Estimators by label; an exception for one that cannot be made."""
    if estimators is None:
        every = _entries(available(distribution), distribution, seed)
        return {
            name: entry
            for name, entry in every.items()
            if isinstance(entry, Estimator)
            and not has_another_objective(entry)
            and (enumerable or not entry.exact)
        }
    if not estimators:
        raise ValueError(f"Argument `estimators` is empty: {estimators!r}")
    return _entries(estimators, distribution, seed)


def _entries(
    estimators: Any, distribution: Distribution, seed: int
) -> dict[str, Estimator | Exception]:
    if not isinstance(estimators, Mapping):
        labels = [getattr(entry, "name", entry) for entry in estimators]
        if len(set(map(str, labels))) < len(labels):
            raise ValueError(
                "Argument `estimators` names an estimator twice; give a "
                f"mapping with labels instead. Received: {labels}"
            )
        estimators = dict(zip(map(str, labels), estimators, strict=True))
    return {
        label: _entry(entry, distribution, seed)
        for label, entry in estimators.items()
    }


def _entry(
    entry: Any, distribution: Distribution, seed: int
) -> Estimator | Exception:
    if not isinstance(entry, str):
        return get(entry)
    _checks.choice("estimators", canonical(entry), available())
    with estimates.seeded(seed):
        try:
            return get(entry, distribution=distribution)
        except ValueError as error:
            return error


def has_another_objective(estimator: Estimator) -> bool:
    """Whether what it estimates is not the gradient of E f."""
    return estimator.objective != "expected cost"
