"""Makes a page of `benchmarks/RESULTS.md`, which lies outside the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

# Its tables need the room.
WIDE = "---\nhide:\n  - navigation\n  - toc\n---\n\n"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the report and its figures, under the names it has there."""
    for path in sorted(BENCHMARKS.glob("figures/*.png")):
        name = path.relative_to(BENCHMARKS).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    report = (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "results.md", content=WIDE + report))
    return files


def on_page_content(content: str, page: Any, **_: Any) -> str | None:
    """Has its tables drawn densely."""
    if page.file.src_path != "results.md":
        return None
    return f'<div class="dense">{content}</div>'
