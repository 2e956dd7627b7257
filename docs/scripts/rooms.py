"""Draws the rooms of the package, and who imports whom, from its imports.

`python -m docs.scripts.pages` writes `docs/images/rooms.svg`. A room is a file
or a folder of `tfgumbel/`. Rooms are ranked by the longest chain of imports
that leads to them; an arrow points from what is imported to what imports it,
and is left out where a longer way says the same.
"""

from __future__ import annotations

import ast
import html
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tfgumbel"
OUT = ROOT / "docs" / "images" / "rooms.svg"
WIDTH, HEIGHT, GAP = 132, 34, 40
STEP = 30  # Between the boxes of a rank.


@cache
def imports() -> dict[str, set[str]]:
    """The rooms that each room imports, read from the source."""
    rooms = {
        path.stem: path
        for path in sorted(PACKAGE.iterdir())
        if (path.suffix == ".py" and path.stem != "__init__")
        or (path / "__init__.py").exists()
    }
    found = {}
    for name, path in rooms.items():
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        names = {room for file in files for room in _imported(file)}
        found[name] = (names & set(rooms)) - {name}
    return found


def _imported(file: Path) -> set[str]:
    """The rooms that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "tfgumbel" and rest:
                found.add(rest.split(".")[0])
    return found


@cache
def rank(room: str) -> int:
    """The length of the longest chain of imports below a room."""
    return 1 + max((rank(other) for other in imports()[room]), default=-1)


def arrows() -> list[tuple[str, str]]:
    """Pairs of rooms, the first imported by the second, and none between."""
    found = imports()

    def below(room: str) -> set[str]:
        return found[room].union(*map(below, found[room]))

    return sorted(
        (lower, upper)
        for upper, lowers in found.items()
        for lower in lowers
        if not any(lower in below(other) for other in lowers - {lower})
    )


def drawn() -> str:
    """The picture, as SVG, on the white ground that pages give it."""
    ranks: dict[int, list[str]] = {}
    for room in imports():
        ranks.setdefault(rank(room), []).append(room)
    widest = max(map(len, ranks.values()))
    total = widest * WIDTH + (widest - 1) * STEP + 20
    last = max(ranks)
    places = {}
    for level, rooms in ranks.items():
        # What stands highest imports most.
        y = 10 + (last - level) * (HEIGHT + GAP)
        used = len(rooms) * WIDTH + (len(rooms) - 1) * STEP
        for i, room in enumerate(rooms):
            places[room] = (total - used) / 2 + i * (WIDTH + STEP), y
    high = 20 + (last + 1) * HEIGHT + last * GAP
    lines = [_line(places[lower], places[upper]) for lower, upper in arrows()]
    boxes = [_box(room, *place) for room, place in sorted(places.items())]
    return "\n".join([_head(total, high), *lines, *boxes, "</svg>\n"])


def _line(lower: tuple[float, float], upper: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = lower, upper
    x0, x1, y1 = x0 + WIDTH / 2, x1 + WIDTH / 2, y1 + HEIGHT
    bend = (y0 + y1) / 2
    return (
        f'<path class="edge" marker-end="url(#head)" d="M{x0:g} {y0:g} '
        f'C{x0:g} {bend:g} {x1:g} {bend:g} {x1:g} {y1 + 4:g}"/>'
    )


def _box(room: str, x: float, y: float) -> str:
    folder = (PACKAGE / room).is_dir()
    label = html.escape(room + ("/" if folder else ""))
    return (
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="5"/><text x="{x + WIDTH / 2:g}" '
        f'y="{y + HEIGHT / 2 + 5:g}">{label}</text>'
    )


def _head(width: float, height: float) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" \
width="{width:g}" height="{height:g}" role="img">
<title>The rooms of the package: an arrow leads from what is imported to what \
imports it</title>
<style>
text {{ font: 14px ui-monospace, monospace; text-anchor: middle; fill: #223 }}
.box {{ fill: #eef0fa; stroke: #5c6bc0 }}
.edge {{ fill: none; stroke: #7986cb; stroke-width: 1.3 }}
.tip {{ fill: #7986cb }}
</style>
<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" \
markerHeight="7" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker>"""
