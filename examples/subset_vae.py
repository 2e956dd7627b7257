"""A digit in twenty choices of ten out of twenty, and their gradients.

A digit becomes a row of subsets, each of exactly k items out of n. Three
gradients through such a sample are compared, one of them through exact
marginals.

A variational autoencoder whose code z is a matrix of D subsets: in each row
exactly k of n entries are one. q(z|x) is the conditional Bernoulli
distribution of `distributions.Subset`, uniform a priori, and its divergence
has a closed form. Training descends, in nats per image,

    -ELBO = E_{z~q(.|x)}[-log p(x|z)] + KL(q(.|x) ‖ p),

the first term through the samples of a `SubsetSampler`:

- `marginal` draws from q itself, with the gradient of the marginals (SIMPLE);
- `relaxed` draws the k largest of logits + Gumbel noise, with the gradient of
  a sum of k softmaxes, and `implicit_mle` the same with a difference of two
  subsets. Those samples are of another distribution, so that what these two
  descend is no bound.

The test scores all three alike: by the bound, with exact samples of q. Grey
levels are taken for probabilities, as in the paper.

    python examples/subset_vae.py --out subset-out
    python examples/subset_vae.py --mnist mnist.npz --out subset-mnist

Reference:
    Ahmed, Zeng, Niepert, Van den Broeck. SIMPLE: a gradient estimator for
    k-subset sampling. ICLR 2023.
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
from _arguments import Parser, integer, positive
from _digits import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SAMPLERS: dict[str, dict[str, Any]] = {
    "marginal": {"distribution": "subset"},
    "relaxed": {"distribution": "plackett_luce"},
    "implicit_mle": {"distribution": "plackett_luce"},
}
# For what is not given on the command line.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"groups": 10, "items": 10, "k": 5, "hidden": [128, 64]},
    "mnist": {"groups": 20, "items": 20, "k": 10, "hidden": [512, 256]},
}
LENGTH = {"digits": (30, 50), "mnist": (2, 100)}  # epochs, images in a step


class Run(NamedTuple):
    """What came of one sampler."""

    bound: float
    history: list[float]
    model: keras.Model


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains with each sampler; returns the test bounds."""
    args = parse(argv)
    train, test = load_images(args.mnist)
    args.out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, Run] = {}
    print(f"{'sampler':14}{'test -ELBO':>12}{'seconds':>9}")
    for name in args.samplers:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        model = make_vae(args, train.shape[1], name)
        history = fit(model, train, test, args)
        bound = test_bound(model, test, args.samples)
        runs[name] = Run(bound, history, model)
        seconds = time.process_time() - start
        print(f"{name:14}{bound:>12.2f}{seconds:>9.0f}", flush=True)
    plot(args.out / "subsets.png", runs, test)
    print(f"Wrote {args.out / 'subsets.png'}")
    return {name: run.bound for name, run in runs.items()}


