"""Figures that the papers print, in nats; lower is better."""

from __future__ import annotations

# Jang, Gu & Poole 2017, table 1. DARN is not in this package.
JANG = {
    "sbn-bernoulli": {
        "sf": 72.0,
        "muprop": 58.9,
        "st": 58.9,
        "annealed_st": 58.7,
        "gumbel_softmax": 58.5,
        "st_gumbel": 59.3,
    },
    "sbn-categorical": {
        "sf": 73.1,
        "muprop": 63.0,
        "st": 61.8,
        "annealed_st": 61.1,
        "gumbel_softmax": 59.0,
        "st_gumbel": 59.7,
    },
    "vae-bernoulli": {
        "sf": 112.2,
        "muprop": 109.7,
        "st": 116.0,
        "annealed_st": 111.5,
        "gumbel_softmax": 105.0,
        "st_gumbel": 111.5,
    },
    "vae-categorical": {
        "sf": 110.6,
        "muprop": 107.0,
        "st": 110.9,
        "annealed_st": 107.8,
        "gumbel_softmax": 101.5,
        "st_gumbel": 107.8,
    },
}
# Further readings of a method whose details the paper does not print.
READINGS = {"muprop_unscaled": "muprop", "annealed_st_backward": "annealed_st"}
# The best one known of each task on the same data and bound. For the first,
# ARM (Yin & Zhou 2019), trained longer.
BEST = {
    "sbn-bernoulli": 57.9,
    "sbn-categorical": 59.0,
    "vae-bernoulli": 105.0,
    "vae-categorical": 101.5,
    "32x16": 93.50,
}
# Hooper & Shekhovtsov 2026, 32 variables of 16 classes, from the authors'
# stored results: 500 epochs, best of 5 learning rates, mean of 5 seeds.
HOOPER = {
    "st": 112.75,
    "gumbel_rao": 95.76,
    "zgr": 94.36,
    "reinmax": 93.50,
    "mve": 94.60,
}
# Jang, Gu & Poole 2017, table 2: -ELBO, accuracy.
SEMI_SUPERVISED = {
    "exact": (106.8, 0.926),
    "gumbel_softmax": (109.6, 0.924),
    "st_gumbel": (110.7, 0.936),
}
# Jang, Gu & Poole 2017, section 4.3: steps per second of Gumbel-softmax over
# those of marginalisation, by classes, on a GTX Titan X.
SPEED = {10: 2.0, 100: 9.9}
# Steps of the published runs, where the paper or its code tells them.
STEPS = {"8x4": 96_000, "32x16": 150_000}


def method(estimator: str) -> str:
    """What the paper calls this estimator."""
    return READINGS.get(estimator, estimator)


# Shi et al. 2022: running variances of the gradient, read off the authors'
# figure at 200 Bernoulli variables on dynamically binarised MNIST, from 200,000
# to 1,000,000 steps, relative to rodeo, by evaluations of the cost.
VARIANCES = {
    2: {"rodeo": 1.0, "double_cv": 1.27, "disarm": 1.32},
    3: {"rodeo": 1.0, "double_cv": 1.09, "arms": 1.16, "relax": 1.6},
}
