"""REINFORCE with samples drawn without replacement."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel._precision import to_last
from tfgumbel.distributions import Categories, Parameters
from tfgumbel.estimators._categories import logits_and_axis, sample_of
from tfgumbel.estimators._without_replacement import (
    draw_distinct,
    leave_one_out,
)
from tfgumbel.estimators.algebra import attach, fold, repeat, score, weigh
from tfgumbel.estimators.estimator import CostFn, Estimator, register

_MOST_SAMPLES = 12


@register("unordered_set")
class UnorderedSet(Estimator):
    """The unordered set estimator, with its built-in baseline.

    Σ_{s∈S} p(s) R(S, s) [f(s) - Σ_{t∈S} p(t) R^{D∖s}(S, t) f(t)] ∇log p(s).

    The set S holds different samples: none is evaluated twice. With p(S) the
    probability of the set in any order, and p^{D∖s} the distribution without
    s, R(S, s) = p^{D∖s}(S∖s) / p(S): p(s) R(S, s) is the probability that s
    was drawn first, given the set. R^{D∖s} is the same for p^{D∖s}, and 1 at
    t = s. A sample is a whole configuration of an example's variables, drawn
    by stochastic beam search.

    Unbiased, with nothing to learn; f may be anything. If S holds all
    configurations of an example, it is the exact gradient. S evaluations of f,
    in one batch; beyond them, work that grows with 2^S, per example.

    The value is Σ_{s∈S} p(s) R(S, s) f(s), an unbiased estimate of E f; the
    mean cost of samples without replacement would be none. Where fewer
    configurations than S are possible, as with masked categories, f is
    evaluated at the first one again, with weight 0.

    Args:
        distribution: `"categorical"`, `"bernoulli"`, or another one that has
            categories.
        samples: S, from 2 to 12, and no more than there are configurations.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is one sample or more than 12 of them, or, at the
            call, if there are more than configurations.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> unordered_set = tg.estimators.UnorderedSet("bernoulli", samples=2)
    >>> logits = tf.zeros([1, 1])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = unordered_set(lambda z: z[:, 0], logits, [1, 2])
    >>> tape.gradient(cost, logits).numpy()  # p (1 - p), as both are drawn
    array([[0.25]], dtype=float32)

    Reference:
        Kool, van Hoof, Welling. Estimating gradients for discrete random
        variables by sampling without replacement. ICLR 2020.
    """

    needs: ClassVar = (Categories,)
    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        if samples > _MOST_SAMPLES:
            raise ValueError(
                "UnorderedSet sums over all 2^S subsets of its samples, so "
                f"argument `samples` must be at most {_MOST_SAMPLES}. "
                f"Received: samples={samples}"
            )

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted mean cost of the samples."""
        repeated = repeat(parameters, self.samples)
        sample, log_prob = self._draw_distinct(parameters, seed)
        weight, others = leave_one_out(log_prob)
        weight = tf.transpose(tf.cast(weight, tf.float32))  # [S, B]
        others = tf.transpose(tf.cast(others, tf.float32), [1, 2, 0])
        cost = fold(self.evaluate(cost_fn, sample), self.samples)
        # f(s) - its baseline, whose weights add up to one.
        differences = cost[:, None] - cost[None]
        advantage = weight * tf.reduce_sum(others * differences, axis=1)
        scores = score(self.distribution, repeated, sample)
        value = tf.reduce_sum(weight * cost, axis=0)
        return attach(value, parameters, weigh(advantage, scores))

    def _draw_distinct(
        self, parameters: Parameters, seed: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """S rows for each example, and their log-probability `[B, S]`."""
        logits, axis = logits_and_axis(self.distribution, parameters)
        logits = tf.stop_gradient(logits)
        rows = to_last(logits, axis)
        self._require_as_many(rows.shape)
        shape = tf.shape(rows)
        variables = rows.shape[1:-1].num_elements()
        flat = tf.reshape(
            rows, [shape[0], -1 if variables is None else variables, shape[-1]]
        )
        flat.set_shape([rows.shape[0], variables, rows.shape[-1]])
        index, log_prob = draw_distinct(flat, self.samples, seed)
        # Row s·B + i is sample s of example i.
        index = tf.reshape(
            tf.transpose(index, [1, 0, 2]),
            tf.concat([[self.samples * shape[0]], shape[1:-1]], 0),
        )
        repeated = repeat(logits, self.samples)
        return (
            sample_of(self.distribution, index, repeated, axis),
            log_prob,
        )

    def _require_as_many(self, shape: tf.TensorShape) -> None:
        """Raises if there are fewer configurations than samples."""
        if shape[-1] is None:
            raise ValueError(
                "UnorderedSet needs the number of categories. "
                f"Received: logits of shape {shape}"
            )
        variables = shape[1:-1].num_elements()
        if variables is None:
            return
        if variables < 16 and shape[-1] ** variables < self.samples:
            raise ValueError(
                "UnorderedSet draws different samples, so argument `samples` "
                "must be at most the number of configurations, "
                f"{shape[-1] ** variables} for {variables} variable(s) of "
                f"{shape[-1]} categories. Received: samples={self.samples}"
            )
