"""Objects that come out of a saved file, whoever wrote it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras


def deserialize(
    name: str,
    config: dict[str, Any],
    kinds: tuple[type, ...],
    functions: Sequence[str] = (),
) -> Any:
    """Returns the object that `config` describes, if it may stand there.

    Keras finds what is registered with it, and its own public names: no other
    module is imported, and no lambda is loaded in safe mode.

    Args:
        name: Argument that the object is for.
        config: As from `keras.saving.serialize_keras_object`.
        kinds: Classes of Keras whose instances may stand there.
        functions: Names in `keras` of modules whose functions may.

    Raises:
        ValueError: If it is anything else of Keras's own, a lambda in safe
            mode, or a name that may not be loaded.
        TypeError: If Keras knows no such class or function.
    """
    value = keras.saving.deserialize_keras_object(config)
    return admitted(name, value, kinds, functions)


def admitted(
    name: str,
    value: Any,
    kinds: tuple[type, ...],
    functions: Sequence[str] = (),
) -> Any:
    """Returns `value` if it may stand there, as in `deserialize`.

    Among Keras's public names are functions that fetch files: of its own only
    what is asked for is let through.
    """
    if isinstance(value, kinds):
        return value
    callee = value if inspect.isroutine(value) else type(value)
    module = getattr(callee, "__module__", None) or ""
    if module.split(".")[0] != "keras":
        return value
    homes = tuple(f"keras.src.{home}." for home in functions)
    if inspect.isroutine(value) and f"{module}.".startswith(homes):
        return value
    wanted = [f"a `{kind.__name__}`" for kind in kinds]
    wanted += [f"a function of `keras.{home}`" for home in functions]
    raise ValueError(
        f"Argument `{name}` must, where it is loaded from a config, be "
        f"{', '.join(wanted)} or a registered object. "
        f"Received: {module}.{getattr(callee, '__qualname__', callee)}"
    )
