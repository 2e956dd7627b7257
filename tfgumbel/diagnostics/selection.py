"""From names, objects and mappings to labelled estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgumbel import _checks
from tfgumbel.diagnostics import _contract, estimates
from tfgumbel.estimators import Estimator, available, get


def common_distribution(distribution: str | None, estimators: Any) -> str:
    """The one distribution of all; categorical if nobody says."""
    entries = estimators or ()
    entries = entries.values() if isinstance(entries, Mapping) else entries
    found = {
        _contract.distribution_of(entry)
        for entry in entries
        if isinstance(entry, Estimator)
    }
    if distribution is not None:
        found.add(distribution)
    if len(found) > 1:
        raise ValueError(
            "The estimators and argument `distribution` must agree on one "
            f"distribution. Received: {sorted(found)}"
        )
    return found.pop() if found else "categorical"


def select(
    estimators: Any, distribution: str, seed: int, enumerable: bool
) -> dict[str, Estimator | Exception]:
    """Estimators by label; an exception for one that cannot be made."""
    if estimators is None:
        every = _entries(available(), distribution, seed)
        return {
            name: entry
            for name, entry in every.items()
            if isinstance(entry, Estimator)
            and not _contract.has_another_objective(entry)
            and (enumerable or not _contract.is_exact(entry))
        }
    estimators = [estimators] if isinstance(estimators, str) else estimators
    if not estimators:
        raise ValueError(f"Argument `estimators` is empty: {estimators!r}")
    return _entries(estimators, distribution, seed)


def _entries(
    estimators: Any, distribution: str, seed: int
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


def _entry(entry: Any, distribution: str, seed: int) -> Estimator | Exception:
    if not isinstance(entry, str):
        return get(entry)
    _checks.choice("estimators", entry, available())
    with estimates.seeded(seed):
        try:
            return get(entry, distribution=distribution)
        except ValueError as error:
            return error
