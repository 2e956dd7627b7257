"""Makes the package legible to the documentation tool.

The docstrings follow Keras: an example or a reference is a word with a colon,
and doctests stand unindented below. In Markdown `>>>` would be three nested
quotations. A file has the name of its one public function, and `ops.reinmax`
means the function, where the tool would take the file; a file without one, such
as `estimators.algebra`, stays a file. Only the reference pages see this; the
package stays as it is.
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
    """Rewrites each docstring before it is parsed, and finds the functions."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Sees every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)

    def on_package(self, *, pkg: Any, loader: Any, **_: Any) -> None:
        """Sees a package once, with all its modules."""
        # First: an alias of another name is found through these modules.
        loader.resolve_aliases(implicit=True)
        for room in list(pkg.modules.values()):
            for name, file in list(room.modules.items()):
                exported = room.exports and name in room.exports
                if exported and name in file.members:
                    # What the walk over all objects will no longer reach.
                    for member in file.members.values():
                        if not member.is_alias:
                            self.on_object(obj=member)
                    function = griffe.Alias(name, file[name], parent=room)
                    room.set_member(name, function)


def rewrite(text: str) -> str:
    """The docstring with fenced doctests and titled sections."""
    text = DOCTEST.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
    text = text.replace(
        "Call arguments:\n", "Other Parameters: Call arguments\n"
    )
    text = PROSE.sub(lambda m: f"**{m[1]}.** {textwrap.dedent(m[2])}", text)
    return EXAMPLE.sub("**Example.**\n", text)
