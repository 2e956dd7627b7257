"""Runs the examples in the docstrings of every module."""

import ast
import doctest
import importlib
import pathlib
import pkgutil
import re
import textwrap

import keras
import numpy as np
import pytest

import tfgumbel
from tests.helpers import registers

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


PACKAGE = pathlib.Path(tfgumbel.__file__).parent
FENCED = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def fenced():
    """Blocks that are no doctests, by module and the name they document."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                for block in FENCED.findall(text):
                    yield getattr(node, "name", path.stem), block


FENCED_BLOCKS = list(fenced())


def names_of_a_reader():
    """What the blocks take for granted: imports, data, a small model."""
    data = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    inputs = keras.Input((4,))
    code = tfgumbel.GumbelSoftmax()(
        keras.layers.Dense(6, name="encoder")(inputs)
    )
    model = keras.Model(inputs, keras.layers.Dense(4)(code))
    model.compile("adam", loss="mse")
    names = {"keras": keras, "np": np, "tg": tfgumbel, "model": model}
    return {"__name__": "docs", "x": data, "y": data, **names}


def names_of_a_code():
    """Of `CodePerplexity`: a model with a code and an image."""
    x = keras.Input((4,))
    code = tfgumbel.GumbelSoftmax()(x)
    image = keras.layers.Dense(4)(code)
    images = np.zeros((8, 4), "float32")
    found = {"x": x, "code": code, "image": image, "images": images}
    return {**names_of_a_reader(), **found}


def names_of_a_cost():
    """Of `MeanCost`: a model that puts out its cost."""
    x = keras.Input((4,))
    cost = keras.ops.mean(keras.layers.Dense(4)(x), axis=-1)
    return {**names_of_a_reader(), "model": keras.Model(x, cost)}


def names_of_a_bound():
    """Of `LogMarginalLikelihood`: a code of three bits and its cost."""
    x = keras.Input((4,))
    logits = keras.layers.Dense(3)(x)
    layer = tfgumbel.ExpectedCost(
        lambda z, x: keras.ops.sum(z, axis=-1) + keras.ops.sum(x * x, axis=-1),
        tfgumbel.estimators.VIMCO("bernoulli", samples=2),
    )
    found = {"logits": logits, "layer": layer, "x_test": np.ones((8, 4), "f")}
    expected = {"x": x, "expected_cost": layer(logits, x)}
    return {**names_of_a_reader(), **found, **expected}


BEFORE = {
    "CodePerplexity": names_of_a_code,
    "LogMarginalLikelihood": names_of_a_bound,
    "MeanCost": names_of_a_cost,
}


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "block"), FENCED_BLOCKS, ids=[name for name, _ in FENCED_BLOCKS]
)
def test_a_block_of_a_docstring_runs(name, block):
    with registers.unchanged():
        names = BEFORE.get(name, names_of_a_reader)()
        exec(compile(textwrap.dedent(block), name, "exec"), names)
    history = getattr(names["model"], "history", None)
    assert ".fit(" not in block or history.epoch == [0]


def test_blocks_of_docstrings_are_found():
    assert len(FENCED_BLOCKS) >= 7
    for name in BEFORE:
        assert name in dict(FENCED_BLOCKS)
