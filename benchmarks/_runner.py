"""What the benchmarks share: options, JSON files, targets, tables of text."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import shlex
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from textwrap import fill
from typing import Any

Row = dict[str, Any]
Call = Callable[[], Any]
Arguments = Sequence[str] | None
Options = argparse.Namespace
RESULTS = Path(__file__).parent / "results"
# Whose versions count, beside those of peers.
PACKAGES = ["tensorflow", "keras", "numpy"]
DEVICES = ["CPU:0", "GPU:0"]
# Options that name a place on this machine: no part of a recorded command.
PLACES = ("out", "state", "mnist")
POSITIONAL = ("part",)
HELP = {"every": "steps between two points", "repeats": "rounds"}


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
                help=HELP.get(name),
            )

    def add_choices(self, **choices: Iterable[str]) -> None:
        """Adds options that take some of these; by default all."""
        for name, these in choices.items():
            names = list(these)
            how: Row = {"nargs": "+", "choices": names, "default": names}
            if len(names) > 8:
                how |= {"metavar": "NAME", "help": fill(", ".join(names), 55)}
            self.add_argument(flag(name), **how)


def parser(
    name: str, text: str, device: bool = False, **defaults: Any
) -> Parser:
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
    made.add_defaults(**defaults)
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
    values = value if isinstance(value, list | tuple) else [value]
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


def environment(packages: Sequence[str] = PACKAGES) -> Row:
    """What the figures depend on: versions, processors, threads, load, date.

    The version of a package that is not installed is `None`.
    """
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "platform": platform.system() + " " + platform.machine(),
        "cpu": _cpu_model(),
        "gpus": _gpu_models(),
        "threads": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else None,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _gpu_models() -> list[str]:
    from tensorflow import config

    details = config.experimental.get_device_details
    found = map(details, config.list_physical_devices("GPU"))
    return [gpu["device_name"] for gpu in found]


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
    lines = [[*columns]]
    lines += [[cell(row.get(key)) for key in columns] for row in rows]
    forms = []
    for key, texts in zip(columns, zip(*lines, strict=True), strict=True):
        numbers = any(isinstance(row.get(key), int | float) for row in rows)
        forms.append(f"{'>' if numbers else '<'}{max(map(len, texts))}")
    for line, row in zip(lines, [{}, *rows], strict=True):
        line[:] = [*map(format, line, forms), row.get("failed", "")[:60]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def cell(value: Any) -> str:
    """A number to four digits, or a stroke where there is none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
