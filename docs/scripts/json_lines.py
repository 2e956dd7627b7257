"""JSON with one line for each list, so that changes of it can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, report: dict[str, Any]) -> None:
    """Writes the report, its names sorted."""
    text = json.dumps(report, indent=1, ensure_ascii=False, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_on_one_line(text) + "\n", encoding="utf-8")


def _on_one_line(text: str) -> str:
    lines: list[str] = []
    depth = 0
    for line in text.split("\n"):
        stripped = line.strip()
        if depth:
            lines[-1] += stripped + (" " if stripped.endswith(",") else "")
        else:
            lines.append(line)
        depth += stripped.count("[") - stripped.count("]")
    return "\n".join(line.rstrip() for line in lines)
