"""Writes what the classes of the package say of themselves.

    python -m docs.scripts.facts

Writes `docs/data/facts.json`: every estimator, every distribution, and which
estimator serves which distribution, as `Estimator.refusal` has it. The tables
of the documentation are made from it, since a site is built without
TensorFlow. A test fails where the file is not what this script writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from docs.scripts.json_lines import write
from tfgumbel import distributions, estimators

OUT = Path(__file__).parents[1] / "data" / "facts.json"
# Options that a distribution is made with, if not the defaults.
NEEDED = {"truncated_normal": {"bounds": (0.0, 1.0)}, "subset": {"k": 2}}


def main() -> None:
    """Writes the file."""
    write(OUT, facts())


def facts() -> dict[str, dict[str, Any]]:
    """What the package says of its estimators, distributions, capabilities."""
    return {
        "estimators": of_estimators(),
        "distributions": of_distributions(),
        "capabilities": {
            capability.__name__: distributions.described(capability)
            for capability in distributions.CAPABILITIES
        },
    }


def of_estimators() -> dict[str, dict[str, Any]]:
    """What the package's estimators say of themselves, by name."""
    members = [getattr(estimators, name) for name in estimators.__all__]
    return {
        _registered_name(member): _of_estimator(member)
        for member in members
        if isinstance(member, type)
        and issubclass(member, estimators.Estimator)
        and member is not estimators.Estimator
    }


def of_distributions() -> dict[str, dict[str, Any]]:
    """What the package's distributions say of themselves, by name."""
    members = [getattr(distributions, name) for name in distributions.__all__]
    return {
        member.name: _of_distribution(member.name)
        for member in members
        if isinstance(member, type)
        and issubclass(member, distributions.Distribution)
        and member is not distributions.Distribution
    }


def _registered_name(estimator: type) -> str:
    name = keras.saving.get_registered_name(estimator)
    return name.removeprefix("tfgumbel>").removesuffix("_estimator")


def _of_estimator(estimator: type) -> dict[str, Any]:
    made = estimator()
    return {
        "class": estimator.__name__,
        "unbiased": made.unbiased,
        "needs": [need.__name__ for need in made.needs],
        "needs_gradient": made.needs_gradient,
        "evaluations": made.evaluations,
        "samples": made.samples,
    }


def _of_distribution(name: str) -> dict[str, Any]:
    made = distributions.get(name, **NEEDED.get(name, {}))
    return {
        "class": type(made).__name__,
        "parameters": list(made.parameters),
        "inference": list(made.inference),
        "kl": _kl(made),
        "estimators": estimators.available(made),
        "if_fixed": _if_fixed(name, made),
    }


def _kl(made: distributions.Distribution) -> str:
    if made.lacks(distributions.ClosedFormKL) is None:
        return "closed"
    sampled = made.lacks(distributions.Reparameterized) is None
    return "MC" if sampled else "none"


def _if_fixed(
    name: str, made: distributions.Distribution
) -> dict[str, list[str]]:
    """Estimators that serve it only if a parameter is fixed, by the latter."""
    found = {}
    if len(made.learned()) < 2:
        return found
    for parameter in made.learned():
        options = {**NEEDED.get(name, {}), "fixed": parameter}
        served = estimators.available(distributions.get(name, **options))
        more = sorted(set(served) - set(estimators.available(made)))
        if more:
            found[parameter] = more
    return found


if __name__ == "__main__":
    main()
