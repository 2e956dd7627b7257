"""Finds layers that draw the same noise in one model.

Two layers of a class with one integer seed draw alike. That they belong to
one model shows when they draw: in one graph, or, in eager mode, by turns.
Two models that are trained one after the other with the same seed do neither.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import tensorflow as tf

from tfgumbel.layers import _graphs

_lock = threading.Lock()
_drawn: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = (
    weakref.WeakKeyDictionary()
)
_last: dict[Any, list[tuple[Any, int]]] = {}


def find(layer: Any) -> str | None:
    """Takes a draw of `layer`; returns the name of one that draws alike."""
    key = type(layer), layer.seed
    with _lock:
        if tf.executing_eagerly():
            return _in_turns(key, layer)
        return _in_graph(key, layer)


def _in_graph(key: Any, layer: Any) -> str | None:
    graph = _graphs.current()
    while _graphs.is_control_flow(graph):  # two loops are of one model
        graph = graph.outer_graph
    layers = _drawn.setdefault(graph, {})
    first = layers.setdefault(key, weakref.ref(layer))()
    return None if first in (None, layer) else first.name


def _in_turns(key: Any, layer: Any) -> str | None:
    """In eager mode: whether the last draws were a, b, a, b at equal counts."""
    count = int(layer.seed_state[1])
    draws = [*_last.get(key, []), (weakref.ref(layer), count)][-4:]
    _last[key] = draws
    if len(draws) < 4:
        return None
    drawers = [drawer() for drawer, _ in draws]
    counts = [count - draws[0][1] for _, count in draws]
    one, other, *again = drawers
    alike = counts == [0, 0, 1, 1] and one is not other
    return one.name if alike and again == [one, other] and one else None
