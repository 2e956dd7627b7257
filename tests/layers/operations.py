"""Counts the operations that a layer runs in a graph, forward and backward.

Counted is what TensorFlow's executor is given: the nodes of the graph after
Grappler's and all other passes, for a batch of unknown size, except those that
compute nothing. `python -m tests.layers.operations` records the counts of all
rows of `tests/helpers/cases.py` and of a training step of two models in
`operations.json`, which `test_operations.py` holds the layers to.
"""

import collections
import json
import pathlib
import sys

import keras
import tensorflow as tf

# TensorFlow 2.20 and 2.21 have no public way to see the optimised graph.
from tensorflow.python.eager import context

import tfgumbel as tg
from tests.helpers.cases import LAYERS
from tests.layers.calls import ZERO, floating, tensors, training_values

TABLE = pathlib.Path(__file__).with_suffix(".json")
VERSION = ".".join(tf.__version__.split(".")[:2])
# What passes a tensor on, or makes none.
IDLE = {"Const", "Identity", "NoOp", "StopGradient", "_Arg", "_Retval"}


def optimised(function, arguments, signature):
    """The graphs that run, as passes have left them."""
    concrete = function.get_concrete_function(*signature)
    context.enable_run_metadata()
    context.export_run_metadata()  # forgets what ran before
    try:
        concrete(*arguments)
        found = context.export_run_metadata()
    finally:
        context.disable_run_metadata()
    return [parts.post_optimization_graph for parts in found.function_graphs]


def executed(function, arguments, signature):
    """How often each kind of operation stands in the optimised graph."""
    graphs = [
        collections.Counter(node.op for node in parts.node)
        + collections.Counter(
            node.op for each in parts.library.function for node in each.node_def
        )
        for parts in optimised(function, arguments, signature)
    ]
    # There may be others, of eager operations.
    largest = max(graphs, key=lambda graph: graph.total())
    return {op: n for op, n in sorted(largest.items()) if op not in IDLE}


def of_unknown_batch(structure):
    """Specifications of the tensors, the first axis of each left open."""

    def open_first(tensor):
        first = [None] if tensor.shape.rank else []
        return tf.TensorSpec([*first, *tensor.shape[1:]], tensor.dtype)

    return tf.nest.map_structure(open_first, structure)


def of_layer(case):
    """The operations of a training call, and with those of its gradient.

    A sampler that waits for costs is given some, and weights.
    """
    layer, inputs = case.make(), tensors(case.inputs)
    training_values(layer, inputs)

    def forward(inputs, cost):
        with tg.layers.CostCollector() as collector:
            outputs = tf.nest.flatten(layer(*inputs, training=True))
        losses = [draw.surrogate(cost, cost) for draw in collector.draws]
        return [*outputs, *layer.losses, *losses]

    def with_gradient(inputs, cost, upstream):
        with tf.GradientTape() as tape:
            tape.watch(floating(inputs))
            values = forward(inputs, cost)
        sources = [*floating(inputs), *weights]
        return values, tape.gradient(
            values, sources, upstream, unconnected_gradients=ZERO
        )

    weights = [weight.value for weight in layer.trainable_variables]
    arguments = [inputs, tf.ones([tf.nest.flatten(inputs)[0].shape[0]])]
    upstream = [tf.ones_like(value) for value in forward(*arguments)]
    both = [*arguments, upstream]
    return {
        name: executed(
            tf.function(function, autograph=False),
            given,
            of_unknown_batch(given),
        )
        for name, function, given in (
            ("forward", forward, arguments),
            ("training", with_gradient, both),
        )
    }


def vae(name):
    """A small model with the layer, and with a divergence."""
    x = keras.Input((6,))
    h = keras.layers.Dense(8)(x)
    if name == "GumbelSoftmax":
        h = tg.CategoricalKL()(keras.layers.Reshape((2, 4))(h))
        h = keras.layers.Reshape((8,))(tg.GumbelSoftmax()(h))
        kind = keras.Model
    else:
        sampler = tg.ReinforceSampler("bernoulli", baseline="nvil")
        h = sampler(tg.BernoulliKL()(h), context=x)
        kind = tg.StochasticModel
    model = kind(x, keras.layers.Dense(6)(h))
    model.compile("sgd", "mse", jit_compile=False)
    return model


def of_step(name):
    """The operations of a training step of the model."""
    model = vae(name)
    batch = tf.ones([4, 6])
    model.train_on_batch(batch, batch)
    step = tf.function(lambda x: model.train_step((x, x)), autograph=False)
    return executed(step, [batch], of_unknown_batch([batch]))


STEPS = ("GumbelSoftmax", "ReinforceSampler")


def counts():
    """The table: numbers of operations, by row and by model."""
    rows = {}
    for case in LAYERS:
        rows[case.id] = {
            name: sum(found.values()) for name, found in of_layer(case).items()
        }
        print(case.id, rows[case.id], flush=True)
    steps = {name: sum(of_step(name).values()) for name in STEPS}
    return {"tensorflow": VERSION, "layers": rows, "steps": steps}


if __name__ == "__main__":
    if sys.argv[1:]:
        for case in LAYERS:
            if case.id in sys.argv[1:]:
                for name, found in of_layer(case).items():
                    print(case.id, name, sum(found.values()), found)
        for name in set(sys.argv[1:]) & set(STEPS):
            print(name, of_step(name))
    else:
        TABLE.write_text(json.dumps(counts(), indent=1) + "\n")
