"""Random configurations, valid and not: a finite result, or a clear error.

Two thousand in the exhaustive tests; TFGUMBEL_CONFIGURATIONS=10000 asks for
more.
"""

import os
import pathlib
import re
import traceback

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tfgumbel
from tests.helpers.configurations import SUBJECTS, floating

PACKAGE = pathlib.Path(tfgumbel.__file__).parent
TOTAL = int(os.environ.get("TFGUMBEL_CONFIGURATIONS", 2000))


@st.composite
def configurations(draw, pools):
    """A value for each argument, of which up to two are odd."""
    with_odd = sorted(name for name, pool in pools.items() if pool.odd)
    odd = draw(st.sets(st.sampled_from(with_odd), max_size=2))
    return {
        name: draw(st.sampled_from(pool.odd if name in odd else pool.usual))
        for name, pool in pools.items()
    }


def assert_ours(error):
    """It was raised in this package, and names an argument."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert PACKAGE in pathlib.Path(last.filename).parents, last
    assert re.search(r"Received: |`\w+`", str(error)), error


def assert_finite(tensors):
    for value in floating(tensors):
        assert np.all(np.isfinite(tf.cast(value, tf.float64))), value


def check(subject, arguments, seed):
    random = np.random.default_rng(seed)
    try:
        tensors = subject.run(random, **arguments)
    except (TypeError, ValueError) as error:
        assert_ours(error)
    else:
        assert_finite(tensors)


def searched(name, count):
    subject = SUBJECTS[name]

    @hypothesis.given(configurations(subject.pools), st.integers(0, 2**31 - 1))
    @hypothesis.settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def search(arguments, seed):
        check(subject, arguments, seed)

    search()


every_subject = pytest.mark.parametrize("name", SUBJECTS)


@pytest.mark.full
@every_subject
def test_configurations(name):
    searched(name, 5)


@pytest.mark.exhaustive
@every_subject
def test_many_configurations(name):
    searched(name, -(-TOTAL // len(SUBJECTS)))
