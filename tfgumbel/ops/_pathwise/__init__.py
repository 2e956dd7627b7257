"""Samples of continuous distributions, with their implicit gradients.

Each function maps standardised parameters and noise to samples. Its gradient
is that of the quantile function at the sample, -∂_φF / q, in a form that holds
where F and q underflow. A rejection sampler takes the noise of a fixed number
of proposals, enough that fewer than one sample in 10^9 finds all rejected.
"""

from tfgumbel.ops._pathwise.gamma import GAMMA_PROPOSALS, log_gamma_sample
from tfgumbel.ops._pathwise.inverse_gaussian import inverse_gaussian_sample
from tfgumbel.ops._pathwise.normal_mixture import normal_mixture_sample
from tfgumbel.ops._pathwise.truncated_normal import (
    truncated_normal_log_prob,
    truncated_normal_sample,
)
from tfgumbel.ops._pathwise.von_mises import (
    VON_MISES_PROPOSALS,
    von_mises_sample,
)

__all__ = [
    "GAMMA_PROPOSALS",
    "VON_MISES_PROPOSALS",
    "inverse_gaussian_sample",
    "log_gamma_sample",
    "normal_mixture_sample",
    "truncated_normal_log_prob",
    "truncated_normal_sample",
    "von_mises_sample",
]
