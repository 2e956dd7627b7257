"""An estimator under test, on a problem whose gradient is known.

Two examples with other parameters and other weights of the cost, so that
samples that meet another example's cost are found. The exact gradient comes by
enumeration where the support is finite, else from many samples of RLOO, whose
parts `check_distribution` checks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import estimators
from tfgumbel.distributions import Enumerable
from tfgumbel.estimators import Estimator
from tfgumbel.testing._run import (
    NotApplicable,
    as_parameters,
    changed,
    packed,
    require_seed,
    shortened,
)

EXAMPLES = 2


class Estimates(NamedTuple):
    """Of each row: the value, and gradients in parameters and weights."""

    value: np.ndarray
    parameters: np.ndarray
    weights: np.ndarray

    def of(self, example: int) -> Estimates:
        """Those of one example."""
        return Estimates(*(part[example::EXAMPLES] for part in self))


def quadratic(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """A smooth cost, `[n, V]` and `[n, V]` to `[n]`; bounded in z."""
    return tf.square(tf.reduce_sum(tf.tanh(z) * w, axis=1) + 0.4)


def linear(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """A linear cost, for estimators that are biased."""
    return tf.reduce_sum(z * w, axis=1)


def step(z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """A cost without a gradient in z."""
    return tf.reduce_sum(tf.cast(z > 0.5, tf.float32) * w, axis=1)


class Problem:
    """An estimator under test.

    Args:
        estimator: A name, an `Estimator`, or a function that makes one.
        distribution: What the name is to serve, and where there is no name,
            what was given already.
        inputs: Unconstrained parameters of one example, or `None`.
        seed: Where the noise comes from.
        full: Whether to take more draws.
        **options: Of an estimator that is given by name.
    """

    def __init__(
        self,
        estimator: Any,
        distribution: Any,
        inputs: Any,
        seed: int,
        full: bool,
        **options: Any,
    ) -> None:
        self.random = np.random.default_rng(require_seed(seed))
        self.full = full
        self._seed = seed
        self.given, self._make = _factory(estimator, distribution, options)
        self.estimator = self._make()
        self.distribution = self.estimator.distribution
        given = self._default() if inputs is None else inputs
        one = as_parameters(given, list(self.distribution.parameters))
        other = changed(self.distribution, one, lambda a: 0.3 - a)
        self.raw = tuple(map(np.stack, zip(one, other, strict=True)))
        self._require_call()

    @property
    def name(self) -> str:
        """The estimator and its distribution."""
        kind = type(self.estimator).__name__
        return f"Estimator {kind} of {self.distribution!r}"

    @property
    def many(self) -> int:
        """How many estimates of each example a statistical check takes."""
        return 2**19 if self.full else 2**17

    def _default(self) -> tuple[np.ndarray, ...]:
        shape = (2, 3) if self.distribution.event_rank else (2,)
        constant = 2.0 if self.distribution.event_rank else 5.0
        return tuple(
            np.full(shape[:1], constant)
            if name in self.distribution.constants
            else self.random.uniform(-0.6, 0.9, size=shape)
            for name in self.distribution.parameters
        )

    def _require_call(self) -> None:
        shapes = ", ".join(str(a.shape[1:]) for a in self.raw)
        parameters = self.distribution.constrain(self.inputs(1))
        sample = self.distribution.sample(parameters, self.seed())
        size = int(np.prod(sample.shape[1:]))
        self.weights = (
            self.random.normal(size=(EXAMPLES, size)).astype("f") * 0.7
        )
        try:
            self.estimates(self.make(), 1)
        except Exception as error:
            raise ValueError(
                f"{self.name} gives no gradient for inputs of shape {shapes} "
                f"of one example: {shortened(error)}. Give them as `inputs=`, "
                "unconstrained, without the batch"
            ) from error

    def make(self, **changes: Any) -> Estimator:
        """Returns a new estimator, built, its control variates not zero.

        They are the same each time.
        """
        estimator = self.begun(**changes)
        random = np.random.default_rng(7)
        for weight in estimator.trainable_variables:
            noise = random.normal(size=weight.shape)
            weight.assign_add(tf.cast(0.1 * noise, weight.dtype))
        return estimator

    def begun(self, **changes: Any) -> Estimator:
        """Returns a new estimator, built, with the weights it begins with."""
        keras.utils.set_random_seed(self._seed)
        if changes:
            config = self.estimator.get_config()
            if set(changes) - set(config):
                raise NotApplicable(f"it has no {', '.join(changes)}")
            estimator = type(self.estimator).from_config({**config, **changes})
        else:
            estimator = self._make()
        # Gives running means a past, and makes what learns.
        self.call(estimator, self.inputs(64), self.tiled(self.weights, 64))
        return estimator

    def seed(self) -> np.ndarray:
        """A fresh seed."""
        return self.random.integers(2**31, size=2)

    def tiled(self, array: np.ndarray, count: int) -> tf.Tensor:
        """Examples, one after another, this many times."""
        return tf.tile(array, [count] + [1] * (array.ndim - 1))

    def inputs(self, count: int) -> Any:
        """Unconstrained parameters of this many of each example."""
        return packed([self.tiled(a, count) for a in self.raw])

    def call(
        self,
        estimator: Any,
        inputs: Any,
        weights: tf.Tensor,
        seed: Any = (1, 2),
        cost: Callable[..., tf.Tensor] = quadratic,
    ) -> tf.Tensor:
        """The estimator's value, one for each row."""

        def cost_fn(z: tf.Tensor) -> tf.Tensor:
            flat = tf.reshape(z, [tf.shape(z)[0], weights.shape[1]])
            return cost(flat, estimators.tile_context(weights, z))

        return estimator(cost_fn, inputs, seed)

    def estimates(
        self,
        estimator: Any,
        count: int,
        *,
        seed: Any = None,
        upstream: Any = None,
        cost: Callable[..., tf.Tensor] = quadratic,
        wrap: Callable[[Any], Any] = lambda function: function,
    ) -> Estimates:
        """Estimates of each example, `[EXAMPLES · count, ...]`.

        `wrap` may make a graph of the call and its gradient.
        """

        def differentiated(
            inputs: Any, weights: tf.Tensor, seed: Any
        ) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
            sources = [*self.learned(tf.nest.flatten(inputs)), weights]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                value = self.call(estimator, inputs, weights, seed, cost)
            return value, tape.gradient(value, sources, upstream)

        seed = self.seed() if seed is None else seed
        inputs, weights = self.inputs(count), self.tiled(self.weights, count)
        value, found = wrap(differentiated)(inputs, weights, seed)
        if all(gradient is None for gradient in found[:-1]):
            raise ValueError("the estimate has no gradient in the parameters")
        sources = [*self.learned(tf.nest.flatten(inputs)), weights]
        rows = list(map(_rows, found, sources))
        return Estimates(
            np.asarray(value)[:, None],
            np.concatenate(rows[:-1], axis=1),
            rows[-1],
        )

    def scores(self, z: tf.Tensor, count: int) -> np.ndarray:
        """∇log q of flat samples in the learned inputs, `[n, ...]`."""
        inputs = self.inputs(count)
        sources = self.learned(tf.nest.flatten(inputs))
        with tf.GradientTape() as tape:
            tape.watch(sources)
            parameters = self.distribution.constrain(inputs)
            shapes = [tensor.shape for tensor in parameters]
            shape = self.distribution.sample_shape(shapes)
            log_prob = self.distribution.log_prob(
                parameters, tf.reshape(z, shape)
            )
        rows = map(_rows, tape.gradient(log_prob, sources), sources)
        return np.concatenate(list(rows), axis=1)

    def learned(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        """Those of the parameters that receive a gradient."""
        names = list(self.distribution.parameters)
        return [inputs[names.index(n)] for n in self.distribution.learned()]

    @functools.cached_property
    def exact(self) -> Estimates:
        """Exact, one row for each example; else many estimates of each."""
        if self.estimator.objective == "expected cost":
            return self.exact_of(quadratic)
        if self.distribution.lacks(Enumerable) is None:
            return self._exact_bound()
        raise NotApplicable(
            f"the {self.estimator.objective} is known where the support is "
            "finite"
        )

    def exact_of(self, cost: Callable[..., tf.Tensor]) -> Estimates:
        """The same, for E f of a cost."""
        count = 1 if self.reference.exact else self.many
        return self.estimates(self.reference, count, cost=cost)

    @property
    def reference(self) -> Estimator:
        """An estimator of E f to compare with."""
        if self.distribution.lacks(Enumerable) is None:
            return estimators.Exact(self.distribution)
        return estimators.RLOO(self.distribution, samples=8)

    def _exact_bound(self) -> Estimates:
        """Of -E log 1/S Σ_s w_s, over the joint values of S samples."""
        exact = estimators.Exact(self.distribution, limit=10**6)
        rows = []
        for example in range(EXAMPLES):
            inputs = tuple(tf.constant(a[example][None]) for a in self.raw)
            weights = tf.constant(self.weights[example][None])
            sources = [*self.learned(list(inputs)), weights]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                joint = tuple(
                    tf.concat([a] * self.estimator.samples, axis=1)
                    for a in inputs
                )
                bound = functools.partial(self._bound, inputs, weights)
                value = exact(bound, joint, [0, 0])
            *found, last = tape.gradient(value, sources)
            flat = [np.reshape(t, [1, -1]) for t in (value, *found, last)]
            rows.append([flat[0], np.concatenate(flat[1:-1], 1), flat[-1]])
        return Estimates(*(np.concatenate(p) for p in zip(*rows, strict=True)))

    def _bound(
        self, inputs: tuple[tf.Tensor, ...], weights: tf.Tensor, z: tf.Tensor
    ) -> tf.Tensor:
        """-log 1/S Σ_s w_s of joint values, w = exp(-f), or exp(-f) / q."""
        shape = self.distribution.sample_shape([a.shape for a in inputs])
        rows = tf.reshape(z, [-1, *shape[1:]])
        number = tf.shape(rows)[0]
        flat = tf.reshape(rows, [number, weights.shape[1]])
        cost = quadratic(flat, tf.repeat(weights, number, axis=0))
        if self.estimator.objective == "importance-weighted bound":
            repeated = tuple(tf.repeat(a, number, axis=0) for a in inputs)
            parameters = self.distribution.constrain(repeated)
            cost += self.distribution.log_prob(parameters, rows)
        count = self.estimator.samples
        costs = tf.reshape(cost, [-1, count])
        return np.log(count) - tf.reduce_logsumexp(-costs, axis=1)


def _rows(gradient: Any, source: tf.Tensor) -> np.ndarray:
    found = tf.zeros_like(source) if gradient is None else gradient
    return np.reshape(found, [len(source), -1])


def _factory(
    estimator: Any, distribution: Any, options: dict[str, Any]
) -> tuple[Estimator, Callable[[], Estimator]]:
    """An estimator as it was given, and a function that makes new ones."""
    if isinstance(estimator, str):
        kind = "categorical" if distribution is None else distribution
        # Made anew from its configuration: options may hold layers.
        estimator = estimators.get(estimator, distribution=kind, **options)
    elif options or distribution is not None:
        raise ValueError(
            "Arguments `distribution` and `options` go with the name of an "
            f"estimator. Received: estimator={estimator!r}"
        )
    if isinstance(estimator, Estimator):
        config = estimator.get_config()
        return estimator, lambda: type(estimator).from_config(config)
    if callable(estimator) and isinstance(made := estimator(), Estimator):
        return made, estimator
    raise TypeError(
        "Argument `estimator` must be a name, an `Estimator` or a function "
        f"that makes one. Received: estimator={estimator!r}"
    )
