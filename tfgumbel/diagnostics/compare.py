"""Bias, variance and cost of estimators on one problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.diagnostics import reference
from tfgumbel.diagnostics.comparison import Comparison
from tfgumbel.diagnostics.measurement import Setup
from tfgumbel.diagnostics.progress import Progress
from tfgumbel.diagnostics.reference import Reference
from tfgumbel.diagnostics.selection import common_distribution, select
from tfgumbel.diagnostics.study import Study
from tfgumbel.distributions import Distribution
from tfgumbel.estimators import CostFn, Estimator

_MAX_DRAWS = 100_000


def compare(
    cost_fn: CostFn,
    logits: Any,
    estimators: Sequence[Any] | Mapping[str, Any] | None = None,
    draws: int = 1000,
    *,
    max_draws: int | None = None,
    tolerance: float = 0.1,
    distribution: Any = None,
    context: Any = None,
    exact: Any = None,
    train_steps: int = 500,
    learning_rate: float = 0.05,
    limit: int = 4096,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Which estimator of ∇E[f(z)] is best on a problem of your own.

    Measures each estimator g of the gradient with respect to the logits:

    | column | what it is |
    |---|---|
    | bias | norm of E g - ∇E f, the part that noise adds taken off |
    | /norm | the same, relative to the norm of ∇E f; so are the next three |
    | at least, at most | bounds of the bias |
    | 90 % | the bias that would have been detected with this probability |
    | p | chance of a mean so far from ∇E f without a bias |
    | variance | Var g, summed over coordinates |
    | SNR | norm of E g over √variance |
    | evals | evaluations of f per example and estimate |
    | var*evals | variance · evals: what a number of evaluations buys |
    | ms, ± | wall time of one estimate, forward and backward; its spread |
    | var*ms | variance · ms: what an amount of time buys |

    For B > 1 examples, squared norms and variances are means over examples,
    and a bias is looked for in all of them together and in each by itself.

    **Bias.** ∇E f comes from enumeration, from `exact`, or, past `limit`
    joint states and where f draws noise of its own (dropout), from more draws
    of the unbiased estimator of least variance · evals (`rloo` if there is
    none), whose own noise is allowed for. p is adjusted for the number of
    estimators, examples and looks at the draws (Holm 1979). A bias is detected
    where p is at most 0.01: one table in a hundred has a false alarm. The
    bounds of a table hold jointly with 99 % confidence. How the test works,
    and why this one, is in the docstring of
    `tfgumbel/diagnostics/bias_test.py`.

    **Recommended** is the estimator of least variance · evals among those of
    acceptable bias: unbiased by construction and nothing detected, or shown
    to have a bias below `tolerance` times the gradient's norm. Estimators
    that might be better are drawn again, four times as many draws each time,
    until these say whether the bias is acceptable or `max_draws` are reached;
    what is open then is `undecided`. `exact` and the estimators of another
    objective (a bound, as of `vimco` and `iwae`) are measured if asked for, not
    recommended.

    **Time.** The draws go through in one compiled function, tiled over the
    batch, so that per-example gradients are independent draws; ms is the time
    of such a batch divided by its draws, the gradient of the control
    variate's own weights included, compilation not. An estimator that looks
    across the batch (`reinforce` with `baseline="optimal"` and one sample)
    sees the tiled batch, which is larger than yours.

    Ctrl-C ends the measuring and returns what is finished; before anything
    is, it interrupts as usual.

    Args:
        cost_fn: f, as for an estimator: samples `[n·B, ...]` to costs
            `[n·B]` for any n; use `estimators.tile_context` for what it
            captures per example.
        logits: `[B, ..., K]` (categorical) or `[B, ...]` (Bernoulli); for a
            distribution of several parameters, their tuple.
        estimators: Names and `Estimator` objects in a list, or a mapping from
            labels to them; `None` for all that are available for the
            distribution and estimate the gradient of E f.
        draws: Estimates per estimator to begin with, at least 2; rounded up
            to whole batches.
        max_draws: Most estimates of one estimator; `None` for 100,000, or
            `draws` if that is more. The same as `draws` for no more of them.
        tolerance: The bias, relative to the gradient's norm, up to which a
            biased estimator may be recommended.
        distribution: A name, or a `Distribution`; `None` for that of the
            estimator objects, or else categorical.
        context: What learned baselines and control variates look at, `[B,
            ...]`; `None` for the logits.
        exact: ∇E f, of the logits' shape, if you know it.
        train_steps: Steps that control variates are trained for before they
            are measured, with Adam, on 100 draws each. Untrained, RELAX is
            REINFORCE.
        learning_rate: Of those steps; falls to zero on a cosine.
        limit: Most joint states to enumerate.
        seed: Of noise and initial weights: the same seed gives the same
            result, times excepted.
        progress: Whether to show a progress bar and the time left.

    Returns:
        A `Comparison`: `print` it, or use `.rows`, `.to_dict()`,
        `.plot(path)`. An estimator that cannot be measured has a row that
        says why. Estimator objects keep the weights they had.

    Raises:
        ValueError: If a number is out of range, a name is unknown or taken
            twice, the objects have another distribution, or `cost_fn` does
            not return one cost per sample.
        TypeError: If something is no estimator.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> result = tg.diagnostics.compare(
    ...     lambda z: tf.square(z[:, 0] - 0.45), [[0.0]],
    ...     ["reinforce", "disarm", "gumbel_softmax"],
    ...     distribution="bernoulli", progress=False)
    >>> result["disarm"].variance < result["reinforce"].variance
    True
    >>> result.recommended
    'disarm'

    References:
        Mohamed, Rosca, Figurnov, Mnih. Monte Carlo gradient estimation in
        machine learning. JMLR 2020.

        Holm. A simple sequentially rejective multiple test procedure.
        Scandinavian Journal of Statistics 1979.
    """
    max_draws = _most(draws, max_draws)
    _checks.positive_number("tolerance", tolerance)
    _not_negative("train_steps", train_steps)
    _not_negative("limit", limit)
    _checks.positive_number("learning_rate", learning_rate)
    _require_seed(seed)
    if isinstance(estimators, str | Estimator):
        estimators = [estimators]
    elif estimators is not None and not isinstance(estimators, Mapping):
        estimators = list(estimators)
    if context is not None:
        context = tf.convert_to_tensor(context)
    distribution = common_distribution(distribution, estimators)
    logits = _prepared(logits, distribution)
    gradient = _gradient(exact, cost_fn, logits, context, distribution, limit)
    setup = Setup(
        cost_fn, logits, context, draws, train_steps, learning_rate, seed
    )
    named = select(estimators, distribution, seed, gradient is not None)
    study = Study(named, setup, gradient, distribution, max_draws, tolerance)
    study.run(Progress(progress))
    settings = {
        "distribution": distribution.name,
        "parameters": list(distribution.parameters),
        "shape": list(tf.nest.flatten(logits)[-1].shape),
        "draws": draws,
        "max_draws": max_draws,
        "tolerance": tolerance,
        "looks": study.looks,
        "train_steps": train_steps,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    return study.result(settings)


def _not_negative(name: str, value: int) -> None:
    if value != 0 or isinstance(value, bool):
        try:
            _checks.positive_integer(name, value)
        except ValueError as error:
            raise ValueError(
                f"Argument `{name}` must not be negative. "
                f"Received: {name}={value!r}"
            ) from error


def _require_seed(seed: Any) -> None:
    integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (integer and -(2**62) <= seed < 2**62):
        raise ValueError(
            "Argument `seed` must be an integer of at most 62 bits. "
            f"Received: seed={seed!r}"
        )


def _most(draws: int, max_draws: int | None) -> int:
    if _checks.positive_integer("draws", draws) < 2:
        raise ValueError(
            f"Argument `draws` must be at least 2. Received: draws={draws}"
        )
    if max_draws is None:
        return max(draws, _MAX_DRAWS)
    if _checks.positive_integer("max_draws", max_draws) < draws:
        raise ValueError(
            "Argument `max_draws` must be at least `draws`. "
            f"Received: max_draws={max_draws} and draws={draws}"
        )
    return max_draws


def _gradient(
    exact: Any,
    cost_fn: CostFn,
    logits: Any,
    context: Any,
    distribution: Distribution,
    limit: int,
) -> Reference | None:
    if exact is not None:
        return reference.given(exact, logits)
    return reference.enumerated(cost_fn, logits, context, distribution, limit)


def _prepared(logits: Any, distribution: Distribution) -> Any:
    """Parameters in float32, constants broadcast: a tensor, or a tuple."""
    several = len(distribution.parameters) > 1
    given = logits if several and isinstance(logits, list | tuple) else [logits]
    tensors = distribution.check([tf.convert_to_tensor(part) for part in given])
    names = list(distribution.parameters)
    like = tensors[names.index(distribution.learned()[0])]
    if not tf.size(like):
        raise ValueError(
            "Argument `logits` must hold numbers, of one example or more. "
            f"Received: a tensor of shape {tuple(like.shape)}"
        )
    if like.shape.rank <= distribution.event_rank:
        raise ValueError(
            "Argument `logits` must have an axis for the batch, [B, ...], "
            "before those of an example. "
            f"Received: a tensor of shape {tuple(like.shape)}"
        )
    variables = like.shape.as_list()
    if distribution.event_rank:
        del variables[getattr(distribution, "axis", -1)]
    prepared = [
        tf.cast(
            tf.broadcast_to(tensor, variables)
            if name in distribution.constants
            else tensor,
            tf.float32,
        )
        for name, tensor in zip(names, tensors, strict=True)
    ]
    return tuple(prepared) if several else prepared[0]
