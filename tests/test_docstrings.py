"""Runs the examples in the docstrings of every module."""

import doctest
import importlib
import pkgutil

import pytest

import tfgumbel
from tests import registers

MODULES = ["tfgumbel"] + [
    module.name
    for module in pkgutil.walk_packages(tfgumbel.__path__, "tfgumbel.")
    if not module.name.endswith("__main__")
]


@pytest.mark.core
@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings_run(name):
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    with registers.unchanged():
        failed, _ = doctest.testmod(module, optionflags=flags)
    assert failed == 0


def test_there_are_examples():
    examples = doctest.DocTestFinder().find(tfgumbel.ops.gumbel_softmax)
    assert sum(len(test.examples) for test in examples) == 2
    assert len(MODULES) > 10
