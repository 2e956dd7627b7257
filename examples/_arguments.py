"""Command lines of the examples, checked before any work is done.

A bad argument ends the script with one sentence, as argparse's own errors do,
and `--help` says what each option means and what its default is.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

_LEAST, _LARGEST = 1e-37, 1e37  # Within the range of float32.


class Parser(argparse.ArgumentParser):
    """A parser with the options that the examples share.

    Args:
        description: One line.
        out: The default of `--out`.
        verbose: The default of `--verbose`; `None` for no such option.
        presets: Defaults that depend on the data, "digits" or "mnist": those of
            an option are shown with its help.
        **options: As in `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        description: str,
        out: str,
        verbose: int | None = None,
        presets: dict[str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(description=description, **options)
        self.presets = presets or {"digits": {}, "mnist": {}}
        add = self.add_argument
        add("--out", type=folder, default=out, help="folder to write")
        help = "seed of weights, data order and noise"
        add("--seed", type=integer(0, 10**9), default=0, help=help)
        if verbose is not None:
            help = "what Keras prints while it trains: 0, 1 or 2"
            add("--verbose", type=integer(0, 2), default=verbose, help=help)

    def add_mnist(self, verb: str = "train on") -> None:
        """Adds the option that takes MNIST in place of the 8x8 digits."""
        self.add_argument(
            "--mnist",
            nargs="?",
            type=mnist_file,
            const=True,
            metavar="FILE.npz",
            help=f"{verb} MNIST, from a file in Keras's layout or, without "
            "one, from Keras's downloader (default: scikit-learn's 8x8 digits)",
        )

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """As in argparse; what was not given is filled from the presets."""
        found = super().parse_args(*args, **kwargs)
        mnist = getattr(found, "mnist", None)
        preset = self.presets["digits" if mnist is None else "mnist"]
        for key, value in preset.items():
            if getattr(found, key) is None:
                setattr(found, key, value)
        return found

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As in argparse; the help goes on with the default, if any."""
        default = options.get("default")
        key = names[-1].lstrip("-").replace("-", "_")
        if default not in (None, argparse.SUPPRESS):
            options["help"] += f" (default: {_shown(default)})"
        elif key in getattr(self, "presets", {}).get("digits", ()):
            digits, mnist = (
                _shown(self.presets[data][key]) for data in ("digits", "mnist")
            )
            options["help"] += f" (default: {digits}; with --mnist {mnist})"
        return super().add_argument(*names, **options)


def _shown(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def integer(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """The type of a whole number within bounds, both included."""
    bounds = f"of at least {least}"
    if most is not None:
        bounds = f"from {least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(
                f"must be a whole number {bounds}, not {text!r}"
            )
        return value

    return convert


def number(least: float = 0.0, most: float = _LARGEST) -> Callable:
    """The type of a number within bounds, both included."""
    bounds = f"of at least {least:g}"
    if most < _LARGEST:
        bounds = f"from {least:g} to {most:g}"

    def convert(text: str) -> float:
        value = _float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"must be a finite number {bounds}, not {text!r}"
            )
        return value

    return convert


def positive(text: str) -> float:
    """The type of a positive, finite number."""
    value = _float(text)
    if not _LEAST <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(
            f"must be a positive, finite number, not {text!r}"
        )
    return value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def folder(text: str) -> pathlib.Path:
    """The type of a folder to write, there or not; the check leaves nothing."""
    path = pathlib.Path(text)
    try:
        with tempfile.TemporaryDirectory(dir=_there(path.absolute())):
            return path
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise argparse.ArgumentTypeError(
            f"cannot write to {text!r}: {reason}"
        ) from None


def check_annealing(parser: Parser, args: argparse.Namespace) -> None:
    """Stops where the temperature would have to rise."""
    if args.minimum_temperature > args.temperature:
        parser.error(
            "argument --minimum-temperature: must not be above --temperature, "
            f"{args.temperature:g}, not {args.minimum_temperature:g}"
        )


def _there(path: pathlib.Path) -> pathlib.Path:
    """The path, or the nearest of its parents that exists."""
    try:
        path.lstat()
    except FileNotFoundError:
        return _there(path.parent)
    return path


def mnist_file(text: str) -> str:
    """The type of a file in Keras's layout."""
    try:
        with np.load(text) as file:
            missing = {"x_train", "x_test"} - set(file)
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise argparse.ArgumentTypeError(
            f"cannot read {text!r}: {error}"
        ) from None
    if missing:
        raise argparse.ArgumentTypeError(
            f"{text!r} lacks {', '.join(sorted(missing))}"
        )
    return text
