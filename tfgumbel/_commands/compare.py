"""`python -m tfgumbel compare`: estimators side by side on a problem."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras

from tfgumbel import estimators
from tfgumbel._commands.version import version
from tfgumbel.diagnostics import (
    Comparison,
    compare,
    estimates,
    plots,
    problems,
    table,
    training,
)

_DESCRIPTION = """\
Compares estimators of the gradient of E f(z), z discrete, on a built-in
problem, in two parts.

  1. At the start of the problem, with control variates trained to fit it:
     bias against enumeration (where that is possible), variance, signal-to-
     noise ratio, evaluations of f, time; then a recommendation.
  2. A training run with each estimator, from the same start: variance of the
     gradient and cost over the steps.

problems:
  toy        E (b - t)^2 for one bit b, t = --target, probability 1/2 at the
             start (Tucker et al. 2017; Grathwohl et al. 2018)
  quadratic  E 1/D sum_d (b_d - t)^2 for D = --variables bits (like that of
             Titsias and Shi 2022)
  vae        -ELBO in nats of a small VAE with 20 bits on scikit-learn's 8x8
             digits (needs scikit-learn)

All are trained with Adam: toy and quadratic at rate 0.01, one example a step;
vae at 0.001 (control variates at 0.01), 50 images a step.
"""

_EPILOG = """\
written to --out:
  tables.txt      what is printed: both tables and the recommendation
  results.json    all numbers, the curves included
  comparison.png  part 1 as a picture
  training.png    part 2: variance and cost over training

The same --seed gives the same numbers on the same machine, times excepted.

example:
  python -m tfgumbel compare toy --target 0.499 --estimators reinforce relax
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command to `python -m tfgumbel`."""
    parser = commands.add_parser(
        "compare",
        help="compare gradient estimators on a built-in problem",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Compares, prints and writes; returns the exit status."""
    make = _problem(args, parser)
    args.out = args.out or pathlib.Path(f"compare-{args.problem}")
    args.out.mkdir(parents=True, exist_ok=True)
    with estimates.seeded(args.seed):
        problem = make()
    args.steps = args.steps or problem.steps
    args.every = args.every or max(1, args.steps // 50)
    comparison = _compare(problem, args)
    names = args.estimators or [
        row.name for row in comparison.rows if row.name != "exact"
    ]
    curves = {name: _train(make, name, args) for name in names}
    _write(problem, comparison, curves, args)
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("problem", choices=["toy", "quadratic", "vae"], metavar="PROBLEM")
    add(
        "--estimators",
        nargs="+",
        choices=estimators.available("bernoulli"),
        metavar="NAME",
        help="which ones; default: all for Bernoulli variables that estimate "
        "the gradient of E f. Known: "
        + ", ".join(estimators.available("bernoulli")),
    )
    add(
        "--target",
        type=float,
        help="t of toy and quadratic; default: 0.45 and 0.499",
    )
    add("--variables", type=_positive, help="D of quadratic; default: 200")
    add(
        "--steps",
        type=_positive,
        help="of the training run; default: 5000, for vae 4000",
    )
    add(
        "--every",
        type=_positive,
        help="steps between two measurements; default: a 50th of --steps",
    )
    add(
        "--draws",
        type=_positive,
        default=10_000,
        help="estimates for each row of part 1; default: %(default)s",
    )
    add(
        "--train-steps",
        type=int,
        help="steps that control variates are trained for before part 1; "
        "default: 500, for toy 4000",
    )
    add("--seed", type=int, default=0, help="default: %(default)s")
    add(
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help="folder to write, made if need be; default: compare-PROBLEM",
    )
    add("--quiet", action="store_true", help="no progress bar")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _problem(
    args: argparse.Namespace, parser: argparse.ArgumentParser
) -> Callable[[], problems.Problem]:
    """What makes a fresh problem each time."""
    if args.variables is not None and args.problem != "quadratic":
        parser.error("--variables is an option of quadratic only")
    if args.problem == "vae":
        if args.target is not None:
            parser.error("--target is an option of toy and quadratic only")
        return problems.DigitsVae
    toy = args.problem == "toy"
    target = args.target
    if target is None:
        target = 0.45 if toy else 0.499
    variables = 1 if toy else args.variables or 200
    return lambda: problems.Quadratic(variables, target)


def _compare(problem: problems.Problem, args: argparse.Namespace) -> Comparison:
    steps = args.train_steps
    return compare(
        problem.cost_fn(problem.probe),
        problem.logits(problem.probe),
        args.estimators,
        args.draws,
        distribution=problem.distribution,
        context=problem.context(problem.probe),
        train_steps=problem.train_steps if steps is None else steps,
        learning_rate=problem.frozen_rate,
        seed=args.seed,
        progress=not args.quiet,
    )


def _train(
    make: Callable[[], problems.Problem], name: str, args: argparse.Namespace
) -> training.Curve:
    with estimates.seeded(args.seed):
        problem = make()
    try:
        with estimates.seeded(args.seed):
            estimator = estimators.get(name, distribution=problem.distribution)
            logits = problem.logits(problem.probe)
            context = problem.context(problem.probe)
            estimator.build(logits.shape, getattr(context, "shape", None))
        bar = keras.utils.Progbar(args.steps, verbose=int(not args.quiet))
        if not args.quiet:
            print(f"Training with {name}", flush=True)
        return training.train(
            problem,
            estimator,
            args.steps,
            args.every,
            args.seed,
            advance=bar.add,
        )
    except Exception as error:  # Reported: the others are still wanted.
        return training.Curve(note=" ".join(str(error).split()))


def _write(
    problem: problems.Problem,
    comparison: Comparison,
    curves: dict[str, training.Curve],
    args: argparse.Namespace,
) -> None:
    text = "\n".join(
        [
            f"problems.Problem: {problem.title}.",
            "",
            str(comparison),
            "",
            *_training_table(curves, args),
        ]
    )
    print(text)
    (args.out / "tables.txt").write_text(text + "\n", encoding="utf-8")
    report = {
        "problem": args.problem,
        "title": problem.title,
        "version": version(),
        "options": _options(args),
        "comparison": comparison.to_dict(),
        "training": {name: c.to_dict() for name, c in curves.items()},
    }
    (args.out / "results.json").write_text(
        json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    comparison.plot(args.out / "comparison.png")
    picture = args.out / "training.png"
    plots.plot_training(curves, problem.title, picture, problem.cost_name)
    print(f"Wrote {args.out}: tables.txt results.json comparison.png", end=" ")
    print("training.png")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    options = {k: v for k, v in vars(args).items() if k != "run"}
    return {**options, "out": str(args.out)}


def _training_table(
    curves: dict[str, training.Curve], args: argparse.Namespace
) -> list[str]:
    header = ("estimator", "cost", "variance", "ms/step")
    rows: list[Any] = []
    notes = []
    for name, curve in curves.items():
        if curve.note:
            rows.append([name, "failed", "-", "-"])
            notes.append(table.paragraph(f"{name}: {curve.note}"))
            continue
        numbers = (curve.cost[-1], curve.variance[-1], curve.milliseconds)
        cost = f"{numbers[0]:.6g}"
        rows.append([name, cost, *map(table.number, numbers[1:])])
    title = f"After {args.steps} steps of training, each with its own path:"
    return [title, table.table(header, rows), *notes]
