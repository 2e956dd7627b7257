"""Thirty labelled digits, fifteen hundred without: a label as a latent.

Of 1,500 digits only thirty are labelled; the label of the others is a latent
variable. Summed out or sampled, it makes the classifier far better than thirty
labels alone do.

A generative model draws a class y, uniform over ten, a style z, N(0, I), and
then the pixels of an image, p(x|y, z). Where the label of an image is known,
-log p(x, y) has the bound of a conditional VAE,

    L(y, x) = E_{q(z|x,y)}[-log p(x|y, z)] + KL(q(z|x, y) ‖ p(z)) + log 10;

where it is not, y is latent, and a classifier q(y|x) infers it (model M2 of
Kingma, Mohamed, Rezende and Welling 2014):

    U(x) = E_{q(y|x)}[L(y, x)] - H(q(y|x)).

So the classifier learns from images that nobody labelled: the right class is
the one in which the decoder finds the image likely. The expectation over y can
be had exactly, by decoding with each of the ten classes, or from one sample,
as Jang, Gu and Poole (2017) did to be free of the factor 10. Here it is one
word: `ExpectedCost(bound, estimator="exact")`, `"nvil"` or `"gumbel_softmax"`.
Beside them stands the classifier trained on the 30 labels alone. Each is
trained three times, with other images labelled.

With the default settings the exact expectation names far more of the test
digits right than the labels alone, one sample with NVIL's score function hardly
fewer, and one relaxed sample, which is biased and asks the decoder for mixtures
of digits, comes in between.

With the label to itself, z holds what is left, the style: in 8x8 pixels, not
much. The picture shows test images, and their styles decoded with every class.

    python examples/semi_supervised_vae.py --out labels-out

Reference:
    Kingma, Mohamed, Rezende, Welling. Semi-supervised learning with deep
    generative models. NeurIPS 2014.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from _arguments import Parser, integer, number, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CLASSES = 10
PIXELS = 64
# With what the expectation over an unknown label is computed, and how many
# labels are decoded for it.
WAYS = {
    "labels alone": 0,
    "exact": CLASSES,
    "nvil": 1,
    "gumbel_softmax": 1,
}
TEMPERATURES = {"gumbel_softmax": {"temperature": 0.5}}


class Data(NamedTuple):
    """Pixels `[N, 64]`, grey levels in [0, 1], and labels `[N]`."""

    labelled: np.ndarray
    labels: np.ndarray
    unlabelled: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains in every way; returns the mean test accuracies."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    shown = next((name for name in args.ways if WAYS[name]), None)
    means = {}
    print(f"{'label':16}{'decoded':>8}{'test accuracy':>18}{'seconds':>9}")
    for name in args.ways:
        hits, start = [], time.process_time()
        for run in range(args.runs):
            data = load_data(args.labels, args.seed + run)
            keras.utils.set_random_seed(args.seed + run)
            parts = Parts(args.hidden, args.latents)
            fit(name, parts, data, args)
            hits.append(accuracy(parts.classifier, data))
        seconds = (time.process_time() - start) / args.runs
        means[name] = float(np.mean(hits))
        cell = f"{means[name]:.3f} ± {standard_error(hits):.3f}"
        print(f"{name:16}{WAYS[name]:>8}{cell:>18}{seconds:>9.0f}")
        if name == shown:
            plot(args.out / "styles.png", parts, data)
            print(f"Wrote {args.out / 'styles.png'}")
    return means


def load_data(labels: int, seed: int) -> Data:
    """300 digits for the test; the seed chooses which others are labelled."""
    digits = load_digits()
    pixels = digits.data.astype("float32") / 16.0
    order = np.random.default_rng(0).permutation(len(pixels))
    test, train = order[:300], order[300:]
    # As many labels of each class.
    mixed = np.random.default_rng(seed).permutation(train)
    by_class = [mixed[digits.target[mixed] == y] for y in range(CLASSES)]
    known = np.concatenate([part[: labels // CLASSES] for part in by_class])
    unknown = np.setdiff1d(train, known)
    return Data(
        pixels[known],
        digits.target[known],
        pixels[unknown],
        pixels[test],
        digits.target[test],
    )


# Model --------------------------------------------------------------------


class Parts:
    """q(y|x), q(z|x, y) and p(x|y, z), and the bound made of the last two."""

    def __init__(self, hidden: int, latents: int) -> None:
        self.classifier = perceptron((PIXELS,), hidden, CLASSES)
        self.encoder = perceptron((PIXELS + CLASSES,), hidden, 2 * latents)
        self.decoder = perceptron((CLASSES + latents,), hidden, PIXELS)
        self.bound = Bound(self.encoder, self.decoder)


def perceptron(inputs: tuple, hidden: int, outputs: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(inputs),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(outputs),
        ]
    )


class Bound(keras.layers.Layer):
    """L(y, x), in nats, one value per example; y may be relaxed."""

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.sampler = tg.ReparamGaussian(inference="sample")

    def call(self, y, x):
        mean, log_variance = self.posterior(y, x)
        z = self.sampler((mean, log_variance))
        logits = self.decoder(keras.ops.concatenate([y, z], axis=-1))
        cross_entropy = keras.ops.softplus(logits) - x * logits
        stddev = keras.ops.exp(0.5 * log_variance)
        kl = tg.ops.gaussian_kl(mean, stddev, 0.0, 1.0)
        return (
            keras.ops.sum(cross_entropy, axis=-1)
            + keras.ops.sum(kl, axis=-1)
            + math.log(CLASSES)
        )

    def posterior(self, y, x):
        """Mean and log variance of q(z|x, y)."""
        return keras.ops.split(
            self.encoder(keras.ops.concatenate([x, y], axis=-1)), 2, axis=-1
        )


def make_vae(parts: Parts, way: str, alpha: float) -> keras.Model:
    """From a labelled and an unlabelled image to their joint cost.

    An example of this model is a pair: one image with its label, and one
    without.
    """
    labelled, unlabelled = keras.Input((PIXELS,)), keras.Input((PIXELS,))
    label = keras.Input((), dtype="int32")

    y = keras.ops.one_hot(label, CLASSES)
    log_q = keras.ops.log_softmax(parts.classifier(labelled))
    known = parts.bound(y, labelled) - alpha * keras.ops.sum(y * log_q, axis=-1)

    logits = parts.classifier(unlabelled)
    log_q = keras.ops.log_softmax(logits)
    negative_entropy = keras.ops.sum(keras.ops.exp(log_q) * log_q, axis=-1)
    estimator = tg.estimators.get(way, **TEMPERATURES.get(way, {}))
    expected = tg.ExpectedCost(parts.bound, estimator)(logits, unlabelled)
    cost = known + expected + negative_entropy
    return keras.Model((labelled, label, unlabelled), cost)


# Training -----------------------------------------------------------------


def fit(name: str, parts: Parts, data: Data, args: argparse.Namespace) -> None:
    """Each epoch takes every unlabelled image once, the others often."""
    rows = np.arange(len(data.unlabelled)) % len(data.labelled)
    x: Any = data.labelled[rows]
    y = data.labels[rows]
    if WAYS[name]:
        model = make_vae(parts, name, args.alpha)
        x, y = (x, y, data.unlabelled), np.zeros(len(rows))
        loss = tg.losses.MeanCost()
    else:
        model = parts.classifier
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(args.learning_rate), loss)
    model.fit(x, y, batch_size=50, epochs=args.epochs, verbose=args.verbose)


# Results ------------------------------------------------------------------


def accuracy(classifier: keras.Model, data: Data) -> float:
    """On the test images."""
    found = np.argmax(classifier(data.test), axis=-1)
    return float(np.mean(found == data.test_labels))


def standard_error(values: list[float]) -> float:
    """Of the mean; of one value nothing is known."""
    if len(values) < 2:
        return np.nan
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def plot(path: pathlib.Path, parts: Parts, data: Data) -> None:
    """Left a test image; beside it its style, decoded with each class."""
    first = [np.flatnonzero(data.test_labels == y)[0] for y in range(CLASSES)]
    x = data.test[first]
    logits = parts.classifier(x)
    y = keras.ops.one_hot(keras.ops.argmax(logits, axis=-1), CLASSES)
    style, _ = parts.bound.posterior(y, x)

    every = np.tile(np.eye(CLASSES, dtype="float32"), (len(x), 1))
    codes = tf.concat([every, np.repeat(style, CLASSES, axis=0)], axis=-1)
    images = np.array(keras.ops.sigmoid(parts.decoder(codes)))
    grid = images.reshape(len(x), CLASSES, PIXELS)
    gap = np.full((len(x), 1, PIXELS), np.nan)
    grid = np.concatenate([x[:, None], gap, grid], axis=1)

    figure, axes = plt.subplots(
        len(x), CLASSES + 2, figsize=(7.2, 6.2), layout="constrained"
    )
    for axis, image in zip(axes.flat, grid.reshape(-1, 8, 8), strict=True):
        axis.imshow(image, "gray", vmin=0, vmax=1)
        axis.axis("off")
    axes[0, 0].set_title("test", fontsize=9)
    for label, axis in enumerate(axes[0, 2:]):
        axis.set_title(f"as {label}", fontsize=9)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Semi-supervised VAE (Kingma et al. 2014) on 8x8 digits.",
        out="labels-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=list(WAYS),
        help="what to train with; the picture is of the first with a decoder",
    )
    add("--labels", type=label_count, default=30, help="images with a label")
    help = "times to train, each with other images labelled"
    add("--runs", type=integer(), default=3, help=help)
    add("--latents", type=integer(), default=8, help="variables of the style")
    add("--hidden", type=integer(), default=128, help="units of a layer")
    help = "weight of the labels in the loss of the classifier"
    add("--alpha", type=number(), default=20.0, help=help)
    add("--epochs", type=integer(), default=40, help="passes over the data")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    return parser.parse_args(argv)


def label_count(text: str) -> int:
    """The type of a number of labels, as many of each class."""
    value = integer(CLASSES, 1000)(text)
    if value % CLASSES:
        raise argparse.ArgumentTypeError(
            f"must be a multiple of the {CLASSES} classes, not {text!r}"
        )
    return value


if __name__ == "__main__":
    main()
