"""Samples of a model from a seed that the caller gives."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import tensorflow as tf

from tfgumbel import _checks, random
from tfgumbel.layers import _graphs

_local = threading.local()
_LOOPS = ("WhileBodyFuncGraph", "WhileCondFuncGraph")


class SamplingScope:
    """Makes layers sample, from a given seed.

    Inside the scope a layer that does not train returns an exact sample,
    whatever its `inference` says. With a `seed`, every layer draws its noise
    from it, each call in the scope other noise, and the layers' own seed
    states stay as they are: the same seed gives the same samples, in a
    SavedModel too. The model, and what it does outside, is unchanged.

    Open the scope in the function that is traced or exported, around the call
    of the model; under `tf.distribute`, in the function that a replica runs.
    `model.predict`, or a `tf.function`, that was traced outside stays what it
    was: a scope that no layer has asked warns when it closes.

    Args:
        seed: An integer, an integer scalar tensor, or an integer tensor of
            shape `[2]`; `None` for the layers' own seeds.
        inference: `"sample"`; `"mode"` (or, where a distribution has none,
            its mean or median); or `None` for the `inference` of each layer.

    Raises:
        ValueError: If the seed has another shape; when a layer is called
            inside a `tf.function` around which the scope was opened, for it
            would keep the scope ever after; or when it draws inside a
            `tf.while_loop` around which it was opened, whose steps would
            share their noise.
        TypeError: If the seed is no integer.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer, logits = tg.GumbelSoftmax(), np.zeros((2, 3), "float32")
    >>> with tg.SamplingScope(seed=1):
    ...     z = layer(logits)
    >>> with tg.SamplingScope(seed=1):
    ...     again = layer(logits)
    >>> np.array_equal(z, again)
    True
    """

    def __init__(self, seed: Any = None, inference: str | None = "sample"):
        self.seed = None if seed is None else _pair(seed)
        self.inference = _checks.choice(
            "inference", inference, ("sample", "mode", None)
        )
        self._draws = 0
        self._asked = False
        self._graph: Any = None

    def __enter__(self) -> SamplingScope:
        self._draws = 0
        self._asked = False
        self._graph = _graphs.current()
        _stack().append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _stack().pop()
        if not self._asked and exception[0] is None:
            warnings.warn(
                "A SamplingScope closed without a layer having been called in "
                "it, so that it changed nothing. A `tf.function` that was "
                "traced before, as `predict` and `evaluate` keep one, does not "
                "see the scope: open it inside the function.",
                stacklevel=2,
            )

    def next_seed(self) -> tf.Tensor:
        """Returns the seed of this draw, another one than of the last."""
        if any(type(graph).__name__ in _LOOPS for graph in self._path()):
            raise ValueError(
                "A layer draws inside a `tf.while_loop` (that of an RNN, "
                "or `tf.map_fn`, for instance) around which a "
                "SamplingScope was opened: every step would draw the same "
                "noise. Open the scope inside the loop, with a seed for each "
                "step"
            )
        self._draws += 1
        return random.numbered(self.seed, self._draws)

    def _path(self) -> list[Any]:
        """The graphs between this call and where the scope was opened."""
        path, graph = [], _graphs.current()
        while graph is not self._graph:
            if graph is None or self._graph is None:
                raise ValueError(
                    "A SamplingScope was opened outside the `tf.function` in "
                    "which a layer is called (`predict`, `evaluate` and `fit` "
                    "make one), which would keep it ever after. Open the "
                    "scope inside the function"
                )
            path.append(graph)
            graph = getattr(graph, "outer_graph", None)
        if any(type(inner).__name__ == "FuncGraph" for inner in path):
            raise ValueError(
                "A layer is called inside a `tf.function` of its own, within "
                "the one in which a SamplingScope was opened. It would be "
                "traced with this scope, and keep it for later calls. Open the "
                "scope inside the inner function, or call the layer without it"
            )
        return path


def current() -> SamplingScope | None:
    """Returns the innermost scope of this thread, checked, if any."""
    if not _stack():
        return None
    for outer in _stack():
        outer._asked = True
    scope = _stack()[-1]
    scope._path()
    return scope


def _stack() -> list[SamplingScope]:
    if not hasattr(_local, "stack"):
        _local.stack = []
    return _local.stack


def _pair(seed: Any) -> tf.Tensor:
    """The seed as an int64 tensor of shape `[2]`."""
    tensor = tf.convert_to_tensor(seed)
    if not tensor.dtype.is_integer:
        raise TypeError(
            "Argument `seed` must be an integer, or an integer tensor. "
            f"Received: seed={seed!r}"
        )
    if tensor.shape.rank == 0:
        return tf.stack([tf.cast(tensor, tf.int64), tf.zeros([], tf.int64)])
    if tensor.shape != [2]:
        raise ValueError(
            "Argument `seed` must be a scalar or of shape [2]. "
            f"Received: seed of shape {tensor.shape}"
        )
    return tf.cast(tensor, tf.int64)
