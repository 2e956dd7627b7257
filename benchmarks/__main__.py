"""All timings in one run, and one figure of them.

`python -m benchmarks` runs the benchmarks of time and memory one after the
other, each in a process of its own, writes their JSON to `benchmarks/results`
and draws `docs/images/performance.png`. `--draw` only draws, from the JSON that
is there. What trains for long (`comparison`, `jang_table1` and others) has a
command of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import performance

COMMANDS = {
    "layers": ["--repeats", "15"],
    "estimators": [],
    "step": [],
    "epoch": [],
    "scaling": [],
    "large_k": ["--modes", "graph", "--processes", "2"],
    "monte_carlo_gradients": [],
    "subsets": [],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is asked for and draws the figure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--only", nargs="+", choices=COMMANDS, default=list(COMMANDS)
    )
    parser.add_argument("--draw", action="store_true", help="only draw")
    parser.add_argument("--figure", type=Path, default=performance.OUT)
    options = parser.parse_args(arguments)
    for name in [] if options.draw else options.only:
        command = ["-m", f"benchmarks.{name}", *COMMANDS[name]]
        print(f"\npython {' '.join(command)}", flush=True)
        subprocess.run([sys.executable, *command], check=True)
    performance.draw(options.figure)
    print(f"Wrote {options.figure}.")


if __name__ == "__main__":
    main()
