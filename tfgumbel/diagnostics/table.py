"""Plain text: numbers, aligned tables, wrapped paragraphs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence


def number(value: float | None, digits: int = 3) -> str:
    """Three digits, as short as they can be; `-` for `None`."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 0.01 <= abs(value) < 1000:
        text = f"{value:#.{digits}g}".rstrip(".")
    else:
        text = f"{value:.{digits - 1}e}"
    return text.replace("e-0", "e-").replace("e+0", "e+")


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100.0 * share:.0f} %"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns under a header: the first to the left, others right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [_line(header, widths), "  ".join("-" * w for w in widths)]
    lines += [_line(row, widths) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1])]
    padded += [cell.rjust(width) for cell, width in others]
    return "  ".join(padded).rstrip()


def paragraph(text: str) -> str:
    """The text wrapped at 80 columns, further lines indented."""
    return textwrap.fill(text, 80, subsequent_indent="  ")
