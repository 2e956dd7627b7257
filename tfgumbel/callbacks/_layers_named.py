"""Finds the layers that a callback was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def entries(layers: Any) -> list[Any]:
    """What the argument `layers` names: the one, or those of a list."""
    return list(layers) if isinstance(layers, list | tuple) else [layers]


def layers_named(
    entry: str | keras.layers.Layer, layers: Sequence[keras.layers.Layer]
) -> list[keras.layers.Layer]:
    """Returns the one of the layers that is meant, or none.

    The layer itself, or else the one of its name, since tuners copy callbacks
    together with their layers.

    Raises:
        ValueError: If several have the name, as in two models inside one.
    """
    same = [layer for layer in layers if layer is entry]
    if same:
        return same
    name = entry if isinstance(entry, str) else entry.name
    found = [layer for layer in layers if layer.name == name]
    if len(found) > 1:
        raise ValueError(
            f"Argument `layers` names {name!r}, as {len(found)} layers of the "
            "model are called. Give the layers themselves. "
            f"Received: layers of {sorted({layer.name for layer in layers})}"
        )
    return found
