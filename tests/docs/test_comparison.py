"""The page that compares with other packages names what they have."""

import importlib
import re

import pytest

import tfgumbel
from tests.docs import pages

TEXT = (pages.DOCS / "comparison.md").read_text(encoding="utf-8")
PREFIXES = {
    "tg": "tfgumbel",
    "tfd": "tensorflow_probability.python.distributions",
    "tfp": "tensorflow_probability",
    "td": "torch.distributions",
    "F": "torch.nn.functional",
    "pd": "pyro.distributions",
    "pi": "pyro.infer",
    "rd": "relaxit.distributions",
    "storch": "storch",
    "vq": "vector_quantize_pytorch",
}
NAMES = sorted(set(re.findall(r"`(\w+)\.([\w.]+)", TEXT)))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_it_names_is_there(prefix):
    if prefix in ("tg", "tfd", "tfp"):
        found = importlib.import_module(PREFIXES[prefix])
    else:
        found = pytest.importorskip(PREFIXES[prefix])
    names = [name for first, name in NAMES if first == prefix]
    assert names
    for name in names:
        if prefix == "tfp" and name == "layers":
            continue  # Not without Keras 2.
        value = found
        for part in name.split("."):
            value = getattr(value, part)


def test_our_estimators_are_ours():
    columns = [line.split("|")[2] for line in TEXT.splitlines() if "| " in line]
    named = {
        name
        for column in columns
        for name in re.findall(r"`([a-z_]+)`", column)
    }
    named.remove("fit")
    assert len(named) > 10
    assert named <= set(tfgumbel.estimators.available())


def test_every_column_of_the_table_is_full():
    lines = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8 + 1}
