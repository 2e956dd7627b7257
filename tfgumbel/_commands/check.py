"""`python -m tfgumbel check`: is a layer, distribution or estimator right?"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import itertools
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.distributions import Distribution
from tfgumbel.estimators import Estimator
from tfgumbel.testing import (
    Report,
    check_distribution,
    check_estimator,
    check_layer,
)

_DESCRIPTION = """\
Checks a layer whose output is random, a distribution or an estimator, of this
package or of your own: what it draws, its gradient, its noise, precision,
graphs, saving. Prints one line for each check and, where one fails, what was
found and what to do. The exit status is 1 if a check fails, 2 for what cannot
be checked.
"""

_EPILOG = """\
examples:
  python -m tfgumbel check tfgumbel:GumbelSoftmax --args hard=True
  python -m tfgumbel check mine.layers:Quantizer --shape 8,16 --full
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command to `python -m tfgumbel`."""
    parser = commands.add_parser(
        "check",
        help="check a layer, distribution or estimator, also of your own",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", metavar="MODULE:NAME", help="a class, or a function")
    add(
        "--args",
        nargs="+",
        type=_pair,
        default=[],
        metavar="NAME=VALUE",
        help="arguments of its constructor",
    )
    add(
        "--shape",
        action="append",
        type=_shape,
        metavar="N,...",
        help="shape of an input without the batch; once for each of several. "
        "Default: 5 logits, or the parameters of the layer's distribution",
    )
    add(
        "--distribution",
        metavar="NAME",
        help="what a layer's samples follow, given its inputs as parameters; "
        "none for what has no name here. Default: what can be recognised",
    )
    add(
        "--shared-noise",
        action="store_true",
        help="one draw of a layer is for the whole batch, or examples mix",
    )
    add(
        "--surrogate",
        action="store_true",
        help="a layer's gradient is meant to be that of another function",
    )
    add(
        "--replicas",
        action="store_true",
        help="check a layer on two replicas, on two logical CPUs",
    )
    add("--only", nargs="+", metavar="CHECK", help="names of checks to run")
    add("--full", action="store_true", help="more draws, XLA, SavedModel")
    add(
        "--seed", type=int, default=0, help="of the noise; default: %(default)s"
    )
    add(
        "--out",
        type=pathlib.Path,
        metavar="FILE",
        help="JSON file to write; default: none",
    )
    add("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Checks, prints and writes; returns the exit status."""
    strategy = _strategy(parser) if args.replicas else None
    try:
        report = _report(_made(args), args, strategy)
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(report)
    if args.out is not None:
        try:
            report.save(args.out)
        except OSError as error:
            parser.error(f"cannot write {args.out}: {error.strerror}")
        print(f"Wrote {args.out}")
    return 0 if report.passed else 1


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(
            f"must be positive whole numbers with commas between, not {text}"
        )
    return tuple(map(int, sizes))


def _made(args: argparse.Namespace) -> Any:
    """A function that makes what is to be checked."""
    module, colon, name = args.target.partition(":")
    if not (module and colon and name):
        raise ValueError(f"must be MODULE:NAME, not {args.target}")
    target = getattr(importlib.import_module(module), name)
    if not callable(target):
        raise TypeError(
            f"{args.target} must be a class, or a function that makes what is "
            f"to be checked. Received: {target!r}"
        )
    return functools.partial(target, **dict(args.args))


def _report(make: Any, args: argparse.Namespace, strategy: Any) -> Report:
    common = {
        "full": args.full,
        "only": args.only,
        "seed": args.seed,
        "progress": not args.quiet,
    }
    made = make()
    if isinstance(made, Distribution | Estimator):
        _require_of_no_layer(args)
    if isinstance(made, Distribution):
        return check_distribution(made, _inputs(args, (), made), **common)
    own = getattr(made, "distribution", None)
    if isinstance(made, Estimator):
        return check_estimator(make, inputs=_inputs(args, (), own), **common)
    return check_layer(
        make,
        _inputs(args, (4,), own),
        distribution=False
        if args.distribution == "none"
        else args.distribution,
        per_example=not args.shared_noise,
        surrogate=args.surrogate,
        strategy=strategy,
        **common,
    )


def _require_of_no_layer(args: argparse.Namespace) -> None:
    """Raises where an option was given that only layers have."""
    for name in ("distribution", "shared_noise", "surrogate", "replicas"):
        if getattr(args, name):
            raise ValueError(
                f"--{name.replace('_', '-')} is for layers; an estimator takes "
                f"--args distribution=NAME. Received: {args.target}"
            )


def _inputs(
    args: argparse.Namespace, batch: tuple[int, ...], distribution: Any
) -> Any:
    """Random inputs of the shapes that were asked for, or `None`.

    A constant of the distribution, such as a number of trials, is one.
    """
    if not args.shape:
        return None
    random = np.random.default_rng(args.seed)
    constants = getattr(distribution, "constants", ())
    names = [*getattr(distribution, "parameters", ())] if constants else []
    arrays = [
        np.ones((*batch, *shape), "int32")
        if name in constants
        else random.normal(size=(*batch, *shape)).astype("float32")
        for name, shape in itertools.zip_longest(names, args.shape)
        if shape is not None
    ]
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def _strategy(parser: argparse.ArgumentParser) -> tf.distribute.Strategy:
    device = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            device, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    except RuntimeError as error:
        parser.error(f"--replicas: {error}")
    # Without collective ops, which a second strategy would meet again.
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
