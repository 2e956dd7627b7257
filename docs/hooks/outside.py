"""Makes pages of files outside the folder, and links between all of them.

The report of the benchmarks, CONTRIBUTING, the changelog and the examples lie
where they belong in the repository, and pages link to them there, so that the
links work on a code host. When the site is built, each becomes a page, an
example with its picture and output, and the links lead to the pages; the curves
of the report are drawn. What the
scripts have filled in for readers on a code host, the entries of the reference,
makes way for the docstrings themselves.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
OUTPUTS = ROOT / "docs" / "data" / "examples.json"
# A report's tables need the room.
WIDE = "---\nhide:\n  - navigation\n  - toc\n---\n\n"
ALONE = "---\nhide:\n  - navigation\n---\n\n"
WHOLE = {
    "benchmarks/RESULTS.md": "results.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)]*)?\)")
ENTRY = re.compile(
    r"^<!-- (::: .*?)\n?\s?-->\n.*?<!-- end of entry -->$", re.M | re.S
)
FIGURE = re.compile(r"<!-- figure (\w+): (.*?) -->")
REFERENCE = re.compile(r"^Reference:\n((?: {4}.*\n?|\n(?= {4}))+)", re.M)


def pages() -> dict[str, str]:
    """The page of each file of the repository that becomes one."""
    examples = sorted(EXAMPLES.glob("*.py")) + sorted(EXAMPLES.glob("*.ipynb"))
    return WHOLE | {
        f"examples/{path.name}": f"examples/{path.stem}.md"
        for path in examples
        if not path.stem.startswith("_")
    }


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the pages, and the curves of the report."""
    for name, content in curves().items():
        files.append(File.generated(config, name, content=content))
    for source, page in pages().items():
        path = ROOT / source
        if path.suffix == ".md":
            head = WIDE if page == "results.md" else ""
            content = head + path.read_text(encoding="utf-8")
        elif path.suffix == ".py":
            content = ALONE + example(path)
        else:
            content = ALONE + notebook(path)
        files.append(File.generated(config, page, content=content))
    return files


def curves() -> dict[str, bytes]:
    """What the report's figures are, drawn from the JSON of the benchmarks."""
    if str(ROOT) not in sys.path:  # a command's path is its own folder
        sys.path.insert(0, str(ROOT))
    from benchmarks import report

    with tempfile.TemporaryDirectory() as folder:
        paths = report.draw(Path(folder), report.read(report.RESULTS))
        return {f"figures/{p.name}": p.read_bytes() for p in paths}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links to files of the repository into links to pages."""
    markdown = ENTRY.sub(r"\1", markdown)
    markdown = FIGURE.sub(r"![\2](figures/\1.png)", markdown)
    made = pages()
    sources = {page: source for source, page in made.items()}
    here = page.file.src_path
    source = sources.get(here, f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        image, label, target, anchor = match.groups()
        if ":" in target or target in made.values():
            return match[0]
        found = posixpath.normpath(
            posixpath.join(posixpath.dirname(source), target)
        )
        if found in made:
            found = made[found]
        elif found.startswith("docs/"):
            found = found.removeprefix("docs/")
        elif found.startswith("benchmarks/figures/"):  # drawn above
            found = found.removeprefix("benchmarks/")
        elif (ROOT / found).exists():
            return label  # Not part of the site.
        else:
            return match[0]
        relative = posixpath.relpath(found, posixpath.dirname(here) or ".")
        return f"{image}[{label}]({relative}{anchor or ''})"

    return LINK.sub(link, markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str | None:
    """Has the report's tables drawn densely, and lets long names break."""
    if page.file.src_path == "results.md":
        return f'<div class="dense">{content}</div>'
    if 'class="dense names"' in content:
        return re.sub(r"<code>[^<]*</code>", _breakable, content)
    return None


def _breakable(match: re.Match[str]) -> str:
    """A name that may break before a capital."""
    return re.sub(r"(?<=[a-z.(_])(?=[A-Z])", "<wbr>", match[0])


def on_config(config: Any, **_: Any) -> Any:
    """Has the site built anew when one of the files changes."""
    config.watch += [str(ROOT / name) for name in (*WHOLE, "examples")]
    return config


def example(path: Path) -> str:
    """The page of an example: what it shows, its picture, output and code."""
    code = path.read_text(encoding="utf-8")
    tree = ast.parse(code)
    title, _, text = (ast.get_docstring(tree) or "").partition("\n\n")
    body = code.split('"""', 2)[2].strip()
    picture = ROOT / "docs" / "images" / f"{path.stem}.png"
    printed = json.loads(OUTPUTS.read_text(encoding="utf-8")).get(path.stem)
    parts = [f"# {title.rstrip('.')}", _prose(text)]
    if picture.exists():
        parts.append(f"![What it draws](../docs/images/{picture.name})")
    if printed:
        lines = "\n".join(printed["output"])
        parts.append(f"## What it prints\n\n```text\n{lines}\n```")
    parts.append(f"## The code\n\n`examples/{path.name}`; `--help` lists its")
    parts[-1] += f" options.\n\n```python\n{body}\n```\n"
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """A docstring as Markdown: only the reference has to change."""
    return REFERENCE.sub(
        lambda match: "**Reference.** " + re.sub(r"(?m)^ {4}", "", match[1]),
        text + "\n",
    ).strip()


def notebook(path: Path) -> str:
    """A notebook as a page: its text, its code and what that showed."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += map(_shown, cell["outputs"])
    return "\n\n".join(filter(None, parts)) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """What a cell printed or drew."""
    if "text" in output:
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    picture = output.get("data", {}).get("image/png")
    if picture is None:
        return ""
    encoded = "".join(picture).replace("\n", "")
    return f"![Drawn by the cell above](data:image/png;base64,{encoded})"
