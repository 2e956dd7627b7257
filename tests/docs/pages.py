"""The code in the pages of the documentation."""

import pathlib
import re

DOCS = pathlib.Path(__file__).parents[2] / "docs"
# What a page says whose blocks build on those of earlier sections.
PROGRAM = "The code of this page is one program"


def blocks(page):
    """The blocks of Python in a page, in order."""
    return [block for section in sections(page) for block in section]


def sections(page):
    """The blocks of each section; of a page that is one program, of all."""
    text = page.read_text(encoding="utf-8")
    parts = [text] if PROGRAM in text else re.split("^## ", text, flags=re.M)
    return [
        re.findall(r"^```python\n(.*?)^```", part, flags=re.DOTALL | re.M)
        for part in parts
    ]


def run(page):
    """Runs each section by itself, as a reader who copies it does.

    Returns what all of them define.
    """
    found = {}
    for section in sections(page):
        namespace = {"__name__": "docs"}
        for block in section:
            exec(compile(block, str(page), "exec"), namespace)
        found.update(namespace)
    return found
