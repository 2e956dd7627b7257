"""Entries of the gallery, made from the docstrings of the examples.

An example begins with a title, and then says in its first two sentences what
it is about; an indented line in its docstring is how it is called. Its picture
is `docs/images/<name>.png`.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
IMAGES = ROOT / "docs" / "images"
# The first to look at; the others follow by name.
FIRST = ("tour", "categorical_vae", "gaussian_vae", "feature_selection")
# A sentence ends before a capital, but not after "et al." or "vs.".
END = re.compile(r"(?<=[\w)\]'\"`}]{2}[.?!])\s+(?=[A-Z`'\"])")


def names() -> list[str]:
    """The examples in the order of the gallery."""
    found = sorted(
        path.stem
        for path in EXAMPLES.iterdir()
        if path.suffix in (".py", ".ipynb") and not path.stem.startswith("_")
    )
    return [name for name in FIRST if name in found] + [
        name for name in found if name not in FIRST
    ]


def gallery() -> str:
    """All entries."""
    body = "\n\n".join(map(_entry, names()))
    return f'<div class="gallery" markdown>\n\n{body}\n\n</div>'


def _entry(name: str) -> str:
    """A title that links to the example, picture, two sentences, command."""
    file = next(EXAMPLES.glob(f"{name}.*"))
    title, text = head(name)
    parts = [f"### [{title}](../examples/{file.name})"]
    if (IMAGES / f"{name}.png").exists():
        parts.append(f"![{title}](images/{name}.png)")
    parts += [sentences(text), f"```console\n{command(name)}\n```"]
    body = "\n\n".join(parts)
    return f"<div markdown>\n\n{body}\n\n</div>"


def head(name: str) -> tuple[str, str]:
    """The title and the first paragraph of an example."""
    path = EXAMPLES / f"{name}.py"
    if path.exists():
        text = docstring(name)
        title, paragraph = text.split("\n\n")[:2]
    else:
        cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text("utf-8"))
        title, paragraph = "".join(cells["cells"][0]["source"]).split("\n\n")
    return title.lstrip("# ").rstrip("."), " ".join(paragraph.split())


def docstring(name: str) -> str:
    """What an example says of itself."""
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    return ast.get_docstring(tree) or ""


def sentences(text: str, count: int = 2) -> str:
    """The first sentences of a text, without one that ends in a formula."""
    whole = [part for part in END.split(text) if part[-1] in ".?!"]
    return " ".join(whole[:count])


def command(name: str) -> str:
    """How it is called: the first line of its docstring that does so."""
    if not (EXAMPLES / f"{name}.py").exists():
        return f"jupyter lab examples/{name}.ipynb"
    (line, *_) = re.findall(r"^ +(python .*)$", docstring(name), re.MULTILINE)
    return line
