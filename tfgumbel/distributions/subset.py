"""Subsets of exactly k of n items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import finite_logits
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import joint_values, split
from tfgumbel.distributions.capabilities import Enumerable
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("subset")
class Subset(Distribution):
    """k of n items, as zeros and ones: q(z) ∝ exp(z · logits) on Σz = k.

    The conditional Bernoulli distribution: of independent Bernoulli variables
    with these log-odds, given that k of them are one. The k largest of logits
    plus Gumbel noise follow another one (Plackett-Luce), whose probabilities
    these are not.

    Args:
        k: Size of the subsets, at least 1; or a pair (low, high) for any size
            from low to high; or `None` for a size of each example, which is
            then an input of its own: the parameters are (size, logits), with
            whole numbers, of any type, of the shape of the logits without
            `axis`, or one that broadcasts to it. The size is a constant.
        axis: Axis of the items.
        fixed: As in `Distribution`.

    Raises:
        TypeError: If k is not an integer, a pair of them, or `None`.
        ValueError: If k is less than 1 or more than the number of items, or
            a pair is not in order.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> subset = tg.distributions.Subset(k=2)
    >>> q = subset.constrain(tf.constant([[0.0, 0.0, 100.0]]))
    >>> subset.mean(q).numpy().round(2)
    array([[0.5, 0.5, 1. ]], dtype=float32)

    Reference:
        Chen, Dempster, Liu. Weighted finite population sampling to maximize
        entropy. Biometrika 1994. Ahmed, Zeng, Niepert, Van den Broeck. SIMPLE:
        a gradient estimator for k-subset sampling. ICLR 2023.
    """

    parameters: ClassVar = {"logits": finite_logits}
    inference: ClassVar = ("mode", "sample", "mean")
    standard: Sequence[Any] = (0.0,)
    event_rank = 1
    options: ClassVar = ("k", "axis", "fixed")

    def __init__(self, k: Any = None, *, axis: int = -1, fixed: Any = ()):
        self.k = _size(k)
        if k is None:
            both = {"size": tf.round, "logits": finite_logits}
            self.parameters = both  # type: ignore[misc]
            self.constants = ("size",)  # type: ignore[misc]
            self.standard = (0.0, 0.0)
        super().__init__(fixed=fixed)
        self.axis = self._axis = _checks.axis(axis, None)

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        *size, logits = map(tf.TensorShape, shapes)
        _checks.categorical_shape(logits, self.axis)
        for shape in size:
            batch = logits.as_list()
            del batch[self.axis]
            _checks.broadcastable("size", shape, batch)
        items = logits[self.axis]
        if items is not None and self.k is not None and self._most > items:
            raise ValueError(
                "Argument `k` must be at most the number of items, "
                f"{items} on axis {self.axis}. Received: k={self.k}"
            )

    def constrain(self, inputs: Any) -> Parameters:
        """Returns the logits, after the size in their shape if it is one."""
        if self.k is not None:
            return super().constrain(inputs)
        size, logits = self.check(inputs)
        logits = finite_logits(tf.convert_to_tensor(logits))
        if "logits" in self.fixed:
            logits = tf.stop_gradient(logits)
        like = tf.zeros_like(logits)
        batch = tf.reduce_sum(like, axis=self.axis)
        size = tf.round(tf.cast(size, logits.dtype)) + batch
        return tf.expand_dims(tf.stop_gradient(size), self.axis) + like, logits

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        logits = parameters[-1]
        noise = random.uniform64(tf.shape(logits), seed)
        noise.set_shape(logits.shape)
        return tf.stop_gradient(
            ops.sample_subset(logits, noise, **self._given(parameters))
        )

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        given = self._given(parameters)
        return ops.subset_log_prob(parameters[-1], sample, **given)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        """The probability of each item."""
        return ops.subset_marginals(parameters[-1], **self._given(parameters))

    def through_mean(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tf.Tensor:
        """Returns the sample, with the gradient of `mean`."""
        given = self._given(parameters)
        return ops.straight_through_subset(parameters[-1], sample, **given)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return ops.subset_mode(parameters[-1], **self._given(parameters))

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        score = sample - self.mean(parameters)
        return (*map(tf.zeros_like, parameters[:-1]), score)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        """Of two with the same size; the prior's own is ignored."""
        given = self._given(parameters)
        return ops.subset_kl(parameters[-1], prior[-1], **given)

    def prior_like(
        self, prior: Sequence[tf.Tensor], parameters: Parameters
    ) -> Parameters:
        return tuple(prior)

    def refuse_prior(self, name: str, value: np.ndarray) -> str | None:
        return "finite, or -inf" if np.any(np.isposinf(value)) else None

    def mask(self, inputs: Any, category_mask: Any) -> Any:
        *size, logits = self.check(inputs)
        least = self._least_legal(*size)
        logits = ops.mask_logits(
            logits, category_mask, axis=self.axis, least=least
        )
        return (*size, logits) if size else logits

    def _least_legal(self, size: Any = None) -> Any:
        """How many items a mask must leave; of sizes seen, one of each row."""
        if size is None:
            return max(self._least, 1)
        size = tf.get_static_value(tf.convert_to_tensor(size))
        return 1 if size is None else np.maximum(np.round(size), 1)

    def lacks(self, capability: type) -> str | None:
        if capability is Enumerable and self.k is None:
            return "there is none if its size is an input"
        return super().lacks(capability)

    def count(self, shape: tf.TensorShape) -> int:
        items, sizes = split(shape, self.axis)
        subsets = range(self._least, self._most + 1)
        each = sum(math.comb(items, size) for size in subsets)
        return each ** math.prod(sizes)

    def support(self, shape: tf.TensorShape) -> np.ndarray:
        items, sizes = split(shape, self.axis)
        subsets = ops.enumerate_subsets(items, (self._least, self._most))
        return np.moveaxis(joint_values(subsets, sizes), -1, self.axis)

    @property
    def _least(self) -> int:
        return self.k[0] if isinstance(self.k, tuple) else self.k

    @property
    def _most(self) -> int:
        return self.k[1] if isinstance(self.k, tuple) else self.k

    def _given(self, parameters: Parameters) -> dict[str, Any]:
        """What the ops take, besides tensors."""
        if self.k is not None:
            return {"k": self.k, "axis": self.axis}
        size = tf.reduce_max(parameters[0], axis=self.axis)
        return {"k": tf.cast(size, tf.int32), "axis": self.axis}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.axis != -1:
            config = {"axis": self.axis, **config}
        k = list(self.k) if isinstance(self.k, tuple) else self.k
        return config if k is None else {"k": k, **config}

    def _expected(self) -> str:
        hint = ", or give it `k`" if self.k is None else ""
        return super()._expected() + hint


def _size(k: Any) -> Any:
    """Returns a size, a pair of sizes, or `None`, checked."""
    if k is None:
        return None
    if not isinstance(k, list | tuple):
        return _checks.positive_integer("k", k)
    numbers = (int, np.integer)
    if len(k) != 2 or not all(
        isinstance(size, numbers) and not isinstance(size, bool) for size in k
    ):
        raise TypeError(
            "Argument `k` must be an integer, a pair (low, high) of integers, "
            f"or None. Received: k={k!r}"
        )
    low, high = map(int, k)
    if not 0 <= low <= high or high < 1:
        raise ValueError(
            "Argument `k` must be a pair (low, high) with 0 <= low <= high "
            f"and high >= 1. Received: k={k!r}"
        )
    return low, high
