"""The commands of `python -m tfgumbel`, one file each.

A command has `add_parser(commands)`, which describes its options and sets
`run`, and `run(args, parser)`, which returns the exit status.
"""

from tfgumbel._commands import check, compare, explore
from tfgumbel._commands.version import version

__all__ = ["check", "compare", "explore", "version"]
