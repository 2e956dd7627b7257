"""The code in the pages of the documentation."""

import pathlib
import re

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def blocks(page):
    """The blocks of Python in a page, in order."""
    return re.findall(
        r"^```python\n(.*?)^```",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )


def run(page):
    """Runs a page's blocks, one after another; returns what they define."""
    namespace = {"__name__": "docs"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    return namespace
