"""No link between files of the repository is dead, as a code host shows it.

MkDocs checks the site; its warnings are errors in `.ci/run`.
"""

import html
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    ROOT / "benchmarks" / "RESULTS.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
INLINE = re.compile(r"\]\(([^)\s]+)\)")
DEFINED = re.compile(r"^\[([^\]^]+)\]: (\S+)$", re.M)
NAMED = re.compile(r"\]\[([^\]]+)\]")


def without_code(path):
    return CODE.sub("`code`", path.read_text(encoding="utf-8"))


def slug(heading):
    """The anchor that a code host gives to a heading."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"[^\w\- ]", "", html.unescape(text).strip().lower())
    return text.replace(" ", "-")


def anchors(path):
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {slug(h) for h in headings} | set(re.findall(r'id="([^"]+)"', text))


def links(path):
    text = without_code(path)
    for _, target in DEFINED.findall(text):
        yield target
    yield from INLINE.findall(text)


def dead(path):
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        if not found.exists():
            yield link
        elif anchor and found.suffix == ".md" and anchor not in anchors(found):
            yield link


@pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_link_is_dead(path):
    assert list(dead(path)) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[a](#a-page) [b](#none) [c](none.md) [d][e] `[f](code)`\n\n"
        "[e]: page.md#a-page\n[g]: page.md#none\n"
    )
    assert list(dead(page)) == ["page.md#none", "#none", "none.md"]


@pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_name_in_brackets_is_a_link(path):
    text = without_code(path)
    defined = {name for name, _ in DEFINED.findall(text)}
    assert set(NAMED.findall(text)) <= defined


def test_every_page_of_the_documentation_is_within_reach_of_readme():
    """Without the navigation of the site, which a code host does not show."""
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in links(page):
            if not re.match(r"[a-z]+:", link) and link.partition("#")[0]:
                target = (page.parent / link.partition("#")[0]).resolve()
                waiting += [target] if target.exists() else []
    assert set(PAGES) - reached == set()
