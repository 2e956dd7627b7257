"""Runs the examples and keeps what they print and draw.

    python -m docs.scripts.examples
    python -m docs.scripts.examples gaussian_vae subset_vae

Each runs with its default settings. What it prints goes to
`docs/data/examples.json`, its picture to `docs/images/<name>.png`; the gallery
and the page of the example are made of them. A run takes from seconds to
minutes.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from docs.scripts.json_lines import write

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
IMAGES = ROOT / "docs" / "images"
OUT = ROOT / "docs" / "data" / "examples.json"
# Of several pictures that an example draws, the one to look at first.
PICTURES = {
    "categorical_vae": "reconstructions.png",
    "feature_selection": "selection.png",
    "gaussian_vae": "latent.png",
}
# What draws nothing, and why.
WITHOUT_PICTURE = {
    "multi_worker": "about workers that stop and go on; prints its bound",
}
NOTEBOOK = "tour"  # Saved with its outputs: the last picture is taken.
LINES = 40  # More of an output than that is cut in the middle.


def names() -> list[str]:
    """Every example that is a script."""
    return sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if not path.stem.startswith("_")
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the examples that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    for name in parser.parse_args(argv).names or [NOTEBOOK, *names()]:
        if name == NOTEBOOK:
            (IMAGES / f"{name}.png").write_bytes(last_picture(name))
            continue
        text = run(name)
        found = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
        write(OUT, {**found, name: {"output": text}})
        print(f"{name}: {len(text)} lines", flush=True)


def run(name: str) -> list[str]:
    """Runs an example; returns the lines it prints, and copies its picture."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(FOLDER / f"{name}.py"), *_quiet(name)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        )
        if name not in WITHOUT_PICTURE:
            drawn = sorted(Path(folder).rglob(PICTURES.get(name, "*.png")))
            if len(drawn) != 1:
                found = ", ".join(path.name for path in drawn) or "nothing"
                raise SystemExit(f"{name} drew {found}: say which in PICTURES")
            shutil.copy(drawn[0], IMAGES / f"{name}.png")
    return shortened(done.stdout)


def last_picture(name: str) -> bytes:
    """The last picture that a notebook holds."""
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))["cells"]
    pictures = [
        "".join(output["data"]["image/png"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return base64.b64decode(pictures[-1])


def _quiet(name: str) -> list[str]:
    """Without Keras's progress bars, if the example has that option."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return ["--verbose", "0"] if re.search(r"\bverbose=\d", source) else []


def shortened(text: str) -> list[str]:
    """The lines of an output, without its middle if it is long."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if len(lines) <= LINES:
        return lines
    return [*lines[: LINES // 4], "...", *lines[-(LINES - LINES // 4) :]]


def output(name: str) -> list[str]:
    """What the example printed when it was last run."""
    found: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8"))
    return found[name]["output"] if name in found else []


if __name__ == "__main__":
    main()
