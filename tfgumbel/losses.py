"""Keras losses for models whose output already is a cost."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfgumbel")
class MeanCost(keras.losses.Loss):
    """The model's output is the cost itself; the target is ignored.

    A graph that ends in `ScoreFunctionCost` or `ExpectedCost` puts out one
    cost per example, of shape `[B]`. This loss averages it, with Keras's own
    sample weights and reductions.

    Args:
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.

    Example:

    ```python
    model.compile(optimizer="adam", loss=tg.losses.MeanCost())
    model.fit(x)  # no target, or one that is not looked at
    ```
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_cost",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """Returns the reduced costs; the target may be `None`."""
        target = y_pred if y_true is None else y_true
        return super().__call__(target, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the costs, unchanged."""
        return y_pred
