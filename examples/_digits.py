"""The digits that the examples learn from: scikit-learn's 8x8, or MNIST."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from sklearn import datasets


class Digits(NamedTuple):
    """Images `[N, H, W]`, grey levels in [0, 1], and their digits `[N]`."""

    images: np.ndarray
    labels: np.ndarray


def load_digits(mnist: Any = None) -> tuple[Digits, Digits]:
    """Returns digits to train on, and others for the test: 300 of 8x8.

    Args:
        mnist: A file, whose labels may be missing; `True` for Keras's
            downloader; `None` for 8x8 digits.
    """
    if mnist is None:
        bunch = datasets.load_digits()
        images = bunch.images.astype("float32") / 16.0
        order = np.random.default_rng(0).permutation(len(images))
        parts = order[300:], order[:300]
        train, test = (Digits(images[p], bunch.target[p]) for p in parts)
        return train, test
    if mnist is True:
        pairs = keras.datasets.mnist.load_data()
    else:
        with np.load(mnist) as file:
            pairs = [
                (file[f"x_{part}"], file.get(f"y_{part}"))
                for part in ("train", "test")
            ]
    train, test = (Digits(x.astype("float32") / 255.0, y) for x, y in pairs)
    return train, test
