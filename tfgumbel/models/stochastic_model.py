"""The functional model that trains samplers."""

from __future__ import annotations

from typing import Any

import keras

from tfgumbel.models.score_function_mixin import ScoreFunctionMixin


@keras.saving.register_keras_serializable(package="tfgumbel")
class StochasticModel(ScoreFunctionMixin, keras.Model):
    """A functional Keras model that can train `ReinforceSampler` layers.

    `compile(loss=...)` takes any Keras loss that has one value per example;
    `fit` feeds each example's own loss to every sampler inside, including
    those of nested models. `evaluate` and `predict` are Keras's own. See
    `ScoreFunctionMixin` for what is correct and what raises an error, and
    subclass that mixin (not this class) for a model with its own `call`.

    Args:
        inputs: Inputs of the graph, as in `keras.Model`.
        outputs: Outputs of the graph.
        **kwargs: As in `keras.Model`.

    Example:

    >>> import keras, tfgumbel as tg
    >>> x = keras.Input((4,))
    >>> z = tg.ReinforceSampler()(keras.layers.Dense(3)(x), context=x)
    >>> model = tg.StochasticModel(x, keras.layers.Dense(1)(z))
    >>> model.compile("adam", loss="mse")

    Reference:
        Schulman, Heess, Weber, Abbeel. Gradient estimation using stochastic
        computation graphs. NIPS 2015.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # As Keras 3.12 to 3.15 tell a graph. Without one the first such model
        # would work, and fail once a graph has changed the bases of the class.
        if len(args) != 2 and "outputs" not in kwargs:
            raise TypeError(
                f"{type(self).__name__} takes the inputs and the outputs of a "
                "graph. For a stack of layers, or a model with a `call` of its "
                "own, mix `ScoreFunctionMixin` into a class: `class Net("
                "tg.ScoreFunctionMixin, keras.Sequential): pass`. "
                f"Received: {args!r}"
            )
        super().__init__(*args, **kwargs)
