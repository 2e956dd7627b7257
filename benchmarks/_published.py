"""Figures that the papers print, from `published.toml`, and notes on ours."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TEXT = Path(__file__).with_name("published.toml").read_text("utf-8")
_FOUND = tomllib.loads(_TEXT)

JANG: dict[str, dict[str, float]] = _FOUND["jang"]
READINGS: dict[str, str] = _FOUND["readings"]
BEST: dict[str, float] = _FOUND["best"]
HOOPER: dict[str, float] = _FOUND["hooper"]
SEMI_SUPERVISED: dict[str, list[float]] = _FOUND["semi_supervised"]
# By the number of classes, and of evaluations.
SPEED: dict[str, float] = _FOUND["speed"]
VARIANCES: dict[str, dict[str, float]] = _FOUND["variances"]
STEPS: dict[str, int] = _FOUND["steps"]
NOTES: dict[tuple[str, str], str] = {
    (task, note["estimator"]): note["text"]
    for note in _FOUND["notes"]
    for task in note["tasks"]
}


def method(estimator: str) -> str:
    """What the paper calls this estimator."""
    return READINGS.get(estimator, estimator)
