"""Perturbed log-odds given the value that they drew."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import in_working_precision


def conditional_logistic(logits: Any, sample: Any, noise: Any) -> tf.Tensor:
    """Logistic-perturbed log-odds z̃, given that 1[z̃ > 0] is `sample`.

    With s = ±1 the sign that the value asks for,

        z̃ = s · [softplus(s · logits - softplus(-s · L)) + softplus(s · L)],

    the inverse distribution function of the logistic, cut off at zero and
    written without ever forming the probability, so that it holds for logits
    of any size. Averaged over the value, z̃ - logits is standard logistic noise
    again. Differentiable in the logits.

    Args:
        logits: Log-odds of Bernoulli variables, of any shape.
        sample: The values drawn, zeros and ones, of the same shape.
        noise: Standard logistic noise L of the same shape, independent of
            `sample`.

    Returns:
        z̃, of the shape of the logits, in float32 or wider; positive where the
        value is one, negative where it is zero.

    Raises:
        TypeError: If the logits are not floating.

    Example:

    >>> import tfgumbel as tg
    >>> z = tg.ops.conditional_logistic([-5.0, 5.0], [1.0, 0.0], [0.3, 0.3])
    >>> (z > 0).numpy()
    array([ True, False])

    Reference:
        Tucker et al. REBAR: low-variance, unbiased gradient estimates for
        discrete latent variable models. NIPS 2017.
    """
    logits = in_working_precision(_checks.bernoulli_logits(logits))
    sample = tf.stop_gradient(tf.cast(sample, logits.dtype))
    sign = 2.0 * sample - 1.0
    noise = sign * _checks.noise(noise, logits)
    inside = sign * logits - tf.nn.softplus(-noise)
    return sign * (tf.nn.softplus(inside) + tf.nn.softplus(noise))
