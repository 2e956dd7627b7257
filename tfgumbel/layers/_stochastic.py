"""What every layer that draws noise has in common: a seed state."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, random
from tfgumbel.layers import sampling_scope
from tfgumbel.layers._called_once import CalledOnce

CATEGORICAL_INFERENCE = ("mode", "sample", "mean", "relaxed")


class StochasticLayer(CalledOnce):
    """A layer that draws noise, reproducibly, and remembers where it stands.

    The seed state is a weight `[seed, number of draws]`: it is saved, loaded
    and checkpointed with the others, so that a resumed run draws on instead
    of repeating its noise. Inputs keep their precision (`autocast=False`);
    the result has the layer's compute dtype.

    Args:
        seed: An integer, or `None` for one from Python's random generator,
            which `keras.utils.set_random_seed` makes reproducible.
        **kwargs: As in `keras.layers.Layer`.
    """

    inference: str

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        if seed is not None and (
            isinstance(seed, bool) or not isinstance(seed, (int, np.integer))
        ):
            raise TypeError(
                "Argument `seed` must be an integer or None. "
                f"Received: seed={seed!r}"
            )
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise ValueError(
                "Argument `seed` must be an integer of at most 64 bits. "
                f"Received: seed={seed!r}"
            )
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.supports_masking = True
        self.seed = None if seed is None else int(seed)
        first = random.default_seed() if seed is None else int(seed)
        self.seed_state = self.add_weight(
            shape=(2,),
            initializer=lambda shape, dtype: tf.constant([first, 0], dtype),
            trainable=False,
            dtype="int64",
            autocast=False,
            aggregation="only_first_replica",
            name="seed_state",
        )

    @property
    def _mode(self) -> str:
        """What a call that does not train returns.

        The layer's `inference`, save in a `SamplingScope`.
        """
        scope = sampling_scope.current()
        if scope is None or scope.inference is None:
            return self.inference
        return scope.inference

    def next_seed(self) -> tf.Tensor:
        """Returns a fresh seed for this call, different on each replica.

        Raises:
            ValueError: Inside `tf.recompute_grad`: to call the layer again is
                to draw again, and the gradient would be that of other noise.
        """
        if _is_rematerialised():
            raise ValueError(
                f"Layer {self.name!r} draws noise inside a model that is "
                "rematerialised as a whole (`keras.RematScope('full')` around "
                "the model's construction, or `tf.recompute_grad`): its "
                "backward pass would draw other noise. Open the scope around "
                "the layers to recompute, or give it their names with "
                "mode='list_of_layers'"
            )
        scope = sampling_scope.current()
        if scope is not None and scope.seed is not None:
            return random.replica_seed(scope.next_seed())
        state = tf.convert_to_tensor(self.seed_state)
        self.seed_state.assign(state + tf.constant([0, 1], tf.int64))
        return random.replica_seed(state)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def _is_rematerialised() -> bool:
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_qualname == "recompute_grad.<locals>.inner":
            return True
        frame = frame.f_back
    return False


class CategoricalLayer(StochasticLayer):
    """A layer from categorical logits to a sample of the same shape.

    Args:
        axis: Axis of the categories.
        inference: What `training=False` returns.
        **kwargs: As in `StochasticLayer`.
    """

    inference_modes: tuple[str, ...] = CATEGORICAL_INFERENCE

    def __init__(
        self, axis: int = -1, inference: str = "mode", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = _checks.axis(axis, None)
        self.inference = _checks.choice(
            "inference", inference, self.inference_modes
        )

    def build(self, logits_shape: Any) -> None:
        """Checks the shape of the logits."""
        _checks.categorical_shape(logits_shape, self.axis)
        self.built = True

    def compute_output_spec(
        self, logits: Any, category_mask: Any = None, training: Any = None
    ) -> keras.KerasTensor:
        """Returns the shape of the logits, in the compute dtype."""
        _checks.floating("logits", logits.dtype)
        _checks.categorical_shape(logits.shape, self.axis)
        return keras.KerasTensor(logits.shape, dtype=self.compute_dtype)

    def compute_output_shape(self, logits_shape: Any) -> Any:
        """Returns the shape of the logits."""
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "inference": self.inference,
        }
