"""What goes into saved files, and what may come out of them."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

# Keras 3.12 to 3.15 have no public way to ask for it.
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.utils.python_utils import is_default


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
    # Keras 3.12 to 3.15 define their functions under `keras.src`.
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


def initializer(name: str, value: Any) -> keras.initializers.Initializer:
    """Returns the initializer that Keras knows by this name or config."""
    found = keras.initializers.get(value)
    return admitted(name, found, (keras.initializers.Initializer,))


def register(known: dict[str, Any], name: str, cls: Any, base: type) -> None:
    """Makes a subclass of `base` known by name, and serialisable with Keras.

    In files the name of the base follows its own.
    """
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(
            f"Only subclasses of `{base.__name__}` can be registered. "
            f"Received: {cls!r}"
        )
    taken = known.get(name)
    if taken is not None and taken.__qualname__ != cls.__qualname__:
        raise ValueError(
            f"The name {name!r} is taken by {taken.__module__}."
            f"{taken.__qualname__}. Received: {cls!r}"
        )
    known[name] = cls
    keras.saving.register_keras_serializable(
        package="tfgumbel", name=f"{name}_{base.__name__.lower()}"
    )(cls)


def increase(variable: keras.Variable, amount: Any) -> None:
    """Adds to a variable, in one operation, unless the call is made again.

    Keras's own `assign_add` reads the variable, adds, and assigns.
    """
    if is_tried() or is_rematerialised():
        return
    if in_stateless_scope():
        variable.assign_add(amount)
    else:
        variable.value.assign_add(amount)


_RNN = os.path.join("backend", "tensorflow", "rnn.py")
_TRIALS = (
    "RNN._maybe_config_dropout_masks",
    "map.<locals>.get_fn_output_signature",
)


def frames() -> Iterator[types.FrameType]:
    """Those of the functions being executed, innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_tried() -> bool:
    """Whether Keras calls for shapes alone, and makes no use of the result.

    Nothing may move by that. Its RNN calls cells that are stacked, once in a
    step, to know what dropout masks they need; the cell of a loop, and what
    `keras.ops.map` maps, once outside the loop (Keras 3.12 to 3.15).
    """
    inside = False
    for frame in frames():
        code = frame.f_code
        if code is counted.__code__:
            return False
        if code.co_qualname in _TRIALS:
            return True
        if code.co_qualname == "rnn.<locals>._step":
            inside = True
        if code.co_qualname == "rnn" and code.co_filename.endswith(_RNN):
            if not (inside or frame.f_locals["unroll"]):
                return True
            inside = False
    return False


def running_nodes() -> list[Any]:
    """The nodes of functional models that Keras runs now, outermost first."""
    nodes = [
        frame.f_locals["node"]
        for frame in frames()
        # Of Keras 3.12 to 3.15, which say so nowhere else.
        if frame.f_code.co_qualname == "Function._run_through_graph"
    ]
    return nodes[::-1]


def is_masked_step() -> bool:
    """Whether a cell is called in an RNN with a mask, which cells do not see.

    What counts there, counts in masked steps too (Keras 3.12 to 3.15).
    """
    for frame in frames():
        code = frame.f_code
        if code is counted.__code__:
            return False
        if code.co_qualname == "rnn" and code.co_filename.endswith(_RNN):
            if frame.f_locals["mask"] is not None:
                return True
    return False


def is_rematerialised() -> bool:
    """Whether `tf.recompute_grad` calls, which calls again for the gradient.

    State moves in the second call: it must begin where the first one did. In a
    step of `evaluate` or `predict` there is no other.
    """
    return is_called_by("recompute_grad.<locals>.inner") and not is_called_by(
        "test_step", "predict_step"
    )


def is_called_by(*names: str) -> bool:
    """Whether a function of such a name is among those being executed."""
    return any(
        frame.f_code.co_name in names or frame.f_code.co_qualname in names
        for frame in frames()
    )


def build(layer: keras.layers.Layer, shape: Any) -> None:
    """Builds a layer, one that only its `call` can build, too."""
    if is_default(layer.build):
        layer(keras.tree.map_shape_structure(keras.KerasTensor, shape))
    else:
        layer.build(shape)


