"""Checks that every name of the reference shows what it stands for.

A function that shares its name with its file would come out as the file: one
line, without signature or arguments. An example that `docstrings.py` has missed
would come out as a quotation. Both are warnings, which fail `mkdocs build
--strict`.
"""

from __future__ import annotations

import logging
import re
from typing import Any

LOG = logging.getLogger("mkdocs.hooks.reference")
# Rooms are shown without a heading.
FILE = re.compile(
    r'<div class="doc doc-object doc-module">\s*<h\d id="([\w.]+)"'
)


def on_page_content(content: str, page: Any, **_: Any) -> None:
    """Looks for headings of files, and for quotations."""
    for name in FILE.findall(content):
        LOG.warning("%s: %s is shown as a file", page.file.src_path, name)
    if page.file.src_path.startswith("reference/") and "<blockquote" in content:
        LOG.warning("%s: an example is no code", page.file.src_path)
