"""MNIST as the papers use it: grey levels, or binarised once and for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import random
from tfgumbel.diagnostics.estimates import step_seed

BINARIZATION_SEED = 1
Data = dict[str, np.ndarray]


def load(path: str | None) -> Data:
    """`x_train`, `y_train`, `x_test`, `y_test`: `[N, 784]` bytes, and labels.

    From a file in Keras's layout, or without one by Keras's downloader.
    """
    if path is None:
        train, test = keras.datasets.mnist.load_data()
        names = ("x_train", "y_train", "x_test", "y_test")
        data = dict(zip(names, (*train, *test), strict=True))
    else:
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
    for name in ("x_train", "x_test"):
        data[name] = data[name].reshape(len(data[name]), -1)
    return data


def binarize(images: np.ndarray, seed: int = BINARIZATION_SEED) -> np.ndarray:
    """Each pixel drawn once, with its grey level as probability, and kept.

    A literal seed makes it reproducible; it is not the file that the papers
    used, whose images were drawn in the same way.
    """
    draws = np.random.default_rng(seed).random(images.shape, dtype="float32")
    return (draws * 255.0 < images).astype("uint8")


def draw_pixels(images: tf.Tensor, seed: Any) -> tf.Tensor:
    """Each pixel drawn anew, with its grey level as probability."""
    noise = random.uniform(tf.shape(images), seed)
    pixels = noise * 255.0 < tf.cast(images, tf.float32)
    return tf.cast(pixels, tf.float32)


def batches(
    size: int, batch: int, seed: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Maps a step to the rows of its batch: all rows once an epoch, shuffled.

    What is left over at the end of an epoch is left out of it.
    """
    count, shuffle = size // batch, tf.random.experimental.index_shuffle

    def rows(step: tf.Tensor) -> tf.Tensor:
        places = step % count * batch + tf.range(batch, dtype=tf.int64)
        return shuffle(places, step_seed(seed, step // count), size - 1)

    return rows


def feed(arrays: Any, batch: int, seed: int) -> Callable[[tf.Tensor], Any]:
    """Maps a step to its batch of the arrays, which lie on the device."""
    tensors = [tf.constant(array) for array in arrays]
    rows = batches(len(arrays[0]), batch, seed)

    def take(step: tf.Tensor) -> list[tf.Tensor]:
        index = rows(step)
        return [tf.gather(tensor, index) for tensor in tensors]

    return take
