"""All timings in one run, and one figure of them.

`python -m benchmarks` runs the benchmarks of time and memory one after the
other, each in a process of its own, writes their JSON to `benchmarks/results`
and draws `docs/images/performance.png`. What trains for long runs where it is
named: `python -m benchmarks --only comparison`. `--list` says how long each
took when it last ran to its end this way (`benchmarks/results/durations.json`),
or how long the runs took that its JSON holds.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import _runner, performance
from benchmarks._runner import Arguments, Row

HERE = Path(__file__).parent
DURATIONS = _runner.RESULTS / "durations.json"
TIMINGS = ["layers", "estimators", "step", "epoch", "scaling", "large_k"]
TIMINGS += ["monte_carlo_gradients", "subsets"]
ARGUMENTS = {
    "layers": ["--repeats", "50"],
    "large_k": ["--modes", "graph", "--processes", "2"],
    "semi_supervised": ["train"],
}
# What the others import, or what only draws.
NO_BENCHMARKS = ("performance", "report")


def titles() -> dict[str, str]:
    """The first line of every benchmark's docstring, by name."""
    found = {}
    for path in sorted(HERE.glob("[a-z]*.py")):
        if path.stem not in NO_BENCHMARKS:
            text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
            found[path.stem] = (text or "").split("\n")[0]
    return found


def took(name: str) -> str:
    """How long it took to its end, or to make the results that are there."""
    runs = performance.load(name).get("runs", {}).values()
    seconds = sum(run.get("seconds", 0.0) for run in runs)
    seconds = _runner.read(DURATIONS, {}).get(name, seconds)
    if not seconds:
        return "not timed"
    minutes = seconds / 60.0
    return f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"


def run(name: str) -> None:
    """Runs one benchmark and records how long it took."""
    command = ["-m", f"benchmarks.{name}", *ARGUMENTS.get(name, [])]
    print(f"\npython {' '.join(command)}", flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True)
    seconds = round(time.perf_counter() - start, 1)
    durations = {**_runner.read(DURATIONS, {}), name: seconds}
    _runner.write(DURATIONS, dict(sorted(durations.items())))


def main(arguments: Arguments = None) -> None:
    """Runs what is asked for and draws the figure."""
    names, text = titles(), __doc__.split("\n")[0]
    parser = argparse.ArgumentParser("python -m benchmarks", description=text)
    add = parser.add_argument
    some = f"some of {', '.join(names)}; by default those of time and memory: "
    how: Row = {"choices": names, "default": TIMINGS, "metavar": "NAME"}
    add("--only", nargs="+", help=some + ", ".join(TIMINGS), **how)
    add("--list", action="store_true", help="say what each measures, how long")
    add("--draw", action="store_true", help="only draw")
    figure = performance.OUT
    add("--figure", type=Path, default=figure, help="PNG (%(default)s)")
    options = parser.parse_args(arguments)
    if options.list:
        for name, title in names.items():
            print(f"{name:22} {took(name):>9}  {title}")
        return
    for name in [] if options.draw else options.only:
        run(name)
    performance.draw(options.figure)
    print(f"Wrote {options.figure}.")


if __name__ == "__main__":
    main()
