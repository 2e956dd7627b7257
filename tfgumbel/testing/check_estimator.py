"""Is an estimator of a gradient right?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfgumbel.testing import _estimator_execution, _estimator_gradients
from tfgumbel.testing._problem import Problem
from tfgumbel.testing._run import kept_generators, run
from tfgumbel.testing.report import Report

CHECKS = (*_estimator_gradients.CHECKS, *_estimator_execution.CHECKS)


def check_estimator(
    estimator: Any,
    distribution: Any = None,
    inputs: Any = None,
    *,
    full: bool = False,
    only: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> Report:
    """Checks an estimator of ∇E f(z) of this package or of your own.

    Value, gradient and the gradient of the cost's own weights against the
    exact ones, by enumeration where the support is finite, else against many
    samples of RLOO, with control variates that are not zero, and with a
    stated power: where its variance hides a bias of 15 %, a check says so
    instead of passing. One that says it is biased must point the right way.
    Further: several samples, incoming gradients, costs without a gradient and
    with NaN, shapes, seeds, extreme inputs, precision, graphs, configuration.

    Args:
        estimator: A name, an `Estimator`, or a function that makes one.
        distribution: With a name: what it is to serve. Default: categorical.
        inputs: Unconstrained parameters of one example, without the batch: an
            array, or a tuple of them. Default: random ones of two variables.
        full: Whether to take more draws, and add XLA.
        only: Names of the checks to run; default: all of the set.
        seed: Seed of all random numbers.
        progress: Whether to show a progress bar.
        **options: With a name: other arguments of the constructor.

    Returns:
        A `Report`, which prints as one line for each check.

    Raises:
        TypeError: If `estimator` is none of these.
        ValueError: If the inputs do not fit, or `only` holds an unknown name.

    Example:

    >>> import tfgumbel as tg
    >>> report = tg.testing.check_estimator(
    ...     "rloo", "bernoulli", only=["gradient"]
    ... )
    >>> report["gradient"].status
    'pass'
    """
    with kept_generators():
        problem = Problem(
            estimator, distribution, inputs, seed, full, **options
        )
    return run(
        CHECKS,
        problem,
        page="guides/own-estimator/",
        seed=seed,
        only=only,
        full=full,
        progress=progress,
    )
