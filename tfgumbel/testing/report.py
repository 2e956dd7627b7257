"""Reports of checks: a line for each, and an exception if asked for."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

PASS = "pass"
FAIL = "fail"
NOT_APPLICABLE = "not applicable"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of one check.

    Attributes:
        check: Name of the check.
        asks: The property that it is about, as a sentence without a stop.
        status: `"pass"`, `"fail"` or `"not applicable"`.
        detail: What was found, or why the check does not apply.
        figure: The number that decided, if a number did.
        bound: The largest figure that passes.
        advice: What to do where it fails.
        link: Where the documentation explains it.
    """

    check: str
    asks: str
    status: str
    detail: str
    figure: float | None = None
    bound: float | None = None
    advice: str = ""
    link: str = ""

    @property
    def times(self) -> float:
        """The figure as a multiple of its bound; infinite for a yes or no."""
        if self.figure is None or not self.bound:
            return math.inf
        return self.figure / self.bound

    def __str__(self) -> str:
        """The line of the report; several where the check fails."""
        mark = {PASS: "pass", FAIL: "FAIL", NOT_APPLICABLE: "n/a"}[self.status]
        head = f"{mark:4}  {self.check:23}"
        text = f"{self.detail}{self._figures()}"
        if self.status != FAIL:
            return f"{head} {text}"
        parts = [f"{self.asks}.", f"Found: {text}.", f"Do: {self.advice}."]
        below = [_wrapped(part) for part in parts]
        return "\n".join([f"{head} see {self.link}", *below])

    def _figures(self) -> str:
        if self.figure is None or self.bound is None:
            return ""
        return f" ({self.figure:.3g}; at most {self.bound:.3g})"


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, 80, initial_indent=" " * 6, subsequent_indent=" " * 8
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """Outcomes of the checks of a layer, a distribution or an estimator.

    It prints as text, one line for each check.

    Attributes:
        subject: What was checked.
        outcomes: What each check found, in order.
        seed: The seed that the figures follow from.
        seconds: How long it took.
    """

    subject: str
    outcomes: Sequence[Outcome]
    seed: int
    seconds: float = dataclasses.field(compare=False, default=0.0)

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that failed."""
        return [o for o in self.outcomes if o.status == FAIL]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def raise_if_failed(self) -> Report:
        """Returns the report itself.

        Raises:
            AssertionError: If a check failed, with the report as its message.
        """
        if self.failures:
            raise AssertionError(f"\n{self}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON has it; infinite figures as text."""
        return {
            "subject": self.subject,
            "seed": self.seed,
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "checks": [_plain(dataclasses.asdict(o)) for o in self.outcomes],
        }

    def save(self, path: Any) -> None:
        """Writes it as JSON.

        Args:
            path: Name of the file.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        pathlib.Path(path).write_text(text + "\n", encoding="utf-8")

    def __getitem__(self, check: str) -> Outcome:
        """The outcome of the check of this name."""
        for outcome in self.outcomes:
            if outcome.check == check:
                return outcome
        known = ", ".join(outcome.check for outcome in self.outcomes)
        raise KeyError(f"{check!r} is none of the checks: {known}")

    def __iter__(self) -> Iterator[Outcome]:
        """The outcomes, in order."""
        return iter(self.outcomes)

    def __len__(self) -> int:
        """How many checks there are."""
        return len(self.outcomes)

    def __str__(self) -> str:
        """The report as text."""
        counts = {
            status: sum(o.status == status for o in self.outcomes)
            for status in (PASS, FAIL, NOT_APPLICABLE)
        }
        return "\n".join(
            [
                f"{self.subject}, seed {self.seed}",
                *map(str, self.outcomes),
                f"{counts[PASS]} passed, {counts[FAIL]} failed, "
                f"{counts[NOT_APPLICABLE]} not applicable",
            ]
        )


def _plain(outcome: dict[str, Any]) -> dict[str, Any]:
    return {
        key: str(value)
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in outcome.items()
    }
