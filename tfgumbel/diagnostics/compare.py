"""Bias, variance and price of estimators on one problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel.diagnostics.comparison import Comparison, Row
from tfgumbel.diagnostics.estimates import packed
from tfgumbel.diagnostics.measurement import Setup, exact_gradient, measure
from tfgumbel.diagnostics.recommendation import recommend
from tfgumbel.diagnostics.selection import common_distribution, select
from tfgumbel.estimators import CostFn, Estimator


def compare(
    cost_fn: CostFn,
    logits: Any,
    estimators: Sequence[Any] | Mapping[str, Any] | None = None,
    draws: int = 1000,
    *,
    distribution: Any = None,
    context: Any = None,
    train_steps: int = 500,
    learning_rate: float = 0.05,
    limit: int = 4096,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Measures estimators of ∇E[f(z)] on a problem of your own.

    For each estimator g of the gradient with respect to the logits:

    | column | what it is |
    |---|---|
    | bias | norm of mean(g) - exact, by enumeration |
    | its SE | √(variance / draws): the norm that noise alone gives |
    | variance | Var g, summed over coordinates |
    | SNR | norm of E g over √variance |
    | evals | evaluations of f per example and estimate |
    | ms | wall time of one estimate, forward and backward |
    | var*ms | variance · ms: what a fixed budget of time buys; less is better |

    For B > 1 examples, squared norms and variances are means over examples.
    The bias is `n/a` where enumeration would need more than `limit` joint
    states, and counts as detected beyond 5 standard errors (and beyond the
    rounding of float32). SNR and mean square error are free of the noise that
    a finite number of draws adds.

    The draws go through in one compiled function, tiled over the batch, so
    that per-example gradients are independent draws; ms is the time of such
    a batch divided by its draws, the gradient of the control variate's own
    weights included, compilation not. An estimator that looks across the
    batch (`Reinforce(baseline="optimal")` with one sample) sees the tiled
    batch, which is larger than yours.

    Recommended is, among the estimators that are unbiased by construction or
    show no bias, the one with the least variance * time. A biased one with a
    lower bias² + variance is mentioned. `exact` and the estimators of another
    objective (`vimco`) are measured if asked for, not recommended.

    Args:
        cost_fn: f, as for an estimator: samples `[n·B, ...]` to costs
            `[n·B]` for any n; use `estimators.tile_context` for what it
            captures per example.
        logits: `[B, ..., K]` (categorical) or `[B, ...]` (Bernoulli); for a
            distribution of several parameters, their tuple.
        estimators: Names and `Estimator` objects in a list, or a mapping from
            labels to them; `None` for all that are available for the
            distribution and estimate the gradient of E f.
        draws: Estimates per estimator, at least 2; rounded up to whole
            batches.
        distribution: A name, or a `Distribution`; `None` for that of the
            estimator objects, or else categorical.
        context: What learned baselines and control variates look at, `[B,
            ...]`; `None` for the logits.
        train_steps: Steps that control variates are trained for before they
            are measured, with Adam, on 100 draws each. Untrained, RELAX is
            REINFORCE.
        learning_rate: Of those steps; falls to zero on a cosine.
        limit: Most joint states to enumerate.
        seed: Of noise and initial weights: the same seed gives the same
            result, times excepted.
        progress: Whether to show a progress bar.

    Returns:
        A `Comparison`: `print` it, or use `.rows`, `.to_dict()`,
        `.plot(path)`. An estimator that cannot be measured has a row that
        says why. Estimator objects keep the weights they had.

    Raises:
        ValueError: If a name is unknown or taken twice, the objects have
            another distribution, or `cost_fn` does not return one cost per
            sample.
        TypeError: If something is no estimator.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> result = tg.diagnostics.compare(
    ...     lambda z: tf.square(z[:, 0] - 0.45), [[0.0]],
    ...     ["reinforce", "disarm", "gumbel_softmax"], 10_000,
    ...     distribution="bernoulli", progress=False)
    >>> result["gumbel_softmax"].bias_detected
    True
    >>> result["disarm"].variance < result["reinforce"].variance
    True

    Reference:
        Mohamed, Rosca, Figurnov, Mnih. Monte Carlo gradient estimation in
        machine learning. JMLR 2020.
    """
    if _checks.positive_integer("draws", draws) < 2:
        raise ValueError(
            f"Argument `draws` must be at least 2. Received: draws={draws}"
        )
    if context is not None:
        context = tf.convert_to_tensor(context)
    distribution = common_distribution(distribution, estimators)
    if isinstance(logits, tuple):
        logits = packed(logits)
    logits = tf.cast(tf.convert_to_tensor(logits), tf.float32)
    exact = exact_gradient(cost_fn, logits, context, distribution, limit)
    setup = Setup(
        *(cost_fn, logits, context, exact),
        *(draws, train_steps, learning_rate, seed),
    )
    named = select(estimators, distribution, seed, exact is not None)
    rows = _rows(named, setup, progress)
    excluded = [n for n, e in named.items() if not _is_candidate(e)]
    settings = {
        "distribution": distribution.name,
        "shape": list(logits.shape),
        "draws": draws,
        "train_steps": train_steps,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    return Comparison(tuple(rows), settings, *recommend(rows, excluded))


def _is_candidate(entry: Any) -> bool:
    """Whether it is a noisy estimate of the gradient of E f."""
    if not isinstance(entry, Estimator):
        return True
    return entry.objective == "expected cost" and not entry.exact


def _rows(named: Mapping[str, Any], setup: Setup, progress: bool) -> list[Row]:
    work = setup.draws + setup.train_steps
    bar = keras.utils.Progbar(
        len(named) * work, verbose=int(progress), unit_name="draw"
    )
    rows = []
    for index, (name, estimator) in enumerate(named.items()):
        try:
            if isinstance(estimator, Exception):
                raise estimator
            row = measure(name, estimator, setup, _within(bar, index, work))
        except Exception as error:  # Reported: the others are still wanted.
            row = Row(name, note=_reason(error), failed=True)
        rows.append(row)
        bar.update((index + 1) * work)
    return rows


def _within(bar: Any, index: int, work: int) -> Any:
    """Moves the bar by what is done, never past the end of this row."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done = min(done + count, work - 1)
        bar.update(index * work + done)

    return advance


def _reason(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error)
    return f"{type(error).__name__}: " + " ".join(message.split())
