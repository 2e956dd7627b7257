"""Questions to TensorFlow's graphs, and to the loops inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# TensorFlow builds their gradients after that of what is around them.
CONTROL_FLOW = (
    "WhileBodyFuncGraph",
    "WhileCondFuncGraph",
    "CondBranchFuncGraph",
)
# They take the shape of a tensor, and nothing of its value.
_OF_SHAPES = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")


def current() -> Any:
    """The graph that is being built; `None` in eager mode."""
    if tf.executing_eagerly():
        return None
    return tf.compat.v1.get_default_graph()


def once(key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gave for this key when it was first asked in the graph.

    In eager mode what it gives now.
    """
    graph = current()
    if graph is None:
        return make()
    # With the graph: what it holds must not outlive it.
    made = getattr(graph, "_tfgumbel_once", {})
    graph._tfgumbel_once = made
    if key not in made:
        made[key] = make()
    return made[key]


def is_control_flow(graph: Any) -> bool:
    """Whether the graph is the body of a loop or the branch of a condition."""
    return type(graph).__name__ in CONTROL_FLOW


def is_out_of_reach(tensor: Any) -> bool:
    """Whether a tensor is one of a loop that the current graph is not in."""
    graph, inner = current(), getattr(tensor, "graph", None)
    if graph is None or not is_control_flow(inner):
        return False
    while graph is not None and graph is not inner:
        graph = getattr(graph, "outer_graph", None)
    return graph is None


def descends(graph: Any, value: tf.Tensor, sources: Sequence[Any]) -> bool:
    """Whether `value`, of the graph, was computed from one of the tensors.

    A tensor inside a loop stands for the loop.
    """
    wanted = {id(_op_with(graph, source)) for source in sources}
    seen: set[int] = set()
    left = [value.op]
    while left:
        op = left.pop()
        if id(op) in wanted:
            return True
        if id(op) not in seen and op.type not in _OF_SHAPES:
            seen.add(id(op))
            left += [tensor.op for tensor in op.inputs]
    return False


def _op_with(graph: Any, tensor: tf.Tensor) -> Any:
    """The operation of the graph in which a tensor is computed."""
    if tensor.graph is graph:
        return tensor.op
    return op_of(graph, _outermost(graph, tensor.graph))


def _outermost(graph: Any, inner: Any) -> Any:
    """What the graph itself runs, among those that the inner one is in."""
    while inner.outer_graph is not graph:
        inner = inner.outer_graph
    return inner


def leaving(graph: Any, loop: Any) -> list[tf.Tensor]:
    """What a loop hands to the graph that it is in, and has a gradient.

    What it only looks at is not among it, nor are lists of tensors, if there is
    anything else: TensorFlow gives these a gradient with the others.
    """
    body = _outermost(graph, loop)
    read = {id(tensor) for tensor in body.inputs}
    pairs = zip(op_of(graph, body).outputs, body.outputs, strict=False)
    own = [tensor for tensor, inside in pairs if id(inside) not in read]
    lists = [tensor for tensor in own if tensor.dtype == tf.variant]
    return [tensor for tensor in own if tensor.dtype.is_floating] or lists


def op_of(outer: Any, inner: Any) -> Any:
    """The operation of one graph that runs another one; `None` if none."""
    for op in outer.get_operations():
        for value in op.node_def.attr.values():
            functions = [value.func, *value.list.func]
            if any(function.name == inner.name for function in functions):
                return op
    return None


def most_iterations(loop: Any) -> int | None:
    """The number of iterations that a loop was limited to, if known."""
    if loop is None or loop.type not in ("While", "StatelessWhile"):
        return None
    # TensorFlow's loops begin with a counter and its limit, -1 for none.
    limit = loop.inputs[1]
    if limit.op.type == "Max":  # Keras's RNN takes the maximum of one length.
        lengths = tf.get_static_value(limit.op.inputs[0])
        limit = None if lengths is None else np.max(lengths)
    else:
        limit = tf.get_static_value(limit)
    return None if limit is None or limit < 0 else int(limit)
