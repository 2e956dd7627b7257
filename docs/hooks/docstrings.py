"""Makes the docstrings' own sections legible to the documentation tool.

The docstrings follow Keras: an example or a reference is a word with a colon,
and doctests stand unindented below. In Markdown `>>>` would be three nested
quotations. Only the reference pages see this; the docstrings stay as they are.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

DOCTEST = re.compile(r"(?:^>>> .*\n(?:^(?!\n).+\n?)*)+", re.M)
EXAMPLE = re.compile(r"^Example:\s*$", re.M)
PROSE = re.compile(
    r"^(Input shape|Output shape|Reference):\n((?: {4}.*(?:\n|$)|\n(?= {4}))+)",
    re.M,
)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Sees every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(text: str) -> str:
    """The docstring with fenced doctests and titled sections."""
    text = DOCTEST.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
    text = text.replace(
        "Call arguments:\n", "Other Parameters: Call arguments\n"
    )
    text = PROSE.sub(lambda m: f"**{m[1]}.** {textwrap.dedent(m[2])}", text)
    return EXAMPLE.sub("**Example.**\n", text)
