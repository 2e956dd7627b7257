"""A layer that rematerialisation leaves alone."""

from __future__ import annotations

from typing import Any

import keras


class CalledOnce(keras.layers.Layer):
    """A layer whose call may not be repeated in the backward pass.

    Under `keras.RematScope` Keras calls a layer again to compute its
    gradient. That call would draw its noise again and give the gradient of
    another sample, update running statistics twice, and lose the gradient of
    what `add_loss` took the first time. There is little to save: the ops keep
    one tensor each.
    """

    def rematerialized_call(self, layer_call: Any, *args: Any, **kwargs: Any):
        """Returns `layer_call` itself."""
        return layer_call
