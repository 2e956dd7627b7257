"""Writes the tables of checks, and reports, into the guides.

    python -m docs.scripts.checks

A table stands between `<!-- checks: KIND -->` and `<!-- end -->`. A report
stands between `<!-- report: NAME -->` and `<!-- end -->`: what `NAME`, a
layer that the code of the page defines, gets from `check_layer`. A test fails
where a table is not what this script writes, or a report has other outcomes.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

GUIDES = Path(__file__).parents[1] / "guides"
PAGES = ("own-layer.md", "own-distribution.md", "own-estimator.md")
CODE = re.compile(r"^```python\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
PART = re.compile(
    r"(<!-- (checks|report): (\w+) -->\n)(.*?)(<!-- end -->)", flags=re.DOTALL
)


def main() -> None:
    """Writes the pages."""
    for name in PAGES:
        path = GUIDES / name
        path.write_text(written(path), encoding="utf-8")


def written(path: Path) -> str:
    """The page with its tables and reports as they should be."""
    text = path.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "docs"}
    if "<!-- report:" in text:
        for block in CODE.findall(text):
            exec(compile(block, str(path), "exec"), namespace)

    def fill(match: re.Match) -> str:
        start, kind, name, _, end = match.groups()
        body = table(name) if kind == "checks" else report(namespace[name])
        return f"{start}{body}{end}"

    return PART.sub(fill, text)


def table(kind: str) -> str:
    """Every check of a kind, with an anchor that reports link to."""
    module = importlib.import_module(f"tfgumbel.testing.check_{kind}")
    rows = ["| check | what holds | if it does not |", "| --- | --- | --- |"]
    for check in module.CHECKS:
        full = "" if check.quick else ", in the full set"
        rows.append(
            f'| <a id="{check.anchor}"></a>{check.name}{full} '
            f"| {check.asks} | {check.advice} |"
        )
    return "\n" + "\n".join(rows) + "\n\n"


def report(layer: Any) -> str:
    """What `check_layer` prints on a layer."""
    from tfgumbel import testing

    return f"\n```text\n{testing.check_layer(layer)}\n```\n\n"


if __name__ == "__main__":
    main()