def counted(call: Callable[[], Any]) -> Any:
    """Calls a function whose effects count even where Keras only tries."""
    return call()


class StatefulLayer(keras.layers.Layer):
    """A layer with state that is saved with it and is none of its weights.

    What noise has been drawn and what a schedule has reached are state, as a
    `keras.random.SeedGenerator` is: in `variables`, not in `weights`. So
    `get_weights` and `set_weights`, target networks, averages of weights and
    `EarlyStopping(restore_best_weights=True)` leave it alone. Unlike Keras's
    generators, `.keras` files, weights files and `tf.train.Checkpoint` keep it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Keras's tracker looks into lists and dicts, not into other objects.
        self._state = types.SimpleNamespace()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; raises for tensors that Keras cannot take."""
        for value in keras.tree.flatten((args, kwargs)):
            if getattr(getattr(value, "shape", ()), "rank", 0) is None:
                raise ValueError(
                    f"Layer {self.name!r} needs inputs of known rank; their "
                    "sizes may be unknown. Say the rank first, as in "
                    "`tf.ensure_shape(logits, [None, None])`, or `[None]` for "
                    "costs. "
                    f"Received: {value!r}"
                )
            if type(value).__module__.startswith("tf_keras."):
                raise TypeError(
                    f"Layer {self.name!r} is a layer of Keras 3 and has no "
                    "place in a model of tf_keras, where its gradient and its "
                    "losses would be lost. Build the model with `import keras` "
                    "(and without TF_USE_LEGACY_KERAS). "
                    f"Received: {value!r}"
                )
        return super().__call__(*args, **kwargs)

    def add_state(
        self, name: str, value: Any, dtype: str = "float32"
    ) -> keras.Variable:
        """Returns a new variable that is saved and is not a weight.

        A layer must not hold it in an attribute of its own, where Keras would
        take it for a weight: `state(name)` returns it.

        Args:
            name: Its name in files, unique in the layer.
            value: What it starts from.
            dtype: Its type.
        """
        variable = self._new_variable(name, np.asarray(value, dtype), dtype)
        setattr(self._state, name, variable)
        # tf.train.Checkpoint finds a TensorFlow variable in an attribute, to
        # which Keras pays no attention.
        setattr(self, f"_{name}_variable", variable.value)
        return variable

    def _new_variable(
        self, name: str, value: np.ndarray, dtype: str
    ) -> keras.Variable:
        try:
            with keras.name_scope(self.name, caller=self):
                return keras.Variable(
                    keras.initializers.Constant(value),
                    shape=value.shape,
                    dtype=dtype,
                    trainable=False,
                    autocast=False,
                    aggregation="none",
                    name=name,
                )
        except ValueError as error:
            if "singleton tf.Variables" not in str(error):
                raise
            raise ValueError(
                f"Layer {self.name!r} is made inside a `tf.function` that runs "
                "again and again, as in the `call` of a model or layer, in a "
                "`Lambda` or in a `train_step`: each time it would begin its "
                "noise anew. Make it once, in `__init__`, and call it there."
            ) from error

    def state(self, name: str) -> keras.Variable:
        """Returns the variable that `add_state` made under this name."""
        return getattr(self._state, name)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state."""
        state = vars(self._state).values() if hasattr(self, "_state") else ()
        return [*super().variables, *state]

    def save_own_variables(self, store: Any) -> None:
        """Saves the weights by number, as Keras does, and the state by name."""
        super().save_own_variables(store)
        for name, variable in vars(self._state).items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Loads the weights, and what there is of the state.

        A file may come from the same model with another layer in this place,
        such as a softmax: what this layer does not know is not looked at, and
        state that is missing keeps its value.
        """
        keys = set(store.keys())
        for name, variable in vars(self._state).items():
            if name in keys:
                variable.assign(store[name])
        own = {key: store[key] for key in keys if key.isdigit()}
        has_weights = self._trainable_variables or self._non_trainable_variables
        if has_weights or (own and not self.built):
            super().load_own_variables(own)
