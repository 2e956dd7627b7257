"""Words that only the authors would understand stay out of what users read."""

import ast
import pathlib
import re

import pytest

import tfgumbel
from tests.docs import pages

ROOT = pages.DOCS.parent
PACKAGE = pathlib.Path(tfgumbel.__file__).parent
PRIVATE = re.compile(
    r"\b(doors?|rooms?|prices?|save that|hangs? together|refused with)\b"
)
# Pages for contributors, who are told what a room is.
EXPLAINED = {"how-it-works.md"}
TEXTS = [
    ROOT / "README.md",
    *(p for p in sorted(pages.DOCS.rglob("*.md")) if p.name not in EXPLAINED),
]
SOURCES = [*sorted(PACKAGE.rglob("*.py")), *sorted(ROOT.glob("examples/*.py"))]
# What the algorithms themselves are about.
MEANT = {
    ("maximal_matching", "Prices"),
    ("chunks", "room"),
    ("metrics", "room"),
}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_a_page_has_no_private_words(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert not PRIVATE.findall(text)


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.full
def test_docstrings_have_no_private_words():
    found = set()
    for path in SOURCES:
        for text in docstrings(path):
            found |= {(path.stem, word) for word in PRIVATE.findall(text)}
    assert found - MEANT == set()


def test_how_it_works_explains_what_a_room_is():
    text = (pages.DOCS / "how-it-works.md").read_text(encoding="utf-8")
    assert "A *room* is" in text
