"""Figures that the papers print, from `published.toml`, and notes on ours."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_TEXT = Path(__file__).with_name("published.toml").read_text("utf-8")
_FOUND = tomllib.loads(_TEXT)


def _by_number(found: dict[str, Any]) -> dict[int, Any]:
    return {int(number): value for number, value in found.items()}


JANG: dict[str, dict[str, float]] = _FOUND["jang"]
READINGS: dict[str, str] = _FOUND["readings"]
BEST: dict[str, float] = _FOUND["best"]
HOOPER: dict[str, float] = _FOUND["hooper"]
SEMI_SUPERVISED: dict[str, list[float]] = _FOUND["semi_supervised"]
SPEED: dict[int, float] = _by_number(_FOUND["speed"])
STEPS: dict[str, int] = _FOUND["steps"]
VARIANCES: dict[int, dict[str, float]] = _by_number(_FOUND["variances"])
NOTES: dict[tuple[str, str], str] = {
    (task, note["estimator"]): note["text"]
    for note in _FOUND["notes"]
    for task in note["tasks"]
}


def method(estimator: str) -> str:
    """What the paper calls this estimator."""
    return READINGS.get(estimator, estimator)
