"""`python -m tests.commands.screenshot FILE`: the picture in README."""

import io
import pathlib
import sys
import tempfile

from PIL import Image

from tests.helpers import browser
from tfgumbel._commands import explore


def main(file):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = pathlib.Path(folder, "explore.html")
        page.write_text(explore.page(), encoding="utf-8")
        profile = f"{folder}/profile"
        with browser.Browser(browser.find(), profile) as opened:
            opened.resize(1280, 950)
            opened.open(page.as_uri())
            picture = Image.open(io.BytesIO(opened.screenshot()))
    colours = Image.Quantize.MAXCOVERAGE  # A thin line keeps its own.
    few = picture.convert("RGB").quantize(256, colours, kmeans=1)
    few.save(file, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
