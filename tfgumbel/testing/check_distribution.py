"""Is a distribution right?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfgumbel.testing import (
    _distribution_capabilities,
    _distribution_density,
    _distribution_execution,
)
from tfgumbel.testing._run import run
from tfgumbel.testing._samples import Samples
from tfgumbel.testing.report import Report

CHECKS = (
    *_distribution_density.CHECKS,
    *_distribution_capabilities.CHECKS,
    *_distribution_execution.CHECKS,
)


def check_distribution(
    distribution: Any,
    inputs: Any = None,
    *,
    full: bool = False,
    only: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Checks a distribution of this package or of your own.

    Its samples against its log-probability (by quadrature between quantiles,
    or in enumeration), the mass of the density, mean, mode and score, and
    every capability that it has: pathwise and weak derivatives against the
    score function, relaxation and conditioned noise, divergence against
    samples; the score at eight further places; extreme parameters, seeds,
    precision, graphs, configuration.

    Args:
        distribution: A name or a `Distribution`.
        inputs: Unconstrained parameters of one example, without the batch: an
            array, or a tuple of them. Default: random ones of two variables.
        full: Whether to take more draws, and add XLA.
        only: Names of the checks to run; default: all of the set.
        seed: Seed of all random numbers.
        progress: Whether to show a progress bar.

    Returns:
        A `Report`, which prints as one line for each check.

    Raises:
        ValueError: If the parameters do not fit, or `only` holds an unknown
            name.

    Example:

    >>> import tfgumbel as tg
    >>> report = tg.testing.check_distribution("gamma", only=["samples"])
    >>> report["samples"].status
    'pass'
    """
    subject = Samples(distribution, inputs, seed, full)
    return run(
        CHECKS,
        subject,
        page="guides/own-distribution/",
        seed=seed,
        only=only,
        full=full,
        progress=progress,
    )
