"""README's Python blocks run, in order, in one namespace."""

import pathlib
import re

from docs.scripts import readme

README = pathlib.Path(__file__).parents[1] / "README.md"


def blocks(language):
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_every_python_block_runs():
    namespace = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["samples"].shape == (5, 64)
    assert namespace["restored"].count_params() > 0


def test_the_commands_set_up_their_own_environment():
    commands = blocks("console")
    assert len(commands) == 2
    for command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert command.count("\n") == 1


def test_its_measured_tables_are_those_of_the_json():
    text = README.read_text(encoding="utf-8")
    assert readme.PLACE.search(text)
    assert readme.filled(text) == text, "Run `python -m docs.scripts.readme`"
