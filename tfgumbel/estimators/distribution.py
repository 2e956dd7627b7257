"""What an estimator must know of the law it samples from.

The two discrete laws see float32 logits of static rank, -inf made finite.
`perturbed` stands for z = log π + G (or z = logits + L), whose argmax (or
sign) is the sample. The other laws are in `univariate`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.estimators import univariate
from tfgumbel.ops._precision import finite_logits, one_hot_argmax

DISCRETE = ("categorical", "bernoulli")
NAMES = (*DISCRETE, *univariate.NAMES)


def per_example(values: tf.Tensor) -> tf.Tensor:
    """Sums over all axes but the first."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


class _Discrete:
    """What follows from the noise and the mean."""

    def noise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        raise NotImplementedError

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def mean(self, logits: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def sample(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        return self.harden(logits + self.noise(logits, seed))

    def score(self, logits: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return sample - self.mean(logits)


class Categorical(_Discrete):
    """Independent categorical variables: logits `[B, ..., K]`, one-hot."""

    def prepare(self, logits: Any) -> tf.Tensor:
        logits = _checks.categorical_logits(logits)
        _require_rank(logits, 2, "[B, ..., K]")
        return tf.cast(finite_logits(logits), tf.float32)

    def normalize(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(logits)

    def noise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        return random.gumbel(tf.shape(logits), seed)

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        return one_hot_argmax(perturbed, -1)

    def mean(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def mean_gradient(self, mean: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        inner = tf.reduce_sum(mean * upstream, axis=-1, keepdims=True)
        return mean * (upstream - inner)

    def log_prob(self, logits: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return per_example(ops.categorical_log_prob(logits, sample))

    def conditional(
        self, logits: tf.Tensor, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        return ops.conditional_gumbel(logits, sample, noise)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.nn.softmax(perturbed / temperature)

    def relax(
        self, logits: tf.Tensor, noise: tf.Tensor, temperature: Any, hard: bool
    ) -> tf.Tensor:
        return ops.gumbel_softmax(logits, noise, temperature, hard=hard)

    def straight_through(
        self, logits: tf.Tensor, sample: tf.Tensor, temperature: Any
    ) -> tf.Tensor:
        return ops.straight_through(logits, sample, temperature)

    def count(self, shape: tf.TensorShape) -> int:
        return int(shape[-1]) ** int(np.prod(shape[1:-1], dtype=np.int64))

    def states(self, shape: tf.TensorShape) -> np.ndarray:
        variables = int(np.prod(shape[1:-1], dtype=np.int64))
        codes = itertools.product(range(shape[-1]), repeat=variables)
        one_hot = np.eye(shape[-1], dtype="float32")[np.array(list(codes))]
        return one_hot.reshape([-1, *shape[1:]])


class Bernoulli(_Discrete):
    """Independent bits: logits `[B, ...]`, zeros and ones."""

    def prepare(self, logits: Any) -> tf.Tensor:
        logits = _checks.bernoulli_logits(logits)
        _require_rank(logits, 1, "[B, ...]")
        return tf.cast(finite_logits(logits), tf.float32)

    def normalize(self, logits: tf.Tensor) -> tf.Tensor:
        return logits

    def noise(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        return random.logistic(tf.shape(logits), seed)

    def harden(self, perturbed: tf.Tensor) -> tf.Tensor:
        bad = tf.where(
            tf.math.is_nan(perturbed), perturbed, tf.zeros_like(perturbed)
        )
        return tf.cast(perturbed > 0, perturbed.dtype) + bad

    def mean(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(logits)

    def mean_gradient(self, mean: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        return mean * (1.0 - mean) * upstream

    def log_prob(self, logits: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        return per_example(ops.bernoulli_log_prob(logits, sample))

    def conditional(
        self, logits: tf.Tensor, sample: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        return ops.conditional_logistic(logits, sample, noise)

    def soften(self, perturbed: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.sigmoid(perturbed / temperature)

    def relax(
        self, logits: tf.Tensor, noise: tf.Tensor, temperature: Any, hard: bool
    ) -> tf.Tensor:
        return ops.binary_concrete(logits, noise, temperature, hard=hard)

    def straight_through(
        self, logits: tf.Tensor, sample: tf.Tensor, temperature: Any
    ) -> tf.Tensor:
        return ops.straight_through_bernoulli(logits, sample, temperature)

    def variables(self, shape: Any) -> int | None:
        return tf.TensorShape(shape)[1:].num_elements()

    def gradient(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        return parts[0]

    def weak_derivative(
        self, logits: tf.Tensor, seed: Any
    ) -> list[univariate.WeakDerivative]:
        # θ (1 - θ) (f(1) - f(0)).
        mean = self.mean(logits)
        one, zero = tf.ones_like(mean), tf.zeros_like(mean)
        return [univariate.WeakDerivative(mean * (1.0 - mean), one, zero)]

    def count(self, shape: tf.TensorShape) -> int:
        return 2 ** int(np.prod(shape[1:], dtype=np.int64))

    def states(self, shape: tf.TensorShape) -> np.ndarray:
        bits = int(np.prod(shape[1:], dtype=np.int64))
        codes = np.array(list(itertools.product((0, 1), repeat=bits)))
        return codes.astype("float32").reshape([-1, *shape[1:]])


def get(name: str) -> Any:
    """Returns the law of this name."""
    _checks.choice("distribution", name, NAMES)
    if name in univariate.LAWS:
        return univariate.LAWS[name]()
    return Categorical() if name == "categorical" else Bernoulli()


def _require_rank(logits: tf.Tensor, least: int, form: str) -> None:
    if logits.shape.rank is None or logits.shape.rank < least:
        raise ValueError(
            f"Argument `logits` must be of shape {form}, of known rank. "
            f"Received: logits of shape {logits.shape}"
        )
    _checks.variables("logits", logits.shape)
