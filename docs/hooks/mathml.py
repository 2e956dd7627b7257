"""Turns LaTeX into MathML when the site is built: pages need no script.

`pymdownx.arithmatex` finds `$...$` and `$$...$$`; this hook converts what it
found. A formula that cannot be converted is a warning, which fails
`mkdocs build --strict`.
"""

from __future__ import annotations

import html
import logging
import re
from typing import Any

from latex2mathml.converter import convert

LOG = logging.getLogger("mkdocs.hooks.mathml")
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)
# A command that the converter does not know comes out as text, an alignment as
# an ampersand, and a font as an attribute that browsers have dropped.
UNKNOWN = re.compile(r">\\[A-Za-z]+<|>&<|mathvariant=")
# Functions are operators of text: a thin space on either side, none before a
# parenthesis.
FUNCTION = re.compile(
    r"<m([io])>((?:log|max|argmax|softmax|onehot|diag|exp))</m\1>"
    r"(?=(<mo [^>]*>&#x00028;|<mrow><mo [^>]*>(?:\(|&#x00028;))?)"
)
# A prime is raised by the font already, as text; as a superscript it would be
# raised twice.
PRIME = re.compile(r"<msup>(<mi>\w</mi>)<mi>&#x02032;</mi></msup>")
UPRIGHT = r'<mrow>\1<mo lspace="0" rspace="0">&#x02032;</mo></mrow>'
SPACE = '<mspace width="0.17em" />'
# No line begins with what follows a formula.
MARK = re.compile(r"(<math[^>]*>(?:(?!</math>).)*</math>)([.,;:!?)\]]+)", re.S)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Replaces every formula of the page."""

    def inline(match: re.Match[str]) -> str:
        return _mathml(match[1], "inline", page)

    def block(match: re.Match[str]) -> str:
        return f'<div class="formula">{_mathml(match[1], "block", page)}</div>'

    content = INLINE.sub(inline, BLOCK.sub(block, content))
    return MARK.sub(r'<span class="unbroken">\1\2</span>', content)


def _mathml(formula: str, display: str, page: Any) -> str:
    latex = html.unescape(formula).strip()
    try:
        result = convert(latex, display=display)
    except Exception as error:
        LOG.warning("%s: %s: %r", page.file.src_path, latex, error)
        return html.escape(latex)
    if UNKNOWN.search(result):
        LOG.warning("%s: unknown command in %s", page.file.src_path, latex)
    return FUNCTION.sub(_spaced, PRIME.sub(UPRIGHT, result))


def _spaced(match: re.Match[str]) -> str:
    behind = "" if match[3] else SPACE
    return f"{SPACE}<mi>{match[2]}</mi>{behind}"
