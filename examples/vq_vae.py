"""Digits in a grid of codes that stay in use, and a prior that draws new ones.

A VQ-VAE: convolutions turn an image into a grid of vectors, each vector becomes
one of K codes, and convolutions make an image of them. The quantizer is
`StochasticQuantizer`, trained four times from one bad start, with codes that
lie close together and far from most vectors:

- `nearest`: the VQ-VAE of the paper, the nearest code and a copied gradient;
- `sampled`: codes are drawn by their distance, with a scale that falls;
- `usage`: the same with a `CodeUsageLoss` of the kind "entropy";
- `revived`: codes that nobody draws are put on vectors of the batch.

The picture shows how many codes are in use while they train, as the logs of
`fit` say: their perplexity, and the share that is drawn at all.

Then a prior p(z) is learned over the codes of the last run, one position after
the other, by causal convolutions. It gives what the codes cost, so that

    -log p(x) ≤ -log p(x|z) - log p(z),    z the nearest codes of x,

is an honest bound in nats; the pixels are binarised for it. Drawn from
the prior, codes become digits that nobody wrote.

    python examples/vq_vae.py --out codes-out
    python examples/vq_vae.py --mnist mnist.npz --out codes-mnist

Reference:
    van den Oord, Vinyals, Kavukcuoglu. Neural discrete representation learning.
    NeurIPS 2017.
"""

from __future__ import annotations

import argparse
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
from _digits import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RUNS = ("nearest", "sampled", "usage", "revived")
# For what is not given on the command line.
DEFAULTS: dict[str, dict[str, int]] = {
    "digits": {"codes": 64, "steps": 1000, "prior_steps": 1000},
    "mnist": {"codes": 128, "steps": 600, "prior_steps": 600},
}
EPOCHS = 20  # Points of a curve.


class Run(NamedTuple):
    """What came of one way to train."""

    model: keras.Model
    error: float
    perplexity: list[float]
    usage: list[float]


class Scores(NamedTuple):
    """Test nats of an image, and the codes in use at the end, of each run."""

    error: dict[str, float]
    usage: dict[str, float]
    bound: float


def main(argv: list[str] | None = None) -> Scores:
    """Trains the autoencoders and a prior; returns the test scores."""
    args = parse(argv)
    train, test = load_images(args.mnist)
    args.out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, Run] = {}
    print(f"{'run':10}{'nats':>8}{'in use':>8}{'perplexity':>12}{'seconds':>9}")
    for name in args.runs:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        runs[name] = run = train_codes(name, train, test, args)
        seconds = time.process_time() - start
        print(
            f"{name:10}{run.error:>8.1f}{run.usage[-1]:>8.0%}"
            f"{run.perplexity[-1]:>12.1f}{seconds:>9.0f}",
            flush=True,
        )
    last = runs[args.runs[-1]]
    prior, cost = train_prior(last.model, train, test, args)
    bound = last.error + cost
    even = prior.input_shape[1] * np.log(args.codes)
    print(
        f"-log p(z) {cost:.1f} nats, {even:.1f} if all codes were as likely; "
        f"-log p(x) at most {bound:.1f} nats"
    )
    images = generated(prior, last.model, 24)
    plot(args.out / "codes.png", runs, test, images)
    print(f"Wrote {args.out / 'codes.png'}")
    return Scores(
        {name: run.error for name, run in runs.items()},
        {name: run.usage[-1] for name, run in runs.items()},
        bound,
    )


