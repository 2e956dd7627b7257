"""The lower half of a digit, given its upper half: there is more than one.

Half a digit can be completed in more than one way, and a network of independent
pixels draws their average. Random bits in the middle give it several answers.

A half circle may end as an 8, a 9, a 3 or a 2. A network that maps the upper
half x of an image to the probabilities of the 32 lower pixels y has one answer
for all of these, their average, since it takes the pixels to be independent.
Put a few random bits z between the two and it has as many answers as there are
codes (Raiko, Berglund, Alain and Dinh 2015):

    p(y|x) = E_{z ~ p(z|x)}[p(y|x, z)],

each with independent pixels, together not. Training descends the bound of
M samples, in nats per image,

    -log 1/M Σ_m p(y|x, z_m),

which falls towards -log p(y|x) as M grows. M matters: with one sample every
code has to answer for every y, the best that the bits can do is nothing, and
the network is the average again. With twenty, one good code among them is
enough. The gradient reaches p(z|x) through `StraightThroughBernoulli`; pixels
are binarised, so that nats are those of a proper likelihood.

The table shows the test likelihood of a network without bits, of bits trained
with one sample and with M; each stops where a validation set says so. The
picture shows what the last one draws from its bits.

    python examples/structured_prediction.py --out halves-out

Reference:
    Raiko, Berglund, Alain, Dinh. Techniques for learning binary stochastic
    feedforward neural networks. ICLR 2015.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HALF = 32  # Pixels of half an image.


class Halves(NamedTuple):
    """Binary pixels `[N, 32]` of the upper and the lower halves."""

    upper: np.ndarray
    lower: np.ndarray


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains three networks; returns the test -log p(y|x) of each."""
    args = parse(argv)
    train, validation, test, labels = load_data()
    args.out.mkdir(parents=True, exist_ok=True)
    runs = {
        "no bits": (0, 1),
        "1 sample": (args.bits, 1),
        f"{args.samples} samples": (args.bits, args.samples),
    }
    results, networks = {}, []
    many = args.test_samples
    header = f"{'1 sample':>10}{f'{many} samples':>14}{'seconds':>9}"
    print(f"{'-log p(y|x), nats':20}{header}")
    for name, (bits, samples) in runs.items():
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        network = Network(bits, args.hidden, args.estimator)
        fit(network.model(samples), train, validation, args)
        one, results[name] = (
            negative_log_likelihood(network, test, m) for m in (1, many)
        )
        seconds = time.process_time() - start
        print(f"{name:20}{one:>10.2f}{results[name]:>14.2f}{seconds:>9.0f}")
        networks.append(network)
    path = args.out / "halves.png"
    plot(path, networks[0], networks[-1], test, labels)
    print(f"Wrote {path}")
    return results


def load_data() -> tuple[Halves, Halves, Halves, np.ndarray]:
    """Halves to train, 200 to validate, 300 to test; the latter's digits."""
    digits = load_digits()
    pixels = (digits.data >= 8).astype("float32")
    order = np.random.default_rng(0).permutation(len(pixels))
    test, validation, train = order[:300], order[300:500], order[500:]
    halves = (
        Halves(pixels[part, :HALF], pixels[part, HALF:])
        for part in (train, validation, test)
    )
    return *halves, digits.target[test]


# Model --------------------------------------------------------------------


class Network:
    """Layers from x to bits and from x and bits to y, for any sample count.

    Args:
        bits: D, number of bits; 0 for none.
        hidden: Units of the hidden layers.
        estimator: Of `StraightThroughBernoulli`.
    """

    def __init__(self, bits: int, hidden: int, estimator: str) -> None:
        dense = keras.layers.Dense
        self.bits = bits
        self.encoder = keras.Sequential(
            [
                keras.Input((HALF,)),
                dense(hidden, activation="relu"),
                dense(max(bits, 1)),
            ]
        )
        # inference="sample": the test likelihood needs samples, too.
        self.sampler = tg.StraightThroughBernoulli(
            estimator, inference="sample"
        )
        self.decoder = keras.Sequential(
            [
                keras.Input((None, HALF + bits)),
                dense(hidden, activation="relu"),
                dense(hidden, activation="relu"),
                dense(HALF),
            ]
        )

    def model(self, samples: int) -> keras.Model:
        """From x `[B, 32]` to logits of y for each sample, `[B, M, 32]`."""
        upper = keras.Input((HALF,))
        repeat = keras.layers.RepeatVector(samples)
        seen = repeat(upper)
        if self.bits:
            z = self.sampler(repeat(self.encoder(upper)))
            seen = keras.ops.concatenate([seen, z], axis=-1)
        return keras.Model(upper, self.decoder(seen))


