"""A sample as a function of its parameters, by its implicit gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def followed(
    sample: tf.Tensor,
    gradient: Callable[..., Any],
    *parameters: tf.Tensor,
) -> tf.Tensor:
    """The sample, which moves with its parameters as a quantile does.

    Args:
        sample: z. How it was drawn has no part in its gradient.
        gradient: `(upstream, z, *parameters)` to the gradients in the
            parameters, by operations that can be differentiated. Its z has this
            same gradient, so that derivatives of any order are right.
        *parameters: What z depends on.
    """

    @tf.custom_gradient
    def follow(*tensors: tf.Tensor) -> Any:
        def grad(upstream: tf.Tensor) -> Any:
            # Those of this graph: the next derivative is taken in another one,
            # from where the first is out of reach.
            here = tuple(map(tf.identity, tensors))
            found = gradient(upstream, follow(*here), *here[1:])
            return None, *tf.nest.flatten(found)

        return tf.identity(tensors[0]), grad

    return follow(tf.stop_gradient(sample), *parameters)
