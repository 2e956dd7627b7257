"""`python -m tfgumbel compare`: estimators side by side on a problem."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
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
     bias against the exact gradient (or, where there are too many states to
     enumerate, against an unbiased estimator), variance, evaluations of f,
     time; then a recommendation.
  2. A training run with each estimator, from the same start: variance of the
     gradient and cost over the steps.

problems:
  toy        E (b - t)^2 for one Bernoulli variable b, t = --target,
             probability 1/2 at the start (Tucker et al. 2017; Grathwohl et
             al. 2018)
  quadratic  E 1/D sum_d (b_d - t)^2 for D = --variables Bernoulli variables
             (like that of Titsias and Shi 2022)
  vae        -ELBO in nats of a small VAE with 20 Bernoulli variables on
             scikit-learn's 8x8 digits (needs scikit-learn)

On two processor cores toy takes about two minutes, quadratic three and vae
ten; part 2 takes most of it, and says how long it will take. Ctrl-C keeps
what is finished. All are trained with Adam: toy and quadratic at rate 0.01,
one example a step; vae at 0.001 (control variates at 0.01), 50 images a step.
"""

_EPILOG = """\
written to --out:
  tables.txt      what is printed: the tables and the recommendation
  results.json    all numbers, the curves included
  comparison.png  part 1 as a picture
  training.png    part 2: variance and cost over training

The same --seed gives the same numbers on the same machine, times excepted.

example:
  python -m tfgumbel compare toy --target 0.499 --estimators reinforce relax
"""

_INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


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
    _check(args, parser)
    with estimates.seeded(args.seed):
        problem = make()
    args.steps = args.steps or problem.steps
    args.every = args.every or max(1, args.steps // 50)
    try:
        comparison = _compare(problem, args)
    except KeyboardInterrupt:
        print("\nInterrupted before anything was finished: nothing is written.")
        return _INTERRUPTED
    names = args.estimators or [
        row.name for row in comparison.rows if row.name != "exact"
    ]
    curves: dict[str, training.Curve] = {}
    stopped = comparison.interrupted
    if not stopped:
        stopped = not _train_all(make, names, args, curves)
    _write(problem, comparison, curves, args)
    return _INTERRUPTED if stopped else 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("problem", choices=["toy", "quadratic", "vae"], metavar="PROBLEM")
    add(
        "--estimators",
        nargs="+",
        choices=estimators.available("bernoulli"),
        metavar="NAME",
        help="estimators to compare; default: all for Bernoulli variables "
        "that estimate the gradient of E f. Known: "
        + ", ".join(estimators.available("bernoulli")),
    )
    add(
        "--target",
        type=_number(float, math.isfinite, "a finite number"),
        help="t of toy and quadratic; default: 0.45 and 0.499",
    )
    add("--variables", type=_at_least(1), help="D of quadratic; default: 200")
    add(
        "--steps",
        type=_at_least(1),
        help="steps of the training run; default: 5000, for vae 4000",
    )
    add(
        "--every",
        type=_at_least(1),
        help="steps between two measurements; default: a 50th of --steps",
    )
    add(
        "--draws",
        type=_at_least(2),
        default=10_000,
        help="estimates for each row of part 1 to begin with; default: "
        "%(default)s",
    )
    add(
        "--max-draws",
        type=_at_least(2),
        help="estimates at most, for those whose bias is undecided; default: "
        "100000, or --draws if that is more",
    )
    add(
        "--train-steps",
        type=_at_least(0),
        help="steps that control variates are trained for before part 1; "
        "default: 500, for toy 4000",
    )
    add(
        "--seed",
        type=_number(
            int,
            lambda value: -(2**62) <= value < 2**62,
            "a whole number of at most 62 bits",
        ),
        default=0,
        help="seed of noise and initial weights; default: %(default)s",
    )
    add(
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help="folder to write, made if need be; default: compare-PROBLEM",
    )
    add("--quiet", action="store_true", help="no progress bar")


def _number(
    kind: type, is_right: Callable[[Any], bool], what: str
) -> Callable[[str], Any]:
    """What parses a number of this kind, and says what it must be."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not is_right(value):
            raise argparse.ArgumentTypeError(f"must be {what}, not {text}")
        return value

    return parse


def _at_least(least: int) -> Callable[[str], int]:
    what = f"a whole number, at least {least}"
    return _number(int, lambda value: value >= least, what)


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


def _check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Stops, before any work, at what would fail at the end of it."""
    names = args.estimators or []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        parser.error(f"--estimators names {', '.join(twice)} more than once")
    if args.max_draws is not None and args.max_draws < args.draws:
        parser.error(
            f"--max-draws must be at least --draws, which is {args.draws}, "
            f"not {args.max_draws}"
        )
    if not _installed("matplotlib"):
        parser.error("the pictures need matplotlib: `pip install matplotlib`")
    if args.problem == "vae" and not _installed("sklearn"):
        parser.error("vae needs scikit-learn: `pip install scikit-learn`")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=args.out):
            pass
    except OSError as error:
        parser.error(f"--out {args.out} cannot be written: {error.strerror}")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False