def bound(lower, logits):
    """-log 1/M Σ_m p(y|x, z_m) in nats, one value per image."""
    # log p(y|x, z_m), summed over pixels: -log(1 + exp(-logit)) where y is 1.
    signs = 2.0 * lower[:, None] - 1.0
    log_p = -keras.ops.sum(keras.ops.softplus(-signs * logits), axis=-1)
    samples = logits.shape[1]
    return math.log(samples) - keras.ops.logsumexp(log_p, axis=1)


def fit(
    model: keras.Model,
    train: Halves,
    validation: Halves,
    args: argparse.Namespace,
) -> None:
    """Trains until the validation bound has long stopped to fall."""
    model.compile(keras.optimizers.Adam(args.learning_rate), loss=bound)
    stop = keras.callbacks.EarlyStopping(
        patience=args.patience, restore_best_weights=True
    )
    model.fit(
        *train,
        batch_size=50,
        epochs=args.epochs,
        validation_data=tuple(validation),
        callbacks=[stop],
        verbose=args.verbose,
    )


def negative_log_likelihood(
    network: Network, test: Halves, samples: int
) -> float:
    """The bound on the test images."""
    model = network.model(samples)
    model.compile(loss=bound)
    return float(model.evaluate(*test, batch_size=50, verbose=0))


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    plain: Network,
    stochastic: Network,
    test: Halves,
    labels: np.ndarray,
    draws: int = 6,
) -> None:
    """A column for one test image of each digit, a row for each answer."""
    chosen = [np.flatnonzero(labels == digit)[0] for digit in range(10)]
    upper, lower = test.upper[chosen], test.lower[chosen]
    single = keras.ops.sigmoid(plain.model(1)(upper))[:, 0]
    several = keras.ops.sigmoid(stochastic.model(draws)(upper))
    average = keras.ops.mean(
        keras.ops.sigmoid(stochastic.model(200)(upper)), axis=1
    )
    rows = {
        "the image": lower,
        "the upper half": np.full_like(lower, np.nan),
        "no bits": np.array(single),
        "bits, average": np.array(average),
    }
    for i in range(draws):
        rows[f"bits, sample {i + 1}"] = np.array(several[:, i])

    figure, axes = plt.subplots(
        len(rows), 10, figsize=(7.6, 0.68 * len(rows)), layout="constrained"
    )
    gray = plt.get_cmap("gray").with_extremes(bad="tab:blue")
    for line, (title, below) in zip(axes, rows.items(), strict=True):
        images = np.concatenate([upper, below], axis=-1).reshape(-1, 8, 8)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, gray, vmin=0, vmax=1)
            axis.axhline(3.5, color="tab:blue", lw=0.8)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(
            title, rotation=0, ha="right", va="center", fontsize=8
        )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Lower halves of digits from their upper halves.",
        out="halves-out",
        verbose=0,
    )
    add = parser.add_argument
    help = "D, number of Bernoulli variables"
    add("--bits", type=integer(), default=16, help=help)
    help = "M, samples for each image in training"
    add("--samples", type=integer(), default=20, help=help)
    help = "samples for each image in the test"
    add("--test-samples", type=integer(), default=1000, help=help)
    add(
        "--estimator",
        choices=tg.estimators.surrogates(),
        default="reinmax",
        help="how the gradient is taken through the bits",
    )
    add("--hidden", type=integer(), default=128, help="units of a layer")
    add(
        "--epochs",
        type=integer(),
        default=200,
        help="passes over the data at most",
    )
    help = "epochs without progress before training stops"
    add("--patience", type=integer(), default=15, help=help)
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
