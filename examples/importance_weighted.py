"""A Gaussian VAE trained on a bound of many samples, by three estimators.

An encoder gives q(z|x) = N(μ, diag σ²), a decoder independent pixels p(x|z),
and the prior is N(0, I). For samples z_s of q, in nats per image,

    log p(x) ≥ E log 1/S Σ_s w_s,  w_s = p(x|z_s) p(z_s) / q(z_s|x).

With S = 1 that is the ELBO, which a VAE maximises. With more samples the bound
is tighter, and q need no longer be close to the posterior everywhere: one good
sample will do (Burda, Grosse, Salakhutdinov 2016). The decoder gains; to the
encoder, though, the plain gradient (`iwae`) says ever less as S grows. `dreg`
has the same mean and a signal that does not drown; `stl` leaves a term out and
is biased.

The model is an `ExpectedCost` of -log p(x, z): estimators of a bound add log q
by themselves, and one name changes the gradient. The table and the picture
show the bound on test images against the number m of samples that it is
*evaluated* with, by `LogMarginalLikelihood`: a bound tells models apart only
where m is large and the same for both. `vae` is trained with S = 1.

Data treatment: pixels are binarised at one half, so that nats are those of a
proper likelihood.

    python examples/importance_weighted.py --out bounds-out
    python examples/importance_weighted.py --mnist mnist.npz --out bounds-mnist

Reference:
    Burda, Grosse, Salakhutdinov. Importance weighted autoencoders. ICLR 2016.
    Tucker, Lawson, Gu, Maddison. Doubly reparameterized gradient estimators
    for Monte Carlo objectives. ICLR 2019.
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
from _arguments import Parser, integer, positive
from _digits import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RUNS = ("vae", "iwae", "dreg", "stl")
# For what is not given on the command line.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"latents": 10, "hidden": [128], "epochs": 60},
    "mnist": {"latents": 32, "hidden": [200, 200], "epochs": 4},
}


class Bound(NamedTuple):
    """Of the test images, in nats, with its standard error."""

    value: float
    error: float


def main(argv: list[str] | None = None) -> dict[str, list[Bound]]:
    """Trains with each estimator; returns the test bounds by m."""
    args = parse(argv)
    train, test = load_images(args.mnist)
    test = test[: args.test_images]
    args.out.mkdir(parents=True, exist_ok=True)
    columns = "".join(f"{f'm = {m}':>12}" for m in args.test_samples)
    print(f"{'test bound':12}{columns}{'±':>7}{'seconds':>9}")
    bounds = {}
    for name in args.runs:
        keras.utils.set_random_seed(args.seed)
        start = time.perf_counter()
        vae = VAE(args, train.shape[1], name)
        vae.fit(train, args)
        seconds = time.perf_counter() - start
        bounds[name] = [vae.bound(test, m) for m in args.test_samples]
        values = "".join(f"{bound.value:>12.2f}" for bound in bounds[name])
        error = bounds[name][-1].error
        print(f"{name:12}{values}{error:>7.2f}{seconds:>9.0f}", flush=True)
    plot(args.out / "bounds.png", args.test_samples, bounds)
    print(f"Wrote {args.out / 'bounds.png'}")
    return bounds


def load_images(mnist: Any) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images of `load_digits` in rows, pixels 0 or 1."""
    both = (part.images >= 0.5 for part in load_digits(mnist))
    train, test = (x.reshape(len(x), -1).astype("float32") for x in both)
    return train, test


# Model --------------------------------------------------------------------


class Joint(keras.layers.Layer):
    """-log p(x, z) in nats, per row.

    Args:
        hidden: Units of the decoder.
        pixels: Pixels of an image.
    """

    def __init__(self, hidden: list[int], pixels: int) -> None:
        super().__init__()
        layers = [keras.layers.Dense(n, activation="relu") for n in hidden]
        self.decoder = keras.Sequential([*layers, keras.layers.Dense(pixels)])

    def call(self, z: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Returns the cost of codes `[n, D]` for images `[n, P]`."""
        logits = self.decoder(z)
        pixels = tf.reduce_sum(tf.nn.softplus(logits) - x * logits, axis=1)
        normal = tf.square(z) / 2 + math.log(2 * math.pi) / 2
        return pixels + tf.reduce_sum(normal, axis=1)


class VAE:
    """An encoder, the joint density, and a model that ends in the bound."""

    def __init__(
        self, args: argparse.Namespace, pixels: int, name: str
    ) -> None:
        x = h = keras.Input((pixels,))
        for units in args.hidden:
            h = keras.layers.Dense(units, activation="relu")(h)
        q = (
            keras.layers.Dense(args.latents)(h),
            keras.layers.Dense(args.latents, name="log_variance")(h),
        )
        self.encoder = keras.Model(x, q)
        self.joint = Joint(args.hidden[::-1], pixels)
        estimator = tg.estimators.get(
            "iwae" if name == "vae" else name,
            distribution="gaussian",
            samples=1 if name == "vae" else args.samples,
        )
        cost = tg.ExpectedCost(self.joint, estimator)(q, x)
        self.model = keras.Model(x, cost)

    def fit(self, train: np.ndarray, args: argparse.Namespace) -> None:
        """Descends the negative bound."""
        self.model.compile(
            keras.optimizers.Adam(args.learning_rate), tg.losses.MeanCost()
        )
        self.model.fit(
            train,
            batch_size=args.batch_size,
            epochs=args.epochs,
            verbose=args.verbose,
        )

    def bound(self, test: np.ndarray, samples: int) -> Bound:
        """The bound of so many samples, the encoder run once per image."""
        one = tg.estimators.IWAE(samples=1)
        weight = tg.ExpectedCost(self.joint, one, seed=1)
        metric = tg.LogMarginalLikelihood(lambda x, q: weight(q, x), samples)
        update = tf.function(metric.update_state, reduce_retracing=True)
        for start in range(0, len(test), 100):
            x = tf.constant(test[start : start + 100])
            update(x, self.encoder(x))
        return Bound(float(metric.result()), metric.standard_error())


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path, samples: list[int], bounds: dict[str, list[Bound]]
) -> None:
    """The test bound of each run against m."""
    figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for name, row in bounds.items():
        axes.plot(samples, [b.value for b in row], "o-", label=name)
    axes.set(xscale="log", xlabel="samples m of the bound, in the test")
    axes.set(ylabel="test bound of log p(x), nats")
    axes.legend(title="trained as")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A Gaussian VAE on importance-weighted bounds.",
        out="bounds-out",
        verbose=0,
        presets=DEFAULTS,
    )
    add = parser.add_argument
    help = "estimators of the gradient, one run each; vae has one sample"
    add("--runs", nargs="+", choices=RUNS, default=list(RUNS), help=help)
    help = "S, samples for each image in training"
    add("--samples", type=integer(), default=16, help=help)
    help = "m, samples for each image in the test, one bound each"
    add(
        "--test-samples",
        type=integer(),
        nargs="+",
        default=[1, 10, 100, 1000],
        help=help,
    )
    add("--test-images", type=integer(), default=500, help="at most so many")
    parser.add_mnist()
    add("--latents", type=integer(), help="D, number of variables")
    help = "units of the encoder, reversed by the decoder"
    add("--hidden", type=integer(), nargs="+", help=help)
    add("--epochs", type=integer(), help="passes over the data")
    add("--batch-size", type=integer(), default=50, help="images in a step")
    add("--learning-rate", type=positive, default=1e-3, help="of Adam")
    args = parser.parse_args(argv)
    return args


if __name__ == "__main__":
    main()
