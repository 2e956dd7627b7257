"""No layer runs more operations than the table says.

`operations.json` holds the numbers of `operations.py`, and the version of
TensorFlow that they are of: another one's optimiser may leave more or fewer,
and is given a tenth.
"""

import json

import pytest

from tests.helpers.cases import is_variant, layer_cases
from tests.layers import operations

TABLE = json.loads(operations.TABLE.read_text())
SAME_VERSION = TABLE["tensorflow"] == operations.VERSION
RECORD = "`python -m tests.layers.operations` records the numbers."


def assert_no_more(found, recorded):
    """Exactly as many; with another TensorFlow, at most a tenth more."""
    if not SAME_VERSION:
        for name, count in found.items():
            assert count <= 1.1 * recorded[name] + 1, name
        return
    more = {k: v for k, v in found.items() if v > recorded[k]}
    assert not more, f"{more} operations, where the table has {recorded}"
    assert found == recorded, f"Fewer than in the table. {RECORD}"


@layer_cases(exhaustive=is_variant)
def test_a_layer_runs_no_more_operations(case):
    assert case.id in TABLE["layers"], RECORD
    found = operations.of_layer(case)
    counted = {name: sum(kinds.values()) for name, kinds in found.items()}
    assert_no_more(counted, TABLE["layers"][case.id])


@pytest.mark.full
@pytest.mark.parametrize("name", operations.STEPS)
def test_a_training_step_runs_no_more_operations(name):
    counted = sum(operations.of_step(name).values())
    assert_no_more({name: counted}, {name: TABLE["steps"][name]})
