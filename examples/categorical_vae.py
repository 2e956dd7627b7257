"""The categorical VAE of Jang, Gu and Poole (2017) on handwritten digits.

A digit becomes a code of eight variables of ten categories each, and is drawn
anew from that code. The gradient passes the discrete samples by any of seven
estimators, named on the command line.

An encoder maps an image x to the logits of D categorical variables of K
classes each, q(z|x); a decoder maps their one-hot codes z to the logits of the
pixels, p(x|z); the prior p(z) is uniform. Training descends the negative
evidence lower bound, in nats per image,

    -ELBO = E_{z~q(.|x)}[-log p(x|z)] + KL(q(.|x) || p).

The KL divergence is computed in closed form. The gradient of the expectation
has to pass through a discrete sample: `--estimator` names the layer that does
it, and the rest of the model stays the same. During the first part of the run
the weight of the KL divergence grows from 0 to 1, so that the encoder does not
settle on the prior before the decoder has learned to read its codes.

Data treatment: grey levels in [0, 1] are the targets of a binary cross-entropy
summed over the pixels, as in the authors' notebook. Such figures do not compare
with those of binarised images. The test -ELBO uses exact one-hot samples,
whatever the layer draws in training.

    python examples/categorical_vae.py --out vae-out
    python examples/categorical_vae.py --mnist --out vae-mnist

Reference:
    Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax.
    ICLR 2017.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import pathlib
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import (
    Parser,
    check_annealing,
    integer,
    number,
    positive,
)
from _digits import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Shape = Sequence[int]

DEFAULTS = {
    "digits": {
        "epochs": 60,
        "batch_size": 50,
        "latents": 8,
        "hidden": (256, 128),
        "learning_rate": 2e-3,
        "minimum_temperature": 0.3,
    },
    # Jang et al., except for the optimiser and the number of steps.
    "mnist": {
        "epochs": 20,
        "batch_size": 100,
        "latents": 20,
        "hidden": (512, 256),
        "learning_rate": 1e-3,
        "minimum_temperature": 0.5,
    },
}


SAMPLERS: dict[str, Callable[..., keras.layers.Layer]] = {
    "gumbel_softmax": tg.GumbelSoftmax,
    "reinforce": tg.ReinforceSampler,
    **{
        name: functools.partial(tg.StraightThroughCategorical, name)
        for name in ("gumbel_rao", "reinmax", "st", "st_gumbel", "zgr")
    },
}
# REINFORCE has no temperature; the others keep theirs.
ANNEALED = ("gumbel_softmax", "gumbel_rao", "st_gumbel")


def main(argv: list[str] | None = None) -> float:
    """Trains, evaluates, writes the files; returns the test -ELBO."""
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    train, test = (part.images for part in load_digits(args.mnist))
    args.out.mkdir(parents=True, exist_ok=True)

    image, code = train.shape[1:], (args.latents, args.classes)
    encoder = make_encoder(image, args.hidden, code)
    decoder = make_decoder(code, args.hidden[::-1], image)
    # inference="sample": `evaluate` draws exact one-hot codes, as the bound
    # requires. (The default, "mode", is for serving.)
    sampler = SAMPLERS[args.estimator](inference="sample", name="sampler")
    model = make_vae(encoder, sampler, decoder)
    compile_vae(model, args.learning_rate)

    print(f"untrained: {describe(test_bound(model, test, args.samples))}")
    steps = args.epochs * -(-len(train) // args.batch_size)
    model.fit(
        train,
        train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_data=(test, test),
        callbacks=make_callbacks(args, steps),
        verbose=args.verbose,
    )
    model.get_layer("kl").weight = 1.0
    bound = test_bound(model, test, args.samples)
    print(f"{args.estimator}: {describe(bound)}")

    model.save(args.out / "model.keras")
    server = make_server(encoder, decoder)
    server.export(args.out / "saved_model", verbose=False)
    plot_history(args.out)
    plot_reconstructions(args.out, server, test)
    plot_codes(args.out, encoder, decoder, test)
    plot_prior_samples(args.out, decoder, args.seed)
    print(f"Wrote {args.out}: " + ", ".join(sorted(os.listdir(args.out))))
    return bound[0]


# Data ---------------------------------------------------------------------


# Model --------------------------------------------------------------------


def make_encoder(image: Shape, hidden: Shape, code: Shape) -> keras.Model:
    """From images `[B, H, W]` to logits `[B, D, K]` of q(z|x)."""
    return perceptron("encoder", image, hidden, code)


def make_decoder(code: Shape, hidden: Shape, image: Shape) -> keras.Model:
    """From codes `[B, D, K]` to the logits `[B, H, W]` of p(x|z)."""
    return perceptron("decoder", code, hidden, image)


def perceptron(
    name: str, inputs: Shape, hidden: Shape, outputs: Shape
) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(inputs),
            keras.layers.Flatten(),
            *(keras.layers.Dense(n, activation="relu") for n in hidden),
            keras.layers.Dense(math.prod(outputs)),
            keras.layers.Reshape(outputs),
        ],
        name=name,
    )


def make_vae(
    encoder: keras.Model, sampler: keras.layers.Layer, decoder: keras.Model
) -> keras.Model:
    """Encoder, KL divergence, sampling layer, decoder.

    A plain `keras.Model` would do for every sampler but `ReinforceSampler`,
    to which `StochasticModel` brings the loss of each example; its baseline
    predicts that loss from the image.
    """
    images = keras.Input(encoder.input_shape[1:])
    logits = tg.CategoricalKL(name="kl")(encoder(images))
    reinforce = isinstance(sampler, tg.ReinforceSampler)
    code = sampler(logits, **({"context": images} if reinforce else {}))
    return tg.StochasticModel(images, decoder(code), name="vae")


def compile_vae(model: keras.Model, learning_rate: float) -> None:
    """The loss is -ELBO: Keras averages over pixels, the bound sums."""
    pixels = model.output_shape[1] * model.output_shape[2]
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        loss_weights=float(pixels),
    )


def make_server(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """The reconstruction from the most likely code: nothing is drawn."""
    images = keras.Input(encoder.input_shape[1:])
    code = tg.GumbelSoftmax(inference="mode")(encoder(images))
    pixels = keras.layers.Activation("sigmoid")(decoder(code))
    return keras.Model(images, pixels, name="reconstruct")


# Training and evaluation --------------------------------------------------


def make_callbacks(
    args: argparse.Namespace, steps: int
) -> list[keras.callbacks.Callback]:
    """Annealing of temperature and KL weight, and the log of both.

    The temperature falls by a constant factor to its minimum, half-way. The
    logger comes last, to see what the callbacks before it wrote.
    """
    rise = max(1.0, args.kl_warmup * steps)
    callbacks = [
        tg.TemperatureScheduler(
            lambda step: min(1.0, (step + 1) / rise), attribute="weight"
        ),
        keras.callbacks.CSVLogger(args.out / "history.csv"),
    ]
    if args.estimator in ANNEALED:
        schedule = tg.schedules.ExponentialAnnealing.between(
            args.temperature, args.minimum_temperature, steps=-(-steps // 2)
        )
        callbacks.insert(0, tg.TemperatureScheduler(schedule))
    return callbacks


def test_bound(
    model: keras.Model, images: np.ndarray, samples: int
) -> tuple[float, float]:
    """-ELBO in nats, one-hot codes, and the standard error over passes."""
    # With the loss, Keras reports the divergence.
    logs = [
        model.evaluate(
            images, images, batch_size=500, verbose=0, return_dict=True
        )
        for _ in range(samples)
    ]
    bounds = [log["loss"] for log in logs]
    return np.mean(bounds), np.std(bounds, ddof=1) / np.sqrt(samples)


def describe(bound: tuple[float, float]) -> str:
    return f"test -ELBO {bound[0]:.2f} ± {bound[1]:.2f} nats"


# Pictures -----------------------------------------------------------------


def decode(decoder: keras.Model, codes: np.ndarray) -> np.ndarray:
    """Mean images, `[N, H, W]`, of the integer codes `[N, D]`."""
    one_hot = np.eye(decoder.input_shape[-1], dtype="float32")[codes]
    return keras.ops.sigmoid(decoder(one_hot))


def plot_history(out: pathlib.Path) -> None:
    """Loss by epoch; below it what was annealed."""
    history = np.genfromtxt(out / "history.csv", delimiter=",", names=True)
    history = np.atleast_1d(history)
    figure, (loss, annealed) = plt.subplots(
        2, 1, figsize=(6, 5), height_ratios=(2, 1), layout="constrained"
    )
    epochs = history["epoch"] + 1
    loss.plot(epochs, history["loss"], label="train, as sampled in training")
    loss.plot(epochs, history["val_loss"], label="test, one-hot samples")
    loss.set_ylabel("loss (nats), KL weighted")
    loss.legend()
    for name in ("temperature", "kl_weight"):
        if name in (history.dtype.names or ()):
            annealed.plot(epochs, history[name], label=name)
    annealed.set(xlabel="epoch", ylim=(0, None))
    annealed.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.savefig(out / "history.png", dpi=120)
    plt.close(figure)


def plot_grid(path: pathlib.Path, grid: np.ndarray, title: str) -> None:
    """Images `[rows, columns, H, W]`, enlarged, each with a grey border."""
    rows, columns, *image = grid.shape
    flat = np.reshape(grid, (-1, *image, 1))
    large = keras.ops.image.resize(flat, (56, 56), interpolation="bicubic")
    border = ((0, 0), (0, 0), (2, 2), (2, 2))
    tiles = np.reshape(large, (rows, columns, 56, 56))
    tiles = np.pad(tiles, border, constant_values=0.5)
    picture = tiles.swapaxes(1, 2).reshape(rows * 60, columns * 60)
    size = (0.5 * columns, 0.5 * rows + 0.4)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9)
    axes.axis("off")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_reconstructions(
    out: pathlib.Path, server: keras.Model, test: np.ndarray
) -> None:
    """Test images in odd rows, what their most likely codes give below."""
    images = test[:64]
    decoded = server(images)
    pairs = np.stack([images, decoded]).reshape(2, 4, 16, *images.shape[1:])
    grid = pairs.swapaxes(0, 1).reshape(8, 16, *images.shape[1:])
    title = "test images, each above its reconstruction"
    plot_grid(out / "reconstructions.png", grid, title)


def plot_codes(
    out: pathlib.Path,
    encoder: keras.Model,
    decoder: keras.Model,
    test: np.ndarray,
) -> None:
    """The code of one test image, with one variable at a time changed."""
    latents, classes = encoder.output_shape[1:]
    logits = encoder(test[:latents])
    codes = np.repeat(np.argmax(logits, -1)[:, None], classes, axis=1)
    rows = np.arange(latents)
    codes[rows, :, rows] = np.arange(classes)
    images = decode(decoder, codes.reshape(-1, latents))
    grid = np.reshape(images, (latents, classes, *images.shape[1:]))
    title = "row d: code of test image d, variable d set to each value"
    plot_grid(out / "codes.png", grid, title)


def plot_prior_samples(
    out: pathlib.Path, decoder: keras.Model, seed: int
) -> None:
    """Images of codes drawn from the uniform prior."""
    latents, classes = decoder.input_shape[1:]
    random = np.random.default_rng(seed)
    images = decode(decoder, random.integers(classes, size=(128, latents)))
    grid = np.reshape(images, (8, 16, *images.shape[1:]))
    plot_grid(out / "prior_samples.png", grid, "codes drawn from the prior")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Categorical VAE (Jang et al. 2017) on digits.",
        out="vae-out",
        verbose=1,
        presets=DEFAULTS,
    )
    add = parser.add_argument
    add(
        "--estimator",
        choices=SAMPLERS,
        default="gumbel_softmax",
        help="how the gradient is taken through the sample",
    )
    parser.add_mnist()
    add("--epochs", type=integer(), help="passes over the data")
    add("--batch-size", type=integer(), help="images in a step")
    help = "D, number of categorical variables"
    add("--latents", type=integer(1, 100), help=help)
    help = "K, number of classes of each"
    add("--classes", type=integer(2, 100), default=10, help=help)
    add(
        "--hidden",
        type=integer(),
        nargs="+",
        help="units of the encoder's hidden layers, which the decoder reverses",
    )
    add("--learning-rate", type=positive, help="learning rate of Adam")
    help = "temperature at the start"
    add("--temperature", type=positive, default=1.0, help=help)
    help = "temperature from half-way on"
    add("--minimum-temperature", type=positive, help=help)
    help = "part of the run in which the KL weight rises from 0 to 1"
    add("--kl-warmup", type=number(0, 1), default=0.5, help=help)
    help = "codes for each test image in the bound"
    add("--samples", type=integer(2), default=10, help=help)
    args = parser.parse_args(argv)
    check_annealing(parser, args)
    return args


if __name__ == "__main__":
    main()