def load_images(mnist: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images of `load_digits`, `[N, H, W, 1]`, of zeros and ones."""
    both = (part.images > 0.5 for part in load_digits(mnist))
    train, test = (x.astype("float32")[..., None] for x in both)
    return train, test


# Autoencoder --------------------------------------------------------------


def make_quantizer(name: str, args: argparse.Namespace) -> keras.layers.Layer:
    """The layer that the runs differ in."""
    falling = tg.schedules.ExponentialAnnealing.between(
        args.scale, args.scale / 100, steps=max(1, args.steps // 2)
    )
    usage = tg.CodeUsageLoss("entropy", weight=args.weight, name="balance")
    options: dict[str, dict[str, Any]] = {
        "nearest": {"estimator": "nearest"},
        "sampled": {"scale": falling},
        "usage": {"scale": falling, "usage_loss": usage},
        "revived": {"scale": falling, "revive_after": 10.0},
    }
    kwargs = {"estimator": "copy", "revive_after": None, **options[name]}
    return tg.StochasticQuantizer(
        args.codes, args.dim, update="ema", name="codes", **kwargs
    )


def make_vae(name: str, side: int, args: argparse.Namespace) -> keras.Model:
    """From images to the log-odds of their pixels."""
    halvings = 1 if side < 16 else 2
    x = h = keras.Input((side, side, 1))
    for level in range(halvings):
        h = convolution(args.channels * 2**level, 4, 2)(h)
    vectors = keras.layers.Conv2D(args.dim, 1, name="vectors")(h)
    codes = make_quantizer(name, args)(vectors)
    h = convolution(args.channels * 2 ** (halvings - 1), 3)(codes)
    for level in reversed(range(halvings)):
        h = keras.layers.Conv2DTranspose(
            args.channels * 2**level, 4, 2, padding="same", activation="relu"
        )(h)
    return keras.Model(x, keras.layers.Conv2D(1, 3, padding="same")(h))


def convolution(channels: int, size: int, stride: int = 1) -> Any:
    return keras.layers.Conv2D(
        channels, size, stride, padding="same", activation="relu"
    )


def nats(x: Any, logits: Any) -> Any:
    """-log p(x|z) of an image."""
    costs = keras.ops.softplus(logits) - x * logits
    return keras.ops.sum(costs, axis=(1, 2, 3))


def mean_nats(x: Any, logits: Any) -> Any:
    """Of a pixel: of the size of the quantizer's loss, also a mean."""
    return nats(x, logits) / (x.shape[1] * x.shape[2])


def batches(images: np.ndarray, args: argparse.Namespace) -> tf.data.Dataset:
    """Pairs of the same images, for ever."""
    data = tf.data.Dataset.from_tensor_slices(images)
    data = data.shuffle(len(images), seed=args.seed).repeat()
    return data.batch(args.batch_size).map(lambda x: (x, x))


def train_codes(
    name: str, train: np.ndarray, test: np.ndarray, args: argparse.Namespace
) -> Run:
    """An autoencoder; its codes in use are in the logs of `fit`."""
    model = make_vae(name, train.shape[1], args)
    optimizer = keras.optimizers.Adam(args.learning_rate)
    model.compile(optimizer, mean_nats, metrics=[nats])
    epochs = min(EPOCHS, args.steps)
    history = model.fit(
        batches(train, args),
        epochs=epochs,
        steps_per_epoch=args.steps // epochs,
        shuffle=False,  # The batches are.
        verbose=args.verbose,
    ).history
    logs = model.evaluate(
        test, test, batch_size=500, return_dict=True, verbose=0
    )
    return Run(
        model, logs["nats"], history["codes_perplexity"], history["codes_usage"]
    )


# Prior --------------------------------------------------------------------


def make_prior(positions: int, args: argparse.Namespace) -> keras.Model:
    """From codes, one place late, to logits of the codes `[B, T, K]`.

    Number K stands for the place before the first.
    """
    former = keras.Input((positions,), dtype="int32")
    place = keras.layers.Embedding(positions, args.units)(
        keras.ops.arange(positions)
    )
    h = keras.layers.Embedding(args.codes + 1, args.units)(former) + place
    for dilation in (1, 2, 4, 8, 16):
        seen = keras.layers.Conv1D(
            args.units,
            3,
            padding="causal",
            dilation_rate=dilation,
            activation="relu",
        )(h)
        h = keras.layers.LayerNormalization()(h + seen)
    return keras.Model(former, keras.layers.Dense(args.codes)(h))


def one_late(codes: np.ndarray, number: int) -> np.ndarray:
    first = np.full_like(codes[:, :1], number)
    return np.concatenate([first, codes[:, :-1]], axis=1)


def train_prior(
    model: keras.Model,
    train: np.ndarray,
    test: np.ndarray,
    args: argparse.Namespace,
) -> tuple[keras.Model, float]:
    """The prior, and -log p(z) of the test images."""
    encoder = keras.Model(model.input, model.get_layer("vectors").output)
    quantizer = model.get_layer("codes")

    def codes(images: np.ndarray) -> np.ndarray:
        vectors = encoder.predict(images, batch_size=500, verbose=0)
        return quantizer.encode(vectors).numpy().reshape(len(images), -1)

    known = codes(train[: args.batch_size * args.prior_steps])
    others = codes(test)
    prior = make_prior(known.shape[1], args)
    prior.compile(
        keras.optimizers.Adam(args.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    steps = -(-len(known) // args.batch_size)
    prior.fit(
        one_late(known, args.codes),
        known,
        batch_size=args.batch_size,
        epochs=-(-args.prior_steps // steps),
        verbose=args.verbose,
    )
    cost = prior.evaluate(
        one_late(others, args.codes), others, batch_size=500, verbose=0
    )
    return prior, cost * known.shape[1]


def generated(prior: keras.Model, model: keras.Model, count: int) -> np.ndarray:
    """Images of codes that are drawn from the prior, one after the other."""
    quantizer = model.get_layer("codes")
    positions, number = prior.input_shape[1], prior.output_shape[-1]
    draw = tg.StraightThroughCategorical(inference="sample", seed=5)
    codes = np.zeros((count, positions), "int32")
    for place in range(positions):
        logits = prior(one_late(codes, number))[:, place]
        codes[:, place] = np.argmax(draw(logits), axis=-1)
    side = round(positions**0.5)
    vectors = quantizer.decode(codes.reshape(count, side, side))
    decoder = keras.Model(quantizer.output, model.output)
    return keras.ops.sigmoid(decoder(vectors)).numpy()[..., 0]


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    runs: dict[str, Run],
    test: np.ndarray,
    images: np.ndarray,
) -> None:
    """Codes in use over the training; images, decoded ones, new ones."""
    figure = plt.figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    above, below = left.subplots(2, sharex=True)
    for name, run in runs.items():
        share = np.arange(1, len(run.usage) + 1) / len(run.usage)
        above.plot(share, run.perplexity, label=name)
        below.plot(share, run.usage, label=name)
    above.set(ylabel="perplexity of the codes", ylim=(0, None))
    below.set(ylabel="codes in use", ylim=(0, 1.05), xlabel="share of training")
    above.legend(loc="upper center")
    shown = test[:8]
    decoded = {
        name: keras.ops.sigmoid(run.model(shown)) for name, run in runs.items()
    }
    rows = [("test image", shown), *decoded.items()]
    rows += [
        ("drawn from the prior", images[:8]),
        ("", images[8:16]),
        ("", images[16:]),
    ]
    grid = right.subplots(len(rows), len(shown))
    for line, (name, several) in zip(grid, rows, strict=True):
        for axis, image in zip(line, np.squeeze(several), strict=True):
            axis.imshow(image, "gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_title(name, loc="left", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A VQ-VAE whose codes stay in use, and a prior over them.",
        out="codes-out",
        verbose=0,
        presets=DEFAULTS,
    )
    add = parser.add_argument
    help = "ways to train, one run each; the prior is that of the last"
    add("--runs", nargs="+", choices=RUNS, default=list(RUNS), help=help)
    parser.add_mnist()
    add("--codes", type=integer(2, 10**4), help="K, size of the book")
    add("--dim", type=integer(), default=16, help="numbers of a code")
    add("--channels", type=integer(), default=16, help="of the first level")
    add("--units", type=integer(), default=64, help="of the prior")
    help = "of the distances by which codes are drawn, at the start"
    add("--scale", type=positive, default=1.0, help=help)
    help = "weight of the usage loss in the run `usage`"
    add("--weight", type=number(), default=0.1, help=help)
    add("--steps", type=integer(), help="of an autoencoder")
    add("--prior-steps", type=integer(), help="of the prior")
    add("--batch-size", type=integer(), default=64, help="images in a step")
    add("--learning-rate", type=positive, default=2e-3, help="of Adam")
    args = parser.parse_args(argv)
    return args


if __name__ == "__main__":
    main()
