"""Writes the measured tables of README.

    python -m docs.scripts.readme

What stands between `<!-- table: NAME -->` and `<!-- end of table -->` is made
from the JSON of the benchmarks, by the functions that fill the pages of the
documentation. A test fails where README is not what this script writes.
"""

from __future__ import annotations

import re
from pathlib import Path

from docs.hooks import tables

README = Path(__file__).parents[2] / "README.md"
PLACE = re.compile(
    r"(<!-- table: (\w+) -->\n\n).*?(\n\n<!-- end of table -->)", re.S
)
# Some of the rows in "Which estimator?".
VAE = (
    "rloo, 4 samples",
    "mve, tau 1e6",
    "reinmax, tau 1",
    "zgr",
    "rebar",
    "gumbel_softmax, tau 0.5",
    "gumbel_rao, tau 0.5",
    "nvil",
    "st_gumbel, tau 0.5",
    "st, tau 1.3",
    "reinforce",
)
TABLES = {
    "vae": lambda: tables.comparison("vae", 2, VAE, "docs/estimators/"),
}


def filled(text: str) -> str:
    """README with its tables written anew."""
    return PLACE.sub(
        lambda match: match[1] + TABLES[match[2]]() + match[3], text
    )


if __name__ == "__main__":
    README.write_text(filled(README.read_text("utf-8")), "utf-8")
