"""`python -m tfgumbel explore`: what it writes and opens."""

import re
import webbrowser

import pytest

from tfgumbel.__main__ import main
from tfgumbel._commands import explore


@pytest.fixture
def opened(monkeypatch):
    """Addresses that were to be opened; the browser starts if they are few."""
    addresses = []

    def start(address):
        addresses.append(address)
        return len(addresses) < 2

    monkeypatch.setattr(webbrowser, "open", start)
    return addresses


def test_the_page_is_written_and_opened(tmp_path, opened, capsys):
    file = tmp_path / "page.html"
    assert main(["explore", "--out", str(file), "--no-open"]) == 0
    assert opened == []
    assert file.read_text(encoding="utf-8") == explore.page()
    assert capsys.readouterr().out == f"Wrote {file}\n"
    assert main(["explore", "--out", str(file)]) == 0
    assert opened == [file.as_uri()]
    assert capsys.readouterr().out == f"Wrote {file}\n"
    assert main(["explore", "--out", str(file)]) == 0
    assert f"open {file.as_uri()}" in capsys.readouterr().out


def test_the_default_file_is_in_the_current_folder(
    tmp_path, opened, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["explore"]) == 0
    assert opened == [(tmp_path / "explore.html").as_uri()]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["explore", "--no-open", "--out", str(tmp_path)])
    assert f"cannot write {tmp_path}" in capsys.readouterr().err


def test_the_page_holds_all_its_parts_and_asks_for_nothing():
    text = explore.page()
    assert "{{" not in text.replace("${{", "")
    assert not re.search(r"https?:|<link|\ssrc=|@import|url\((?!#)", text)
    assert text.count("<script>") == text.count("</script>") == 1
    folder = explore.PAGE
    scripts = {path.name for path in folder.iterdir() if ".js" in path.name}
    assert scripts == set(explore.SCRIPTS)
    for name in (*explore.SCRIPTS, "style.css"):
        assert (folder / name).read_text(encoding="utf-8") in text
