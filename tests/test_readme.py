"""README's Python blocks run, in order, and what it claims holds."""

import configparser
import pathlib
import re

import tfgumbel as tg
from tests.helpers import registers

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_python_block_runs():
    namespace = {"__name__": "readme"}
    with registers.unchanged():
        for block in blocks("python"):
            exec(compile(block, str(README), "exec"), namespace)
    model, images = namespace["model"], namespace["images"]
    assert isinstance(model, tg.StochasticModel)
    assert model.predict(images[:5], verbose=0).shape == (5, 64)


def test_its_first_block_has_ten_lines():
    """Without the imports, and the data in the place of one's own."""
    lines = blocks("python")[0].splitlines()
    code = [line for line in lines if line and not line.startswith("import")]
    assert len(code) <= 10


def test_the_commands_set_up_their_own_environment():
    commands = blocks("console")
    assert len(commands) == 2
    for command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert command.count("\n") == 1


def test_it_is_two_screens_long():
    assert TEXT.count("\n") <= 150


def test_it_holds_no_measured_figure():
    """They are in the tables of the documentation, which are generated."""
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    prose = re.sub(r"!\[[^\]]*\]\([^)]*\)|`[^`]*`", "", prose)
    assert re.findall(r"\d+[.,]\d+", prose) == ["3.11", "2.0"]


def test_its_versions_are_those_of_the_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = config["options"]["install_requires"]
    python = config["options"]["python_requires"].removeprefix(">=")
    assert f"Python {python} or newer" in TEXT and f"Python {python}+" in TEXT
    tensorflow = re.search(r"^tensorflow>=([\d.]+)$", needed, re.M)[1]
    assert f"TensorFlow {tensorflow}+" in TEXT


def test_it_says_when_to_take_each_layer():
    table = TEXT.split("## Which layer when")[1].split("\n## ")[0]
    names = {name for name in tg.layers.__all__ if hasattr(tg, name)}
    names -= {"SamplingScope", "ScoreFunctionCost"}  # Not to be chosen first.
    missing = sorted(name for name in names if f"`{name}" not in table)
    assert not missing
    for name in re.findall(r"`(\w+)[(`]", table):
        assert hasattr(tg, name), name
