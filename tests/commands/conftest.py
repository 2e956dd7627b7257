"""The page of `explore`, in a headless browser."""

import os

import pytest

from tests.helpers import browser
from tfgumbel._commands import explore


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page, open in a browser, 1280 by 900."""
    path = browser.find()
    if path is None:
        reason = f"no browser: none of {', '.join(browser.NAMES)} is installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; .ci/run installs one where it is root")
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("explore")
    file = folder / "explore.html"
    file.write_text(explore.page(), encoding="utf-8")
    with browser.Browser(path, folder / "profile") as opened:
        opened.resize(1280, 900)
        opened.open(file.as_uri())
        yield opened