def load_images(mnist: Any) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images in rows, as `load_digits` has them."""
    both = (part.images for part in load_digits(mnist))
    train, test = (images.reshape(len(images), -1) for images in both)
    return train, test


# Model --------------------------------------------------------------------


def make_vae(
    args: argparse.Namespace, pixels: int, sampler: str
) -> keras.Model:
    """From images to the log-odds of their pixels; the divergence is added."""
    code = (args.groups, args.items)
    x = h = keras.Input((pixels,))
    for units in args.hidden:
        h = keras.layers.Dense(units, activation="relu")(h)
    logits = keras.layers.Dense(args.groups * args.items)(h)
    logits = keras.layers.Reshape(code)(logits)
    logits = tg.KLDivergence("subset", k=args.k, name="kl")(logits)
    # inference="sample": `evaluate` draws, as the bound requires.
    z = tg.SubsetSampler(
        args.k,
        **SAMPLERS[sampler],
        estimator=sampler,
        inference="sample",
        name="sampler",
    )(logits)
    h = keras.layers.Flatten()(z)
    for units in reversed(args.hidden):
        h = keras.layers.Dense(units, activation="relu")(h)
    return keras.Model(x, keras.layers.Dense(pixels)(h))


def cross_entropy(x: Any, logits: Any) -> Any:
    """-log p(x|z) per image, of grey levels as probabilities."""
    return keras.ops.sum(keras.ops.softplus(logits) - x * logits, axis=-1)


def fit(
    model: keras.Model,
    train: np.ndarray,
    test: np.ndarray,
    args: argparse.Namespace,
) -> list[float]:
    """Trains, with a falling rate; returns the test loss of each epoch."""
    rate = keras.optimizers.schedules.ExponentialDecay(
        args.learning_rate, decay_steps=1000, decay_rate=0.95
    )
    model.compile(keras.optimizers.Adam(rate), cross_entropy)
    history = model.fit(
        train,
        train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_data=(test, test),
        verbose=args.verbose,
    )
    return history.history["val_loss"]


def test_bound(model: keras.Model, test: np.ndarray, samples: int) -> float:
    """-ELBO in nats, of exact samples of q whatever the training drew."""
    logits = keras.Model(model.input, model.get_layer("kl").output)
    decoder = keras.Model(model.get_layer("sampler").output, model.output)
    kl, k = model.get_layer("kl"), model.get_layer("sampler").k
    draw = tg.SubsetSampler(k, inference="sample", seed=1)
    bounds = []
    for start in range(0, len(test), 500):
        x = test[start : start + 500]
        parameters = logits(x)
        divergence = np.sum(kl.divergence(parameters), axis=-1)
        costs = [
            np.asarray(cross_entropy(x, decoder(draw(parameters))))
            for _ in range(samples)
        ]
        bounds.append(np.mean(costs, axis=0) + divergence)
    return float(np.mean(np.concatenate(bounds)))


# Picture ------------------------------------------------------------------


def plot(path: pathlib.Path, runs: dict[str, Run], test: np.ndarray) -> None:
    """Test losses; images, and what is decoded from a code of each."""
    figure = plt.figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    axes = left.subplots()
    for name, run in runs.items():
        epochs = np.arange(1, len(run.history) + 1)
        axes.plot(epochs, run.history, label=name)
    axes.set(xlabel="epoch", ylabel="test loss, nats per image")
    axes.legend()
    shown = test[:10]
    rows = [("image", shown)]
    for name, run in runs.items():
        decoded = keras.ops.sigmoid(run.model(shown))
        rows.append((name, np.asarray(decoded)))
    side = int(np.sqrt(test.shape[1]))
    grid = right.subplots(len(rows), len(shown))
    for line, (name, images) in zip(grid, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.reshape(side, side), "gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_title(name, loc="left", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    keys = ("epochs", "batch_size")
    presets = {
        name: {**preset, **dict(zip(keys, LENGTH[name], strict=True))}
        for name, preset in DEFAULTS.items()
    }
    parser = Parser(
        "A VAE whose codes are subsets of k of n.",
        out="subset-out",
        verbose=0,
        presets=presets,
    )
    add = parser.add_argument
    add(
        "--samplers",
        nargs="+",
        choices=SAMPLERS,
        default=list(SAMPLERS),
        help="estimators of the gradient, one run each",
    )
    parser.add_mnist()
    add("--groups", type=integer(1, 200), help="D, number of subsets in a code")
    add("--items", type=integer(2, 200), help="n, items to choose from")
    add("--k", type=integer(1, 200), help="items in a subset")
    help = "units of the encoder's hidden layers, which the decoder reverses"
    add("--hidden", type=integer(), nargs="+", help=help)
    add("--epochs", type=integer(), help="passes over the data")
    add("--batch-size", type=integer(), help="images in a step")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=5e-4, help=help)
    help = "codes for each test image in the bound"
    add("--samples", type=integer(), default=5, help=help)
    args = parser.parse_args(argv)
    if args.k > args.items:
        parser.error(
            f"argument --k: must be at most --items, {args.items}: {args.k}"
        )
    return args


if __name__ == "__main__":
    main()
