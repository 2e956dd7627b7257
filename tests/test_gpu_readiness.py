"""Forward and backward graphs have kernels for GPUs, alone and under XLA.

TensorFlow registers its GPU kernels on machines without one, too. What is
looked up is every op of a training call and its gradients, with the dtypes it
has there.
"""

import functools

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from tests.helpers.cases import estimator_cases, is_variant, layer_cases
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    build,
    gradients,
    repeated,
)
from tests.layers.calls import differentiated, tensors, training_values

# Not run on a device: what feeds a graph, and functions around others.
STRUCTURE = {"Placeholder"}
# Rejection samplers of TensorFlow, and why they are here.
CPU_ONLY = {
    "StatelessRandomBinomial": "binomial noise, a CPU kernel only",
    "StatelessRandomPoisson": "Poisson noise, a CPU kernel only",
}


@pytest.fixture(scope="module", autouse=True)
def xla_kernels():
    """XLA registers its kernels when it first compiles."""
    tf.function(tf.identity, jit_compile=True)(tf.zeros([1]))


@functools.cache
def registered(op):
    return kernels.get_registered_kernels_for_op(op).kernel


def fits(kernel, node):
    return all(
        node.attr[constraint.name].type in constraint.allowed_values.list.type
        for constraint in kernel.constraint
        if node.attr[constraint.name].WhichOneof("value") == "type"
    )


def runs_on(node, devices):
    return any(
        kernel.device_type in devices and fits(kernel, node)
        for kernel in registered(node.op)
    )


def nodes(function, arguments):
    graph = tf.function(function, autograph=False)
    graph = graph.get_concrete_function(*arguments).graph.as_graph_def()
    functions = {f.signature.name for f in graph.library.function}
    every = [*graph.node]
    every += [n for f in graph.library.function for n in f.node_def]
    return [n for n in every if n.op not in functions | STRUCTURE]


def assert_runs_on_gpus(found):
    assert found
    missing = {
        node.op
        for node in found
        if not runs_on(node, {"GPU", "DEFAULT"}) and node.op not in CPU_ONLY
    }
    assert not missing, f"no GPU kernel: {missing}"
    missing = {
        node.op
        for node in found
        if not runs_on(node, {"XLA_GPU_JIT"}) and node.op not in CPU_ONLY
    }
    assert not missing, f"no kernel for XLA on GPUs: {missing}"


@layer_cases(slow=lambda case: True, exhaustive=is_variant)
def test_layers(case):
    layer = case.make()
    inputs = tensors(case.inputs)
    layer(*inputs)

    def train(inputs):
        return differentiated(lambda i: training_values(layer, i), inputs)

    assert_runs_on_gpus(nodes(train, [inputs]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "law"), **estimator_cases(lambda case: case.id == case.name)
)
def test_estimators(case, law):
    estimator = case.make(law)
    logits = repeated(LOGITS[law], 3)
    w = repeated(WEIGHTS[law], 3)
    build(estimator, logits)

    def train(logits, w, seed):
        return gradients(estimator, COSTS["quadratic"], logits, w, seed)

    seed = tf.constant([1, 2], tf.int64)
    assert_runs_on_gpus(nodes(train, [logits, w, seed]))


def test_an_op_without_a_kernel_is_seen():
    found = nodes(lambda rate: tf.random.poisson([2], rate), [tf.ones([])])
    with pytest.raises(AssertionError, match="no GPU kernel: .*Poisson"):
        assert_runs_on_gpus(found)
