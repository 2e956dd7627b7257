"""The Gaussian VAE of Kingma and Welling (2014), and a map of its codes.

A digit becomes a point of the plane, and every point of the plane a digit. Two
layers, `GaussianKL` and `ReparamGaussian`, make a plain Keras model of it.

An encoder maps an image x to the mean and the log variance of D independent
Gaussians, q(z|x) = N(μ, diag σ²); a decoder maps a code z to the logits of the
pixels, p(x|z); the prior p(z) is N(0, I). Training descends the negative
evidence lower bound, in nats per image,

    -ELBO = E_{z~q(.|x)}[-log p(x|z)] + KL(q(.|x) || p).

Two layers make it a plain Keras model: `GaussianKL` adds the second term, in
closed form, to the loss, and `ReparamGaussian` draws z = μ + σ ε, through which
the gradient of the first passes to μ and σ without bias.

With two variables, as by default, the code is a point of the plane, and all
that the model knows can be drawn. `latent.png` shows where the test images lie,
each as its digit, which the model never saw; and beside it what the decoder
makes of a grid of codes. The grid is even in probability, not in length: its
points are Gaussian quantiles, so that each image stands for the same share of
the prior.

Data treatment: grey levels in [0, 1] are the targets of a binary cross-entropy
summed over the pixels. Such figures do not compare with those of binarised
images. The test -ELBO draws several codes per image.

    python examples/gaussian_vae.py --out vae-gaussian

Reference:
    Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
from collections.abc import Sequence
from statistics import NormalDist

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from _digits import Digits, load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Shape = Sequence[int]


def main(argv: list[str] | None = None) -> float:
    """Trains, evaluates, writes the files; returns the test -ELBO."""
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    train, test = load_digits()
    image = train.images.shape[1:]
    encoder = make_encoder(image, args.hidden, args.latents)
    decoder = make_decoder(args.latents, args.hidden[::-1], image)
    model = make_vae(encoder, decoder)
    compile_vae(model, args.learning_rate)

    print(f"untrained: {describe(model, test.images, args.samples)[1]}")
    history = model.fit(
        train.images,
        train.images,
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_data=(test.images, test.images),
        verbose=args.verbose,
    )
    bound, text = describe(model, test.images, args.samples)
    print(f"trained: {text}")

    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "model.keras")
    plot_history(args.out, history.history)
    plot_reconstructions(args.out, encoder, decoder, test.images)
    if args.latents == 2:
        plot_latent(args.out, encoder, decoder, test)
    print(f"Wrote {args.out}: " + ", ".join(sorted(os.listdir(args.out))))
    return bound


# Model --------------------------------------------------------------------


def make_encoder(image: Shape, hidden: Shape, latents: int) -> keras.Model:
    """From images `[B, H, W]` to mean and log variance of q, `[B, D]` each."""
    images = keras.Input(image)
    x = keras.layers.Flatten()(images)
    for units in hidden:
        x = keras.layers.Dense(units, activation="relu")(x)
    mean = keras.layers.Dense(latents, name="mean")(x)
    log_variance = keras.layers.Dense(latents, name="log_variance")(x)
    return keras.Model(images, (mean, log_variance), name="encoder")


def make_decoder(latents: int, hidden: Shape, image: Shape) -> keras.Model:
    """From codes `[B, D]` to the logits `[B, H, W]` of p(x|z)."""
    layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
    return keras.Sequential(
        [
            keras.Input((latents,)),
            *layers,
            keras.layers.Dense(math.prod(image)),
            keras.layers.Reshape(image),
        ],
        name="decoder",
    )


def make_vae(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """Encoder, KL divergence, sample, decoder.

    inference="sample": `evaluate` draws codes too, as the bound requires.
    """
    images = keras.Input(encoder.input_shape[1:])
    parameters = tg.GaussianKL()(encoder(images))
    code = tg.ReparamGaussian(inference="sample")(parameters)
    return keras.Model(images, decoder(code), name="vae")


def compile_vae(model: keras.Model, learning_rate: float) -> None:
    """The loss is -ELBO: Keras averages over pixels, the bound sums."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        loss_weights=float(math.prod(model.output_shape[1:])),
    )


def describe(
    model: keras.Model, images: np.ndarray, samples: int
) -> tuple[float, str]:
    """-ELBO in nats; in words, with the standard error over passes."""
    # With the loss, Keras reports the divergence.
    logs = [
        model.evaluate(
            images, images, batch_size=500, verbose=0, return_dict=True
        )
        for _ in range(samples)
    ]
    bounds = [log["loss"] for log in logs]
    bound, error = np.mean(bounds), np.std(bounds, ddof=1) / np.sqrt(samples)
    return float(bound), f"test -ELBO {bound:.2f} ± {error:.2f} nats"


