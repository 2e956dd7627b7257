"""Writes into the pages what is made from data and docstrings.

    python -m docs.scripts.pages

So that a page reads the same on a code host as on the site:

- a line `<!-- table: NAME -->` is followed by its table, up to
  `<!-- end of table -->`, and cells such as `<!-- vae: rloo, 4 samples -->`
  by their figures, up to `<!-- end -->`; `docs/scripts/tables.py` makes both;
- an entry of the reference, `::: tfgumbel.layers.NAME`, becomes a comment, with
  the first line of the docstring and a link to the source below it, in whose
  place the site has the whole docstring;
- a page that names something of the reference, as
  [`GumbelSoftmax`][tfgumbel.layers.GumbelSoftmax], ends with the links;
- `docs/images/rooms.svg` is drawn from the imports of the package.

A test fails where a page is not what this script writes.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from pathlib import Path
from typing import Any

from docs.scripts import rooms, tables

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PARTS = re.compile(
    r"^<!-- table: (\w+) -->\n(?:\n.*?\n<!-- end of table -->\n)?", re.M | re.S
)
CELLS = re.compile(r"(<!-- (vae|gaussian): ([^>]+?) -->)(?:.*?<!-- end -->)?")
# As it is written by hand, and as this script leaves it.
ENTRY = re.compile(
    r"^(?:<!-- )?::: (tfgumbel[\w.]*)((?:\n {4}[^\n]*)*?)"
    r"(?:[ \n]-->\n.*?<!-- end of entry -->)?\n(?=\n|\Z)",
    re.M | re.S,
)
LINKS = re.compile(r"\n<!-- links -->\n.*\Z", re.S)
NAMED = re.compile(r"\]\[(tfgumbel\.[\w.]+)\]")


def main() -> None:
    """Writes every page, and the picture."""
    rooms.OUT.write_text(rooms.drawn(), encoding="utf-8")
    for path in pages():
        path.write_text(filled(path), encoding="utf-8")


def pages() -> list[Path]:
    """README and what is under docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def filled(path: Path) -> str:
    """The page with its tables, entries and links written anew."""
    text = LINKS.sub("", path.read_text(encoding="utf-8"))

    def table(match: re.Match[str]) -> str:
        # README lies one folder above the pages whose links it shares.
        body = tables.TABLES[match[1]](path.stem)
        if path.parent == ROOT:
            body = re.sub(r"\]\((?!http)", "](docs/", body)
        start = f"<!-- table: {match[1]} -->"
        return f"{start}\n\n{body}\n\n<!-- end of table -->\n"

    def cells(match: re.Match[str]) -> str:
        return f"{match[1]} {tables.cells(match[2], match[3])} <!-- end -->"

    text = CELLS.sub(cells, PARTS.sub(table, text))
    if path.parent.name == "reference":
        text = ENTRY.sub(lambda match: entry(match[1], match[2]), text)
    return text + links(path, text)


def entry(name: str, options: str) -> str:
    """A comment for the site, and what stands in its place elsewhere."""
    found, owner = _found(name)
    summary = (inspect.getdoc(found) or "").split("\n\n")[0]
    if inspect.ismodule(found) or callable(found):
        summary = " ".join(summary.split())
    else:
        # A constant or a type has the docstring of its own type.
        summary = ""
    source = Path(inspect.getsourcefile(owner)).relative_to(ROOT)
    title = name.removeprefix("tfgumbel.")
    link = f"[source](../../{source.as_posix()})"
    end = "\n" if options else " "
    return (
        f"<!-- ::: {name}{options}{end}-->\n\n"
        f'<a id="{name}"></a>**`{title}`** '
        + " ".join(filter(None, (summary, link)))
        + "\n\n<!-- end of entry -->\n"
    )


def _found(name: str) -> tuple[Any, Any]:
    """What a name stands for, and what to look up its file by."""
    try:
        module = importlib.import_module(name)
        if not name.startswith("tfgumbel.ops."):
            return module, module
    except ImportError:
        pass
    room, last = name.rsplit(".", 1)
    parent = importlib.import_module(room)
    found = getattr(parent, last)
    if inspect.isclass(found) or inspect.isfunction(found):
        return found, inspect.unwrap(found)
    return found, parent


def referenced() -> dict[str, Path]:
    """The page of each name of the reference."""
    found = {}
    for path in sorted((DOCS / "reference").glob("*.md")):
        for name, _ in ENTRY.findall(path.read_text(encoding="utf-8")):
            found[name] = path
    return found


def links(path: Path, text: str) -> str:
    """The definitions of the links to the reference, at the end of a page."""
    known, lines = referenced(), []
    for name in sorted(set(NAMED.findall(text))):
        page = known.get(name) or known[name.rsplit(".", 1)[0]]
        where = os.path.relpath(page, path.parent).replace(os.sep, "/")
        lines.append(f"[{name}]: {where}#{name}\n")
    return "".join(["\n<!-- links -->\n\n", *lines]) if lines else ""


if __name__ == "__main__":
    main()
