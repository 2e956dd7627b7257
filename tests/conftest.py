"""Devices, execution modes and a clean Keras state for every test."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Workers side by side share a GPU, if there is one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import pytest
import tensorflow as tf

LOGICAL_CPUS = 4
# As in pyproject.toml.
BY_DEFAULT = "not full and not slow and not exhaustive"

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * LOGICAL_CPUS,
)
# One core for each xdist worker; replicas still need threads of their own.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(LOGICAL_CPUS)

MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}

# A graph runs the kernels of eager mode: where only numbers are at stake, one
# of the two is enough. Many samples are cheaper in a graph, small ops eagerly.
graph_and_xla = pytest.mark.parametrize(
    "compiled", ["graph", "xla"], indirect=True
)
eager_and_xla = pytest.mark.parametrize(
    "compiled", ["eager", "xla"], indirect=True
)
eager_and_slow_xla = pytest.mark.parametrize(
    "compiled",
    ["eager", pytest.param("xla", marks=pytest.mark.slow)],
    indirect=True,
)


def _subject(item):
    """What a case is a case of: a test, or one of a `core` test's subjects."""
    test = item.nodeid.partition("[")[0]
    if item.get_closest_marker("core") is None:
        return test
    case = item.callspec.params.get("case")
    if case is None:
        return item.nodeid
    return test, case.id.partition("-")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leaves the first case of every test to the run without arguments.

    Whoever names a file or a test gets all of its cases.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        if config.option.markexpr == BY_DEFAULT:
            config.option.markexpr = BY_DEFAULT.replace("not full and ", "")
        return
    seen = set()
    for item in items:
        if any(map(item.get_closest_marker, ("slow", "exhaustive", "full"))):
            continue
        subject = _subject(item)
        if subject in seen:
            item.add_marker("full")
        seen.add(subject)


@pytest.fixture(
    params=[
        pytest.param(mode, marks=[pytest.mark.slow] if mode == "xla" else [])
        for mode in MODES
    ]
)
def compiled(request):
    """A decorator that makes a function run eagerly, in a graph, in XLA."""
    return MODES[request.param]


@pytest.fixture(scope="session")
def strategy():
    """A MirroredStrategy of two replicas, on two logical CPUs.

    One for the process: a second one would reuse the keys of the first one's
    collective ops, and TensorFlow aborts where their shapes differ.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def four_replicas():
    """A MirroredStrategy of four replicas, which uses no collective ops."""
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(LOGICAL_CPUS)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


@pytest.fixture(scope="module", autouse=True)
def literal_seed_of_a_module():
    """What the fixtures of a module draw does not depend on what ran before."""
    keras.utils.set_random_seed(20)


@pytest.fixture(autouse=True)
def literal_seed():
    """Weights and seeds that a test leaves to Keras are the same each time."""
    keras.utils.set_random_seed(21)


@pytest.fixture(autouse=True)
def float32_policy():
    """Puts the dtype policy back, whatever a test made of it."""
    yield
    keras.config.set_dtype_policy("float32")
