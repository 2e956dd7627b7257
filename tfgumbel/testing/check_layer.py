"""Is a layer with random output right?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfgumbel.testing import (
    _layer_execution,
    _layer_gradients,
    _layer_noise,
    _layer_saving,
    _layer_values,
)
from tfgumbel.testing._run import kept_generators, run
from tfgumbel.testing._subject import Subject
from tfgumbel.testing.report import Report

CHECKS = (
    *_layer_values.CHECKS,
    *_layer_noise.CHECKS,
    *_layer_gradients.CHECKS,
    *_layer_execution.CHECKS,
    *_layer_saving.CHECKS,
)


def check_layer(
    layer: Any,
    inputs: Any = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    distribution: Any = None,
    per_example: bool = True,
    surrogate: bool = False,
    strategy: Any = None,
    full: bool = False,
    only: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Checks a layer whose output is random, of this package or of your own.

    It calls the layer, copies it through its configuration, saves and loads
    it, and holds what it draws against the formula: in training and in
    inference, its noise from call to call, from example to example and from
    layer to layer, its rates (those of rare categories too, in several
    precisions), its gradient, its temperature, masks, extreme inputs, NaN,
    weights, files, graphs. What does not apply says why.

    Figures are deterministic, given the seed. The generators of Python and
    NumPy are put back as they were; those of TensorFlow and Keras are not.

    Args:
        layer: A layer of Keras 3, or a function (a class, say) that makes one.
            Its own weights are left alone, and its noise moves on.
        inputs: What it is called with: the first argument, an array or a
            structure of arrays, batch first. Default: random logits of shape
            `[4, 5]`, or the parameters of `layer.distribution`.
        arguments: The other arguments of a call, by name, without `training`.
        distribution: What the samples follow, given the inputs as its
            unconstrained parameters: a name or a `Distribution`. Default:
            `layer.distribution`, or categorical where the output is a point of
            the simplex of the inputs' shape; `False` where it is another
            one that nothing here knows, as a softmax of normal noise.
        per_example: Whether each example has noise of its own, and is not
            mixed with others, as batch normalisation and mixup do it.
        surrogate: Whether the gradient is meant to be that of another function
            than the value's, as with two temperatures. It is then asked only
            that it point the right way, as for hard samples.
        strategy: A `tf.distribute` strategy of several replicas, to check
            that each draws noise of its own. Keras's own layers do not.
        full: Whether to take more draws, and add what takes longer: XLA,
            SavedModel, float16.
        only: Names of the checks to run; default: all of the set.
        seed: Seed of all random numbers.
        progress: Whether to show a progress bar.

    Returns:
        A `Report`, which prints as one line for each check.

    Raises:
        TypeError: If `layer` is no layer of Keras 3.
        ValueError: If it cannot be called with the inputs, is not random, or
            `only` holds an unknown name.

    Example:

    >>> import keras, tfgumbel as tg
    >>> report = tg.testing.check_layer(
    ...     tg.GumbelSoftmax(0.5), only=["calls", "gradient"]
    ... )
    >>> report.passed
    True
    >>> report["calls"].figure < report["calls"].bound
    True
    """
    with kept_generators():
        subject = Subject(
            layer,
            inputs,
            dict(arguments or {}),
            distribution,
            per_example,
            surrogate,
            strategy,
            seed,
            full,
        )
    return run(
        CHECKS,
        subject,
        page="guides/own-layer/",
        seed=seed,
        only=only,
        full=full,
        progress=progress,
    )
