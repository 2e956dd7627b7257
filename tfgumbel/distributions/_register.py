"""The distributions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfgumbel import _checks, _saving
from tfgumbel.distributions.distribution import Distribution

_REGISTER: dict[str, type[Distribution]] = {}


def register(name: str) -> Callable[[type], type]:
    """Class decorator that makes a `Distribution` known by name.

    Layers and estimators take the name from then on, if the distribution has
    what they need. The class becomes serialisable with Keras, too.

    Args:
        name: The name that `get` resolves.

    Raises:
        ValueError: If the name is taken by another class.
        TypeError: If the class is no `Distribution`, or the name no string.

    Example: a distribution of one's own.

    >>> import math, tensorflow as tf, tfgumbel as tg
    >>> @tg.distributions.register("rayleigh")
    ... class Rayleigh(tg.distributions.Distribution):
    ...     parameters = {"scale": tg.distributions.positive}
    ...     def reparameterize(self, parameters, seed):
    ...         (scale,) = parameters
    ...         noise = tg.random.exponential(tf.shape(scale), seed)
    ...         return scale * tf.sqrt(2.0 * tf.cast(noise, scale.dtype))
    ...     def log_probs(self, parameters, sample):
    ...         ratio = sample / parameters[0]
    ...         return tf.math.log(ratio / parameters[0]) - ratio**2 / 2
    ...     def mean(self, parameters):
    ...         return parameters[0] * math.sqrt(math.pi / 2)
    ...     def mode(self, parameters):
    ...         return parameters[0]
    >>> layer = tg.ImplicitReparam("rayleigh", seed=1)
    >>> layer(tf.zeros([2, 3]), training=True).shape
    TensorShape([2, 3])
    >>> "pathwise" in tg.estimators.available("rayleigh")
    True
    """
    if not (isinstance(name, str) and name):
        raise TypeError(
            f"Argument `name` must be a string. Received: name={name!r}"
        )

    def decorate(cls: type[Any]) -> type:
        _saving.register(_REGISTER, name, cls, Distribution)
        cls.name = name
        return cls

    return decorate


def available() -> list[str]:
    """Returns the names of the registered distributions, sorted."""
    return sorted(_REGISTER)


def get(identifier: Any, **options: Any) -> Distribution:
    """Returns the distribution that `identifier` stands for.

    Args:
        identifier: A registered name, a `Distribution`, or a serialised one.
        **options: Arguments of the constructor, for a name.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `identifier` is none of these, or an option is unknown.

    Example:

    >>> import tfgumbel as tg
    >>> tg.distributions.get("truncated_normal", bounds=(0.0, 1.0))
    TruncatedNormal(bounds=(0.0, 1.0))
    """
    if isinstance(identifier, dict):
        identifier = _saving.deserialize(
            "distribution", identifier, (Distribution,)
        )
    if isinstance(identifier, Distribution):
        for name, value in options.items():
            raise ValueError(
                f"Argument `{name}` is an option of a distribution that is "
                "given by name; an object has it already. Received: "
                f"{name}={value!r} with distribution={identifier!r}"
            )
        return identifier
    if not isinstance(identifier, str | None) or identifier is None:
        raise TypeError(
            "Argument `distribution` must be a name, a `Distribution` or a "
            f"serialised one. Received: distribution={identifier!r}"
        )
    _checks.choice("distribution", identifier, available())
    cls = _REGISTER[identifier]
    for name, value in options.items():
        if name not in cls.options:
            raise TypeError(
                f"Argument `{name}` is no option of the distribution "
                f"{identifier!r}, whose options are {list(cls.options)}. "
                f"Received: {name}={value!r}"
            )
    return cls(**options)


def options_among(arguments: dict[str, Any]) -> dict[str, Any]:
    """Takes out of `arguments` those that are options of a distribution.

    For a layer or estimator that takes options of its distribution among its
    own keyword arguments.
    """
    known = {name for cls in _REGISTER.values() for name in cls.options}
    return {name: arguments.pop(name) for name in known & set(arguments)}


def serialize(distribution: Distribution) -> Any:
    """Returns what `get` turns into the distribution again.

    The name, if that is all there is to it.
    """
    registered = _REGISTER.get(distribution.name) is type(distribution)
    if registered and not distribution.get_config():
        return distribution.name
    return keras.saving.serialize_keras_object(distribution)
