"""The command line: `python -m tfgumbel check`, `compare`, `explore`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tfgumbel._commands import check, compare, explore, version


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    return args.run(args, parser)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfgumbel",
        description="Stochastic layers and gradient estimators for Keras: "
        "tools for the command line.",
        epilog="`python -m tfgumbel compare --help` explains the options of a "
        "command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"tfgumbel {version()}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check.add_parser(commands)
    compare.add_parser(commands)
    explore.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
