"""Dirichlet variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgumbel.distributions._differences import (
    gamma_remainder,
    log_excess,
    stirling,
)
from tfgumbel.distributions._noise import log_gamma
from tfgumbel.distributions._register import register
from tfgumbel.distributions._support import inside, positive_log
from tfgumbel.distributions.bijections import positive
from tfgumbel.distributions.distribution import Distribution, Parameters


@register("dirichlet")
class Dirichlet(Distribution):
    """Points of the simplex, on the last axis: normalised gamma variables.

    Its gradient is that of the gamma variables.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> dirichlet = tg.distributions.Dirichlet()
    >>> dirichlet.mean(dirichlet.constrain(tf.zeros([1, 2]))).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    parameters: ClassVar = {"concentration": positive}
    inference: ClassVar = ("mean", "sample")
    standard: Sequence[Any] = (1.0,)
    event_rank = 1

    def reparameterize(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        return inside(tf.nn.softmax(log_gamma(parameters[0], seed)))

    def log_probs(self, parameters: Parameters, sample: tf.Tensor) -> tf.Tensor:
        return dirichlet_log_prob(parameters[0], sample)

    def mean(self, parameters: Parameters) -> tf.Tensor:
        (concentration,) = parameters
        total = tf.reduce_sum(concentration, axis=-1, keepdims=True)
        return concentration / total

    def kl(self, parameters: Parameters, prior: Parameters) -> tf.Tensor:
        return dirichlet_kl(*parameters, *prior)


def dirichlet_log_prob(
    concentration: tf.Tensor, sample: tf.Tensor
) -> tf.Tensor:
    """log p(z), from how z differs from its mean, and Stirling's remainders."""
    sample = tf.cast(sample, concentration.dtype)
    total = tf.reduce_sum(concentration, axis=-1, keepdims=True)
    each = stirling(concentration) - positive_log(sample)
    each -= total * log_excess(sample, concentration / total)
    return tf.reduce_sum(each, axis=-1) - tf.squeeze(stirling(total), axis=-1)


def dirichlet_kl(concentration: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """KL of two, from that of gamma variables less that of their sums."""
    total, other = (
        tf.reduce_sum(part, axis=-1, keepdims=True)
        for part in (concentration, prior)
    )
    each = log_excess(concentration * (other / total), prior)
    each += gamma_remainder(concentration, prior)
    whole = tf.squeeze(gamma_remainder(total, other), axis=-1)
    return tf.reduce_sum(each, axis=-1) - whole
