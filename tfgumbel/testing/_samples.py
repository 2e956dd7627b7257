"""A distribution under test: its parameters, samples and densities."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.distributions import Distribution, Parameters
from tfgumbel.testing._measure import FEW, rows
from tfgumbel.testing._run import (
    Fault,
    NotApplicable,
    as_parameters,
    changed,
    packed,
    require_seed,
    shortened,
)

SMALLEST, LARGEST = (0.1, 0.6, 3.0), (0.4, 1.0, 4.0)
"""Of unconstrained parameters: what is `positive` is below 1, and above."""


class Samples:
    """A distribution under test, at parameters of a few variables.

    Args:
        distribution: A name or a `Distribution`.
        inputs: Unconstrained parameters of one example, or `None`.
        seed: Where the noise comes from.
        full: Whether to take more draws.
    """

    def __init__(
        self, distribution: Any, inputs: Any, seed: int, full: bool
    ) -> None:
        self.distribution: Distribution = distributions.get(distribution)
        self.random = np.random.default_rng(require_seed(seed))
        self.full = full
        given = self._default() if inputs is None else inputs
        self.raw = as_parameters(given, list(self.distribution.parameters))
        self._require_parameters()

    @property
    def name(self) -> str:
        """The distribution, as it prints."""
        return f"Distribution {self.distribution!r}"

    @property
    def many(self) -> int:
        """How many examples a statistical check takes."""
        return 2**18 if self.full else 2**16

    def _default(self) -> tuple[Any, ...]:
        """A small, a middling and a large variable, in another order for each.

        Or two vectors of three; constants whole numbers.
        """
        vectors = self.distribution.event_rank
        arrays = []
        for place, name in enumerate(self.distribution.parameters):
            if name in self.distribution.constants:
                array = np.full((2,), 2.0) if vectors else np.full((3,), 5.0)
            elif vectors:
                array = self.random.uniform(0.2, 1.0, size=(2, 3))
            else:
                array = self.random.uniform(SMALLEST, LARGEST)
                array = np.roll(array, place)
            arrays.append(array)
        return tuple(arrays)

    def _require_parameters(self) -> None:
        shapes = ", ".join(str(a.shape) for a in self.raw)
        try:
            parameters = self.parameters(2)
            self.distribution.sample(parameters, self.seed())
        except Exception as error:
            raise ValueError(
                f"{self.name} takes no parameters of shape {shapes} for one "
                f"example: {shortened(error)}. Give them as `inputs=`, "
                "unconstrained, without the batch"
            ) from error

    def seed(self) -> np.ndarray:
        """A fresh seed."""
        return self.random.integers(2**31, size=2)

    def inputs(self, count: int, dtype: str = "float32") -> Any:
        """Unconstrained parameters of this many equal examples."""
        arrays = [np.repeat(a[None], count, axis=0) for a in self.raw]
        return packed([tf.cast(array, dtype) for array in arrays])

    def parameters(self, count: int) -> Parameters:
        """Constrained parameters of this many equal examples."""
        return self.distribution.constrain(self.inputs(count))

    def far_parameters(self, places: int, count: int) -> Parameters:
        """Those of `places` examples that lie apart, `count` times each.

        Unconstrained, from -1 to 8; what is `positive`, from 0.3 to 8. Below,
        samples of beta are lost to rounding in float32, above those of others.
        """
        given = [np.repeat(a[None], places, axis=0) for a in self.raw]
        apart = changed(
            self.distribution,
            given,
            lambda a: self.random.uniform(-1.0, 8.0, size=a.shape),
        )
        arrays = [np.repeat(a, count, axis=0).astype("f") for a in apart]
        return self.distribution.constrain(packed(arrays))

    @functools.cached_property
    def drawn(self) -> tf.Tensor:
        """Many samples."""
        return self.distribution.sample(self.parameters(self.many), self.seed())

    @property
    def flat(self) -> np.ndarray:
        """These, float64 `[N, V]`."""
        return rows(self.drawn)

    @functools.cached_property
    def values(self) -> np.ndarray | None:
        """The values that were drawn, if they are few or whole numbers."""
        found = np.unique(self.flat)
        whole = bool(np.all(found == np.round(found)))
        return found if whole or len(found) < self.many / 64 else None

    def require_variety(self) -> None:
        """Raises where nearly all draws of a variable are one value."""
        for column in self.flat.T if self.values is not None else ():
            others = self.many - np.unique(column, return_counts=True)[1].max()
            if others < FEW:
                raise NotApplicable(
                    f"of {self.many} draws of a variable {others} differ from "
                    "the others, too few for a mean: give `inputs=` that are "
                    "less extreme"
                )

    def scalars(self) -> np.ndarray:
        """Samples of scalar variables, `[N, V]`."""
        if self.distribution.event_rank:
            raise NotApplicable("its variables are vectors")
        return self.flat

    def require(self, capability: type) -> Any:
        """Returns the distribution, if it has the capability."""
        lack = self.distribution.lacks(capability)
        if lack is not None:
            raise NotApplicable(
                f"{distributions.described(capability)}: {lack}"
            )
        return self.distribution

    def density(self, values: np.ndarray) -> np.ndarray:
        """q at these values of each scalar variable, `[N, V]` to `[N, V]`."""
        parameters = self.parameters(len(values))
        shape = [len(values), *self.drawn.shape[1:]]
        z = tf.reshape(tf.cast(values, self.drawn.dtype), shape)
        log_probs = self.distribution.log_probs(parameters, z)
        return np.exp(
            np.reshape(np.asarray(log_probs, np.float64), values.shape)
        )

    def cost(self, sample: tf.Tensor) -> tf.Tensor:
        """A smooth cost of each example, `[N]`, bounded; of angles periodic.

        Elsewhere its slope decays, lest heavy tails leave it no mean.
        """
        flat = tf.reshape(tf.cast(sample, tf.float32), [len(sample), -1])
        weights = 1.0 + np.arange(flat.shape[1], dtype=np.float32) / 2.0
        angles = flat if self._are_angles else 2.0 * tf.asinh(flat)
        return tf.reduce_sum(tf.sin(angles + 0.3) * weights, axis=1)

    @functools.cached_property
    def _are_angles(self) -> bool:
        return bool(np.max(np.abs(self.flat)) <= np.float32(np.pi))

    def scores(
        self,
        parameters: Parameters,
        sample: tf.Tensor,
        weight: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """∇log q in each learned parameter, times a weight of each example."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = self.distribution.log_prob(parameters, sample)
        found = tape.gradient(log_prob, self.learned(parameters), weight)
        if any(gradient is None for gradient in found):
            raise Fault("log_prob has no gradient in a learned parameter")
        return found

    def score_gradient(self) -> list[np.ndarray]:
        """∇E f by the score function, an estimate in each row and entry."""
        cost = self.cost(self.drawn)
        # Minus the mean of the others: so many of them are the mean.
        weight = (cost - tf.reduce_mean(cost)) * self.many / (self.many - 1)
        parameters = self.parameters(self.many)
        return list(map(rows, self.scores(parameters, self.drawn, weight)))

    def learned(self, parameters: Parameters) -> list[tf.Tensor]:
        """Those that receive a gradient."""
        names = list(self.distribution.parameters)
        wanted = self.distribution.learned()
        if not wanted:
            raise NotApplicable("none of its parameters is learned")
        return [parameters[names.index(name)] for name in wanted]
