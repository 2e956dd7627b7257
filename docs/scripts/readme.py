"""Writes the measured figures of README.

    python -m docs.scripts.readme

The table of the comparison is that of the page "Which estimator?", made by the
same function from `benchmarks/results/comparison.json`.
"""

from __future__ import annotations

from docs.hooks import tables


def main() -> None:
    """Fills the table in."""
    text = tables.README.read_text(encoding="utf-8")
    tables.README.write_text(tables.readme(text), encoding="utf-8")


if __name__ == "__main__":
    main()
