"""`python -m tfgumbel explore`: a page to play with in a browser."""

from __future__ import annotations

import argparse
import importlib.resources
import pathlib
import webbrowser

from tfgumbel._commands.version import version

_DESCRIPTION = """\
Writes one self-contained HTML page and opens it in a browser. Sliders move the
temperature and the probabilities of a categorical variable; the page shows its
Gumbel-softmax samples, and the bias and variance of estimators of a gradient
against temperature. It computes everything itself, by the formulas of the
package, and needs no network.
"""

PAGE = importlib.resources.files(__package__) / "page"
# In this order: a file uses names of the files before it.
SCRIPTS = (
    "noise.js",
    "relaxation.js",
    "estimators.js",
    "moments.js",
    "plots.js",
    "simplex.js",
    "state.js",
    "drawing.js",
    "controls.js",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command to `python -m tfgumbel`."""
    parser = commands.add_parser(
        "explore",
        help="a page with sliders: samples and gradients against temperature",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("explore.html"),
        metavar="FILE",
        help="file to write; default: %(default)s",
    )
    parser.add_argument(
        "--no-open",
        action="store_true",
        help="write the page and leave the browser alone",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Writes the page and opens it; returns the exit status."""
    try:
        args.out.write_text(page(), encoding="utf-8")
    except OSError as error:
        parser.error(f"cannot write {args.out}: {error.strerror}")
    print(f"Wrote {args.out}")
    address = args.out.resolve().as_uri()
    if not args.no_open and not webbrowser.open(address):
        print(f"No browser could be started: open {address} in one")
    return 0


def page() -> str:
    """The page, with its style and scripts inside."""
    scripts = "\n".join(_part(name) for name in SCRIPTS)
    text = _part("page.html")
    for slot, content in (
        ("{{version}}", version()),
        ("{{style}}", _part("style.css")),
        ("{{script}}", scripts),
    ):
        text = text.replace(slot, content)
    return text


def _part(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