def _compare(problem: problems.Problem, args: argparse.Namespace) -> Comparison:
    steps = args.train_steps
    return compare(
        problem.cost_fn(problem.probe),
        problem.logits(problem.probe),
        args.estimators,
        args.draws,
        max_draws=args.max_draws,
        distribution=problem.distribution,
        context=problem.context(problem.probe),
        train_steps=problem.train_steps if steps is None else steps,
        learning_rate=problem.frozen_rate,
        seed=args.seed,
        progress=not args.quiet,
    )


def _train_all(
    make: Callable[[], problems.Problem],
    names: list[str],
    args: argparse.Namespace,
    curves: dict[str, training.Curve],
) -> bool:
    """Fills `curves`; whether nobody interrupted it."""
    try:
        for name, left in _with_time_left(names):
            if not args.quiet:
                place = f"{len(curves) + 1} of {len(names)}"
                print(f"Training with {name} ({place}{left})", flush=True)
            curves[name] = _train(make, name, args)
    except KeyboardInterrupt:
        print("\nInterrupted: what is finished is written.")
        return False
    return True


def _with_time_left(names: list[str]) -> Iterator[tuple[str, str]]:
    """Each name with the time that it and those after it will take."""
    start = time.monotonic()
    for done, name in enumerate(names):
        spent = time.monotonic() - start
        minutes = spent / max(1, done) * (len(names) - done) / 60.0
        shown = f"{minutes:.0f} min" if minutes >= 1.5 else "a minute or less"
        yield name, f"; {shown} left for all" if done else ""


def _train(
    make: Callable[[], problems.Problem], name: str, args: argparse.Namespace
) -> training.Curve:
    with estimates.seeded(args.seed):
        problem = make()
    try:
        bar = keras.utils.Progbar(args.steps, verbose=int(not args.quiet))
        return training.train(
            problem,
            problem.estimator(name, args.seed),
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
    parts = [f"Problem: {problem.title}.", "", str(comparison)]
    if curves:
        parts += ["", *_training_table(curves, args)]
    text = "\n".join(parts)
    print(text)
    (args.out / "tables.txt").write_text(text + "\n", encoding="utf-8")
    options = {**vars(args), "out": str(args.out)}
    del options["run"]
    report = {
        "problem": args.problem,
        "title": problem.title,
        "version": version(),
        "options": options,
        "comparison": comparison.to_dict(),
        "training": {name: c.to_dict() for name, c in curves.items()},
    }
    (args.out / "results.json").write_text(
        json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    written = ["tables.txt", "results.json", "comparison.png"]
    comparison.plot(args.out / "comparison.png")
    if curves:
        picture = args.out / "training.png"
        plots.plot_training(curves, problem.title, picture, problem.cost_name)
        written.append("training.png")
    print(f"Wrote {args.out}: {' '.join(written)}")


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
        numbers = (curve.variance[-1], curve.milliseconds)
        cost = f"{curve.cost[-1]:.6g}"
        rows.append([name, cost, *map(table.number, numbers)])
    title = f"After {args.steps} steps of training, each with its own path:"
    return [title, table.table(header, rows), *notes]
