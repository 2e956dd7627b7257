"""A check, and how a list of them becomes a report."""

from __future__ import annotations

import contextlib
import dataclasses
import random as _python_random
import re
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from tfgumbel.distributions import Distribution
from tfgumbel.testing._measure import STANDARD_ERRORS
from tfgumbel.testing.report import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    Outcome,
    Report,
)


class NotApplicable(Exception):
    """Why a check has nothing to say about its subject."""


class Fault(Exception):
    """What is wrong, where no number says it."""


class Finding(NamedTuple):
    """What a check measured; it passes up to the bound."""

    detail: str
    figure: float | None = None
    bound: float = 0.0

    @property
    def passes(self) -> bool:
        """Whether the figure is within its bound; NaN is not."""
        return self.figure is None or self.figure <= self.bound


def in_errors(figures: Any, what: str = "") -> Finding:
    """A distance in standard errors, of several the largest."""
    detail = f"{what}; standard errors" if what else "standard errors"
    return Finding(detail, float(np.max(figures)), STANDARD_ERRORS)


@dataclasses.dataclass(frozen=True)
class Check:
    """One question to a subject.

    Attributes:
        name: A word or two.
        asks: The property, as a sentence without a stop.
        advice: What to do where it fails.
        function: Maps the subject to a `Finding`; raises `Fault` or
            `NotApplicable`.
        quick: Whether it belongs to the quick set.
    """

    name: str
    asks: str
    advice: str
    function: Callable[[Any], Finding]
    quick: bool = True

    @property
    def anchor(self) -> str:
        """Where the documentation has it, on its page."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower().replace("'", ""))

    def run(self, subject: Any, page: str) -> Outcome:
        """Returns what it finds; an exception of the subject is a failure."""
        status, figure, bound = FAIL, None, None
        try:
            finding = self.function(subject)
            status = PASS if finding.passes else FAIL
            detail, figure = finding.detail, finding.figure
            bound = None if figure is None else finding.bound
        except NotApplicable as reason:
            status, detail = NOT_APPLICABLE, str(reason)
        except Fault as fault:
            detail = str(fault)
        except Exception as error:  # Reported: it is the subject's own.
            detail = f"{type(error).__name__}: {shortened(error)}"
        return Outcome(
            self.name,
            self.asks,
            status,
            detail,
            figure,
            bound,
            self.advice,
            f"{page}#{self.anchor}",
        )


def check(
    name: str, asks: str, advice: str, quick: bool = True
) -> Callable[[Callable[[Any], Finding]], Check]:
    """Decorator that makes a function a `Check`."""
    return lambda function: Check(name, asks, advice, function, quick)


def shortened(error: BaseException, length: int = 300) -> str:
    """An exception's message on one line, without Keras's bold letters."""
    text = re.sub(r"\x1b\[\d*m", "", " ".join(str(error).split()))
    return text if len(text) <= length else text[: length - 3] + "..."


def run(
    checks: Sequence[Check],
    subject: Any,
    *,
    page: str,
    seed: int,
    only: Sequence[str] | None,
    full: bool,
    progress: bool,
) -> Report:
    """Runs the checks, each from a seed of its own."""
    start = time.monotonic()
    chosen = [c for c in checks if _wanted(c, checks, only, full)]
    bar = keras.utils.Progbar(
        len(chosen), verbose=int(progress), unit_name="check"
    )
    outcomes = []
    with kept_generators():
        for each in chosen:
            own = (seed + zlib.crc32(each.name.encode())) % 2**31
            keras.utils.set_random_seed(own)
            outcomes.append(each.run(subject, page))
            bar.add(1)
    return Report(subject.name, tuple(outcomes), seed, time.monotonic() - start)


def require_seed(seed: Any) -> int:
    """Returns the seed, if it is one."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (whole and seed >= 0):
        raise ValueError(
            "Argument `seed` must be a whole number, at least 0. "
            f"Received: seed={seed!r}"
        )
    return int(seed)


def require_numbers(arrays: Sequence[np.ndarray]) -> None:
    """Raises unless inputs hold numbers, and finite ones."""
    for array in arrays:
        if not array.size:
            raise ValueError(
                "Argument `inputs` must not be empty. "
                f"Received: an array of shape {array.shape}"
            )
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise ValueError(
                "Argument `inputs` must hold finite numbers: the checks "
                "themselves put NaN and extremes there. Received: "
                f"{np.sum(~np.isfinite(array))} of {array.size} that are not"
            )


def as_parameters(given: Any, names: Sequence[str]) -> list[np.ndarray]:
    """Returns inputs as an array for each parameter; a list may be the one."""
    one = isinstance(given, list) and len(names) == 1
    several = isinstance(given, list | tuple) and not one
    arrays = [np.asarray(a, "float32") for a in (given if several else [given])]
    if len(arrays) != len(names):
        raise ValueError(
            "Argument `inputs` must hold an array for each of "
            f"{', '.join(names)}. Received: {len(arrays)}"
        )
    require_numbers(arrays)
    return arrays


def changed(
    distribution: Distribution,
    arrays: Sequence[np.ndarray],
    change: Callable[[np.ndarray], np.ndarray],
) -> list[np.ndarray]:
    """Returns arrays of parameters, all but the constant ones changed."""
    return [
        array if name in distribution.constants else change(array)
        for name, array in zip(distribution.parameters, arrays, strict=True)
    ]


def packed(tensors: Sequence[Any]) -> Any:
    """Returns what `as_parameters` takes: the one tensor, or a tuple."""
    return tuple(tensors) if len(tensors) > 1 else tensors[0]


def _wanted(
    each: Check,
    checks: Sequence[Check],
    only: Sequence[str] | None,
    full: bool,
) -> bool:
    if only is None:
        return full or each.quick
    only = (only,) if isinstance(only, str) else only
    known = [c.name for c in checks]
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise ValueError(
            f"Argument `only` must hold names of checks: {', '.join(known)}. "
            f"Received: {', '.join(map(repr, unknown))}"
        )
    return each.name in only


@contextlib.contextmanager
def kept_generators() -> Iterator[None]:
    """Puts the generators of Python and NumPy back; warnings are dropped."""
    python, numpy = _python_random.getstate(), np.random.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _python_random.setstate(python)
        np.random.set_state(numpy)