# Pictures -----------------------------------------------------------------


def decode(decoder: keras.Model, codes: np.ndarray) -> np.ndarray:
    """Mean images, `[N, H, W]`."""
    return np.array(keras.ops.sigmoid(decoder(codes)))


def mosaic(grid: np.ndarray, size: int = 40) -> np.ndarray:
    """One picture from images `[rows, columns, H, W]`, enlarged, framed."""
    rows, columns, *image = grid.shape
    large = keras.ops.image.resize(
        grid.reshape(-1, *image, 1),
        (size - 4, size - 4),
        interpolation="bicubic",
    )
    tiles = np.reshape(large, (rows, columns, size - 4, size - 4))
    frame = ((0, 0), (0, 0), (2, 2), (2, 2))
    tiles = np.pad(tiles, frame, constant_values=0.5)
    return tiles.swapaxes(1, 2).reshape(rows * size, columns * size)


def plot_history(out: pathlib.Path, history: dict[str, list[float]]) -> None:
    """-ELBO by epoch."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    epochs = np.arange(len(history["loss"])) + 1
    axes.plot(epochs, history["loss"], label="train")
    axes.plot(epochs, history["val_loss"], label="test")
    axes.set(xlabel="epoch", ylabel="-ELBO (nats)")
    axes.legend()
    figure.savefig(out / "history.png", dpi=120)
    plt.close(figure)


def plot_reconstructions(
    out: pathlib.Path,
    encoder: keras.Model,
    decoder: keras.Model,
    test: np.ndarray,
) -> None:
    """Test images in odd rows, what their mean codes give below."""
    images = test[:64]
    mean, _ = encoder(images)
    pairs = np.stack([images, decode(decoder, mean)])
    grid = pairs.reshape(2, 4, 16, *images.shape[1:]).swapaxes(0, 1)
    picture = mosaic(grid.reshape(8, 16, *images.shape[1:]))
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title("test images, each above its reconstruction", fontsize=9)
    axes.axis("off")
    figure.savefig(out / "reconstructions.png", dpi=120)
    plt.close(figure)


def plot_latent(
    out: pathlib.Path,
    encoder: keras.Model,
    decoder: keras.Model,
    test: Digits,
) -> None:
    """Codes of the test images by digit, and images of a grid of codes."""
    figure, (codes, grid) = plt.subplots(
        1, 2, figsize=(11, 5.6), layout="constrained"
    )
    mean, _ = encoder(test.images)
    mean = np.array(mean)
    for digit in range(10):
        chosen = mean[test.labels == digit]
        codes.scatter(*chosen.T, s=50, marker=f"${digit}$", color=f"C{digit}")
    codes.set(title="mean codes of the test images", aspect="equal")
    codes.set(xlabel="first variable", ylabel="second variable")

    quantiles, images = decoded_quantiles(decoder)
    size = len(quantiles)
    edges = (0, size, 0, size)
    grid.imshow(mosaic(images), "gray", vmin=0, vmax=1, extent=edges)
    middles = np.arange(size) + 0.5
    labels = [f"{quantile:.1f}" for quantile in quantiles]
    grid.set_xticks(middles[::2], labels[::2])
    grid.set_yticks(middles[::2], labels[::2])
    grid.set(title="images of codes at quantiles of the prior")
    grid.set(xlabel="first variable", ylabel="second variable")
    figure.savefig(out / "latent.png", dpi=120)
    plt.close(figure)


def decoded_quantiles(
    decoder: keras.Model, size: int = 15
) -> tuple[list[float], np.ndarray]:
    """Quantiles of N(0, 1), and images `[size, size, H, W]` of their pairs.

    They are the medians of `size` parts of equal probability. The first
    variable grows to the right, the second upwards.
    """
    normal = NormalDist()
    quantiles = [normal.inv_cdf((i + 0.5) / size) for i in range(size)]
    first, second = np.meshgrid(quantiles, quantiles[::-1])
    images = decode(decoder, np.stack([first.ravel(), second.ravel()], 1))
    return quantiles, images.reshape(size, size, *images.shape[1:])


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Gaussian VAE (Kingma and Welling 2014) on 8x8 digits.",
        out="vae-gaussian",
        verbose=1,
    )
    add = parser.add_argument
    add("--latents", type=integer(), default=2, help="D, number of variables")
    add(
        "--hidden",
        type=integer(),
        nargs="+",
        default=[256, 128],
        help="units of the encoder's hidden layers, which the decoder reverses",
    )
    add("--epochs", type=integer(), default=120, help="passes over the data")
    add("--batch-size", type=integer(), default=50, help="images in a step")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    help = "codes for each test image in the bound"
    add("--samples", type=integer(2), default=10, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
