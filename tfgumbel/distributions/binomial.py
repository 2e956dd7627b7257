"""Binomial variables."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.distributions._differences import log_factorial_rest
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import positive_log
from tfgumbel.distributions.bijections import real
from tfgumbel.distributions.capabilities import WeakDerivative
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("binomial")
class Binomial(Distribution):
    """Successes in n trials of probability sigmoid(logits).

    The parameters are (n, logits); n is a constant, and may have fewer axes.
    TensorFlow's sampler has no XLA kernel.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> binomial = tg.distributions.Binomial()
    >>> q = binomial.constrain((tf.constant(4.0), tf.zeros([1, 2])))
    >>> binomial.mean(q).numpy()
    array([[2., 2.]], dtype=float32)
    """

    parameters: ClassVar = {"total_count": real, "logits": real}
    constants: ClassVar = ("total_count",)
    inference: ClassVar = ("mode", "sample", "mean")
    compiles: ClassVar[bool] = False

    def sample(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        total, logits = parameters
        drawn = random.binomial(total, tf.sigmoid(logits), seed)
        return tf.cast(tf.stop_gradient(drawn), logits.dtype)

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        total, logits = parameters
        sample = tf.cast(sample, logits.dtype)
        # log(n over z) is n times the entropy of z / n, and what is left of
        # Stirling's formula. Both expected counts differ from these by as much,
        # which is taken off where it is about all that there is.
        found = log_factorial_rest(total)
        for count, log_odds in ((sample, logits), (total - sample, -logits)):
            apart = total * tf.sigmoid(log_odds) - count
            near = tf.abs(apart) < 0.5 * count
            change = tf.where(near, apart, tf.zeros_like(apart))
            close = tf.math.log1p(tf.math.divide_no_nan(change, count))
            log_share = positive_log(tf.math.divide_no_nan(count, total))
            far = tf.math.log_sigmoid(log_odds) - log_share
            found += count * tf.where(near, close, far) - apart
            found -= log_factorial_rest(count)
        return found

    def score(
        self, parameters: Parameters, sample: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return tf.zeros_like(sample), sample - self.mean(parameters)

    def weak_derivatives(
        self, parameters: Parameters, seed: Any
    ) -> dict[str, WeakDerivative]:
        # One trial set to success or to failure, the others drawn.
        total, logits = parameters
        p = tf.sigmoid(logits)
        others = self.sample((total - 1.0, logits), seed)
        constant = total * p * (1.0 - p)
        return {"logits": WeakDerivative(constant, others + 1.0, others)}

    def mean(self, parameters: Parameters) -> tf.Tensor:
        total, logits = parameters
        return total * tf.sigmoid(logits)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        total, logits = parameters
        return tf.minimum(tf.floor((total + 1.0) * tf.sigmoid(logits)), total)

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        """Of two binomials of the same n."""
        total, logits = parameters
        return total * ops.bernoulli_kl(logits, prior[1])
