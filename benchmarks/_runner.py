"""What the benchmarks share: options, JSON files, targets, tables of text."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._timing import PACKAGES, Row, environment

Arguments = Sequence[str] | None
Options = argparse.Namespace
RESULTS = Path(__file__).parent / "results"
DEVICES = ["CPU:0", "GPU:0"]
# Options that name a place on this machine: no part of a recorded command.
PLACES = ("out", "state", "mnist")
POSITIONAL = ("part",)


class Parser(argparse.ArgumentParser):
    def add_defaults(self, **defaults: Any) -> None:
        """Adds options that have the type of their default; a list: several."""
        for name, default in defaults.items():
            several = isinstance(default, list)
            self.add_argument(
                flag(name),
                type=type(default[0]) if several else type(default),
                nargs="+" if several else None,
                default=default,
            )


def parser(name: str, text: str, device: bool = False) -> Parser:
    """The options that every benchmark has, to be added to.

    Its name is that of its JSON file too; the text is its module's docstring.
    """
    made = Parser(
        prog=f"python -m benchmarks.{name}",
        description=text,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    default = RESULTS / f"{name}.json"
    made.add_argument("--out", type=Path, default=default, help="JSON file")
    if device:
        made.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    return made


def parse(made: Parser, arguments: Arguments) -> Options:
    """The options, and the command that gave them.

    The default file of a GPU is another: `layers_gpu.json`.
    """
    options = made.parse_args(arguments)
    default = made.get_default("out")
    if getattr(options, "device", "") == "GPU:0" and options.out == default:
        options.out = default.with_stem(default.stem + "_gpu")
    options.command = command(made, options)
    options.benchmark = made.prog.split(".")[-1]
    return options


def command(made: Parser, options: Options) -> str:
    """The command with all options that differ from their defaults."""
    words = []
    for name, value in vars(options).items():
        if name in POSITIONAL:
            words.append(value)
        elif name not in PLACES and value != made.get_default(name):
            words += option(name, value)
    return " ".join([made.prog, shlex.join(words)]).strip()


def option(name: str, value: Any) -> list[str]:
    """The words of one option: its flag, and its values."""
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no-{name}")]
    values = value if isinstance(value, (list, tuple)) else [value]
    return [flag(name), *map(str, values)]


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def of_contender(figures: Row) -> Row:
    """Prints what a process reports to the one that started it."""
    print(json.dumps(figures))
    return figures


def installed(module: str) -> bool:
    """Whether a peer can be measured."""
    return importlib.util.find_spec(module) is not None


def read(path: Path, empty: Row) -> Row:
    """The report of an earlier run, or an empty one."""
    return json.loads(path.read_text("utf-8")) if path.exists() else empty


def write(path: Path, report: Row) -> None:
    """Writes the report, all at once, making the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    os.replace(partial, path)


def target(
    name: str,
    measured: float,
    limit: float,
    at_least: bool = False,
    **facts: Any,
) -> Row:
    """What a figure has to be: at most the limit, or at least."""
    reached = measured >= limit if at_least else measured <= limit
    found = {"target": name, **facts, "limit": limit, "measured": measured}
    return {**found, "reached": reached}


def verdict(found: Row) -> str:
    """One line about a target."""
    known = ("target", "measured", "limit", "reached")
    facts = [f"{k} {v}" for k, v in found.items() if k not in known]
    if "limit" in found:
        facts.insert(0, f"{found['measured']:.3g}, limit {found['limit']:g}")
    word = "reached" if found["reached"] else "NOT REACHED"
    return f"{word}: {found['target']}, {', '.join(facts)}"


def finish(
    options: Options,
    columns: Sequence[str],
    rows: Sequence[Row],
    targets: Sequence[Row],
    packages: Sequence[str] = PACKAGES,
    **facts: Any,
) -> Row:
    """Shows the results and writes them, with what they were made with."""
    report = {
        "benchmark": options.benchmark,
        "command": options.command,
        **facts,
        "environment": environment(packages),
        "results": rows,
        "targets": targets,
    }
    show(columns, rows, targets)
    write(options.out, report)
    return report


def show(
    columns: Sequence[str], rows: Sequence[Row], targets: Sequence[Row] = ()
) -> None:
    """Prints a table, and whether the targets were reached."""
    print(table(columns, rows), *map(verdict, targets), sep="\n", flush=True)


def table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows of JSON as aligned text: words on the left, numbers on the right.

    The keys head the columns. A row that could not be measured ends with the
    reason, under `failed`.
    """
    lines = [list(columns)]
    lines += [[cell(row.get(key)) for key in columns] for row in rows]
    forms = []
    for key, texts in zip(columns, zip(*lines, strict=True), strict=True):
        numbers = any(isinstance(row.get(key), (int, float)) for row in rows)
        forms.append(f"{'>' if numbers else '<'}{max(map(len, texts))}")
    ends = ["", *(row.get("failed", "") for row in rows)]
    return "\n".join(
        "  ".join([*map(format, line, forms), end[:60]]).rstrip()
        for line, end in zip(lines, ends, strict=True)
    )


def cell(value: Any) -> str:
    """A number to four digits, or a stroke where there is none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
