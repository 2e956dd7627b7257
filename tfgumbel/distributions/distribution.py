"""The contract of a distribution, as a base class."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import finite_log_odds, working_dtype
from tfgumbel.distributions.bijections import from_log, positive

Parameters = tuple[tf.Tensor, ...]
"""Constrained parameters, as from `Distribution.constrain`."""

Bijection = Callable[[tf.Tensor], tf.Tensor]


class Distribution:
    """Base class of the distributions: the contract is that of the module.

    A subclass names its parameters and writes `log_probs`, either `sample` or
    `reparameterize`, and what else it can do. Wherever a method takes
    `parameters`, these are what `constrain` returns.

    Args:
        fixed: Names of parameters that are constants: they receive no
            gradient.

    Attributes:
        name: The name it is registered by.
        parameters: The bijection of each parameter, by name, in order: it maps
            an unconstrained tensor to the parameter.
        constants: Parameters that never receive a gradient. They broadcast to
            the others.
        inference: What the distribution can return when not training: the
            names of methods, and `"sample"`. The first is the default of
            layers that leave the choice to it.
        standard: The default prior, constrained.
        event_rank: How many of a sample's last axes make one variable: 0 for
            independent scalars, 1 for a vector such as a one-hot.
        compiles: Whether XLA compiles the sampler.
        options: Names of the constructor's arguments.
    """

    name: str = ""
    parameters: ClassVar[Mapping[str, Bijection]]
    constants: ClassVar[tuple[str, ...]] = ()
    inference: ClassVar[tuple[str, ...]] = ("mean", "mode", "sample")
    standard: Sequence[Any] | None = None
    event_rank: int = 0
    compiles: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("fixed",)

    def __init__(self, *, fixed: str | Sequence[str] = ()) -> None:
        names = (fixed,) if isinstance(fixed, str) else tuple(fixed)
        for name in names:
            _checks.choice("fixed", name, list(self.parameters))
        self.fixed = names
        self._axis = -1

    # What a subclass writes

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns an exact sample for each variable, without a gradient.

        Args:
            parameters: As from `constrain`.
            seed: Integer tensor of shape `[2]`.
        """
        draw = getattr(self, "reparameterize", None)
        if draw is None:
            raise NotImplementedError(
                f"{type(self).__name__} has neither `sample` nor "
                "`reparameterize`"
            )
        return tf.stop_gradient(draw(parameters, seed))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        """Returns log q(sample) in nats, one number per variable.

        Args:
            parameters: As from `constrain`.
            sample: Values in the support.
        """
        raise NotImplementedError

    # What follows from it

    def log_prob(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        """Returns log q(sample) in nats, one number per example, `[B]`.

        Raises:
            ValueError: If the sample has more or fewer axes than one of these
                parameters has.
        """
        shapes = [tensor.shape for tensor in parameters]
        shape = tf.convert_to_tensor(sample).shape
        if None not in (shape.rank, *(each.rank for each in shapes)):
            expected = self.sample_shape(shapes)
            if shape.rank != len(expected):
                raise ValueError(
                    "Argument `sample` must be of the shape that a sample of "
                    f"{self.name!r} has, {expected}. Received: sample of "
                    f"shape {tuple(shape)}"
                )
        return per_example(self.log_probs(parameters, sample))

    def log_ratio(
        self, parameters: Parameters, prior: Parameters, seed: Any
    ) -> tf.Tensor:
        """Returns log q(z) - log p(z) at a sample z of q, per variable.

        With pathwise gradients, for a distribution that is reparameterised:
        an unbiased estimate of KL(q ‖ p) and of its gradient.
        """
        sample = self.reparameterize(parameters, seed)  # type: ignore[attr-defined]
        log_prob = self.log_probs(parameters, sample)
        return log_prob - self.log_probs(prior, sample)

    def infer(
        self,
        parameters: Parameters,
        mode: str,
        next_seed: Callable[[], tf.Tensor],
    ) -> tf.Tensor:
        """Returns the value named by one of `inference`.

        Args:
            parameters: As from `constrain`.
            mode: One of `inference`; all but `"sample"` draw nothing.
            next_seed: Gives the seed of a sample.
        """
        if mode == "sample":
            return self.sample(parameters, next_seed())
        return getattr(self, mode)(parameters)

    def check(self, inputs: Any) -> list[Any]:
        """Returns the unconstrained parameters as a list, checked.

        A constant may be an integer; it comes back as float32.

        Args:
            inputs: A tensor `[B, ...]` for each parameter, symbolic or not: a
                tuple in order, or the tensor itself where there is one.

        Raises:
            ValueError: If they are not as many as there are parameters, or
                their shapes differ.
            TypeError: If one is not floating, and no constant.
        """
        names = list(self.parameters)
        tensors = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(tensors) != len(names):
            raise ValueError(
                f"Distribution {self.name!r} takes {self._expected()}. "
                f"Received: {len(tensors)} tensor(s)"
            )
        for name, tensor in zip(names, tensors, strict=True):
            _checks.dense(name, tensor)
            if not hasattr(tensor, "dtype"):
                raise TypeError(
                    f"Argument `{name}` must be a tensor. "
                    f"Received: {name}={tensor!r}"
                )
            if name not in self.constants:
                _checks.floating(name, tensor.dtype)
        self.check_shapes([tensor.shape for tensor in tensors])
        return [
            _as_floating(name, tensor) if name in self.constants else tensor
            for name, tensor in zip(names, tensors, strict=True)
        ]

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        """Raises unless the parameters may have these shapes."""
        names = list(self.parameters)
        first = self._first_learned()
        for name, shape in zip(names, shapes, strict=True):
            if name in self.constants:
                _checks.broadcastable(name, shape, shapes[first])
                continue
            if not tf.TensorShape(shape).is_compatible_with(shapes[first]):
                raise ValueError(
                    f"The parameters {', '.join(names)} of distribution "
                    f"{self.name!r} must have one shape. Received: {name} of "
                    f"shape {tuple(shape)} and {names[first]} of shape "
                    f"{tuple(shapes[first])}"
                )
        if self.event_rank:
            _checks.categorical_shape(shapes[first], self._axis, names[first])

    def constrain(self, inputs: Any) -> Parameters:
        """Maps unconstrained tensors to the parameters, by their bijections.

        Args:
            inputs: As in `check`.

        Returns:
            A tuple of tensors of one shape and dtype: that of the widest that
            is no constant, or float32.
        """
        tensors = dict(zip(self.parameters, self.check(inputs), strict=True))
        dtype = max(
            (
                working_dtype(tf.as_dtype(tensor.dtype))
                for name, tensor in tensors.items()
                if name not in self.constants
            ),
            key=lambda dtype: dtype.size,
        )
        values, learned = [], self.learned()
        for name, bijection in self.parameters.items():
            value = bijection(tf.cast(tensors[name], dtype))
            values.append(value if name in learned else tf.stop_gradient(value))
        if not self.constants:
            return tuple(values)
        like = functools.reduce(tf.add, map(tf.zeros_like, values))
        return tuple(value + like for value in values)

    def learned(self) -> list[str]:
        """Names of the parameters that receive a gradient."""
        held = (*self.fixed, *self.constants)
        return [name for name in self.parameters if name not in held]

    def sample_shape(self, shapes: Sequence[Any]) -> tuple:
        """Shape of a sample, from those of the parameters."""
        return tuple(shapes[self._first_learned()])

    def flatten(self, parameters: Sequence[Any]) -> tf.Tensor:
        """Returns all parameters side by side, `[B, n]`; ±inf is made finite.

        A constant, which may have fewer axes than the others, is one number
        for each variable.
        """
        shapes = [tensor.shape for tensor in parameters]
        first = parameters[self._first_learned()]
        variables = self._without_event(tf.unstack(tf.shape(first)))
        flat = []
        for name, tensor, size in zip(
            self.parameters, parameters, self._sizes(shapes), strict=True
        ):
            if name in self.constants:
                tensor = tf.broadcast_to(_as_floating(name, tensor), variables)
            rows = [tf.shape(first)[0], -1 if size is None else size]
            flat.append(tf.reshape(finite_log_odds(tensor), rows))
        return tf.concat(flat, axis=1)

    def flat_shape(self, shapes: Sequence[Any]) -> tuple:
        """Static shape of `flatten`, from those of the parameters."""
        sizes = self._sizes(shapes)
        size = None if None in sizes else sum(sizes)
        return self.sample_shape(shapes)[0], size

    def _first_learned(self) -> int:
        names = list(self.parameters)
        return [n in self.constants for n in names].index(False)

    def _without_event(self, sizes: list[Any]) -> list[Any]:
        """Of the sizes of a parameter's axes, those of batch and variables."""
        if self.event_rank:
            del sizes[self._axis]
        return sizes

    def _sizes(self, shapes: Sequence[Any]) -> list[Any]:
        """Numbers of an example in each parameter; `None` where unknown."""
        first = tf.TensorShape(shapes[self._first_learned()])
        variables = tf.TensorShape(self._without_event(first.as_list())[1:])
        return [
            (
                variables
                if name in self.constants
                else tf.TensorShape(shape)[1:]
            ).num_elements()
            for name, shape in zip(self.parameters, shapes, strict=True)
        ]

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        """Broadcasts a prior's parameters to those of q.

        A distribution whose `kl` broadcasts by itself leaves them as they are:
        what is computed from constants alone is then computed once.
        """
        return tuple(
            tf.broadcast_to(part, tf.shape(parameter))
            for part, parameter in zip(prior, parameters, strict=True)
        )

    def check_prior(
        self, prior: Sequence[Any], shapes: Sequence[Any], argument: str
    ) -> None:
        """Raises unless a prior's parameters fit q's, of these shapes."""
        for part, shape in zip(prior, shapes, strict=True):
            _checks.broadcastable(argument, part, shape)

    def refuse_prior(self, name: str, value: np.ndarray) -> str | None:
        """What a prior's parameter must be, if the numbers are not."""
        finite = bool(np.all(np.isfinite(value)))
        if self.parameters[name] in (positive, from_log):
            return None if finite and np.all(value > 0) else "positive"
        return None if finite else "finite"

    def lacks(self, capability: type) -> str | None:
        """Why it has not a capability, in a clause; `None` if it has.

        Args:
            capability: A protocol of this module, such as `Reparameterized`.
        """
        if isinstance(self, capability):
            return None
        return "there is none"

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"fixed": list(self.fixed)} if self.fixed else {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Distribution:
        """Returns the distribution that `get_config` describes."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        """Whether the other one is of the same class and options."""
        return type(self) is type(other) and (
            self.get_config() == other.get_config()
        )

    def __hash__(self) -> int:
        return hash((type(self), repr(self.get_config())))

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({options})"

    def _expected(self) -> str:
        names = ", ".join(self.parameters)
        if len(self.parameters) == 1:
            return f"one tensor, {names}"
        return f"a tuple of {len(self.parameters)} tensors, ({names})"


def _as_floating(name: str, tensor: Any) -> Any:
    """Whole numbers as float32; what is symbolic has no numbers yet."""
    _checks.numeric(name, tensor.dtype)
    if tf.as_dtype(tensor.dtype).is_floating or not tf.is_tensor(tensor):
        return tensor
    return tf.cast(tensor, tf.float32)


def described(capability: type) -> str:
    """A capability in words: the first line of its docstring."""
    line = (capability.__doc__ or capability.__name__).splitlines()[0]
    return line.partition(":")[0].removeprefix("Has ").rstrip(".")


def per_example(values: tf.Tensor) -> tf.Tensor:
    """Sums over all axes but the first."""
    if values.shape.rank is None:  # As after `tf.numpy_function`.
        total = tf.reduce_sum(values, axis=tf.range(1, tf.rank(values)))
        return tf.ensure_shape(total, [None])
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
