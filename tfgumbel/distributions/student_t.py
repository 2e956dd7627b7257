"""Student's t variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel import random
from tfgumbel.distributions._noise import log_gamma, noise
from tfgumbel.distributions._register import register
from tfgumbel.distributions.bijections import positive, real
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("student_t")
class StudentT(Distribution):
    """μ + σ t, with ν degrees of freedom: a ratio of normal and gamma.

    Its gradient is that of the two. A sample ends 10^17 scales from μ.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> student_t = tg.distributions.StudentT()
    >>> q = student_t.constrain((tf.zeros([1, 1]),) * 3)
    >>> student_t.mode(q).numpy()
    array([[0.]], dtype=float32)
    """

    parameters: ClassVar = {"df": positive, "location": real, "scale": positive}
    inference: ClassVar = ("mode", "sample")
    standard: Sequence[Any] = (1.0, 0.0, 1.0)

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        df, location, scale = parameters
        first, second = random.split(seed, 2)
        log_ratio = tf.math.log(0.5 * df) - log_gamma(0.5 * df, first)
        normal = noise(random.normal, df, second)
        # The tail is heavy: it ends at e⁴⁰, so that products do not overflow.
        root = tf.exp(tf.minimum(0.5 * log_ratio, 40.0))
        return location + scale * normal * root

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        from tensorflow_probability import distributions as tfd

        return tfd.StudentT(*parameters).log_prob(sample)

    def mode(self, parameters: Parameters) -> tf.Tensor:
        return parameters[1]
